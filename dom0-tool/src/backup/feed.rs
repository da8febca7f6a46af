//! Cuts a frozen volume, or what of it may have changed, into jobs for the workers, beside what its newest session knows.

use std::ops::Range;
use std::sync::Arc;

use nacre_core::node::ChunkEntry;

use crate::archive::{KnownEntries, Result};
use crate::joints::{AlignedBuffer, FrozenVolume, VolumeRange};

/// Chunks of a hole that are skipped in one step, at most.
const SKIP: u64 = 1 << 16;

/// A few neighbouring chunks, read and waiting for a worker.
pub struct Job {
    /// Number of the first chunk.
    pub first: u64,
    /// Their content, whole chunks; zero behind the volume's end.
    pub content: AlignedBuffer,
    /// Number of bytes in `content` that are part of this job.
    pub length: usize,
    /// What is known about these chunks, in rising order.
    pub known: Vec<(u64, ChunkEntry)>,
}

/// The next step through a volume.
pub enum Step {
    /// Chunks to look at.
    Job(Job),
    /// Chunks that had content and are now zero, because a hole lies there.
    Emptied(Vec<u64>),
    /// The volume's end.
    Done,
}

/// Walks one volume from front to back, over the chunks that are to be looked at.
pub struct Feed<'a> {
    volume: &'a dyn FrozenVolume,
    known: KnownEntries,
    /// The chunks to look at: sorted, apart, none empty, inside the volume.
    ranges: Arc<[Range<u64>]>,
    /// Which range is being looked at.
    at: usize,
    chunk_size: u64,
    /// Chunks in one job, at most.
    batch: u64,
    /// First chunk not looked at yet.
    next: u64,
    /// Bytes looked at, or skipped as a hole.
    looked_at: u64,
    /// Data that `next_data` named and that is not read whole yet.
    data: Option<VolumeRange>,
}

impl<'a> Feed<'a> {
    /// Begins before the first range. `known` has at least the entries of the chunks in the ranges; those beyond the volume's end are for
    /// the caller to cut off.
    pub fn new(
        volume: &'a dyn FrozenVolume,
        known: KnownEntries,
        ranges: Arc<[Range<u64>]>,
        chunk_size: u64,
        batch: u64,
    ) -> Self {
        Self {
            volume,
            known,
            ranges,
            at: 0,
            chunk_size,
            batch,
            next: 0,
            looked_at: 0,
            data: None,
        }
    }

    /// Bytes of the volume that were looked at or skipped as a hole; chunks outside the ranges do not count.
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// Number of the first chunk that was not looked at yet.
    pub fn next_chunk(&self) -> u64 {
        self.next
    }

    /// The next step. `buffer` gives room for `batch` chunks; it comes back in the job.
    pub fn step(&mut self, buffer: impl FnOnce() -> AlignedBuffer) -> Result<Step> {
        let Some(range) = self.range()? else {
            return Ok(Step::Done);
        };
        let start = self.next_data_chunk(range.end)?;
        if self.next < start {
            return self.skip_to(start);
        }
        self.read_job(range.end, buffer()).map(Step::Job)
    }

    /// The range in which `next` lies, which is moved to the beginning of the next range where one is done. `None`: all are.
    fn range(&mut self) -> Result<Option<Range<u64>>> {
        while let Some(range) = self.ranges.get(self.at) {
            if self.next < range.end {
                let range = range.clone();
                if self.next < range.start {
                    // What came along with the entries asked for is not compared, so it is as it was.
                    self.known.take_below(range.start, &mut Vec::new())?;
                    self.next = range.start;
                }
                return Ok(Some(range));
            }
            self.at += 1;
        }
        Ok(None)
    }

    /// The first chunk from `next` on in which there is data; `end` when there is none before it.
    fn next_data_chunk(&mut self, end: u64) -> Result<u64> {
        let position = self.next * self.chunk_size;
        if self.data.is_none_or(|data| data.end <= position) {
            self.data = self.volume.next_data(position)?;
        }
        let start = self.data.map(|data| data.start / self.chunk_size);
        Ok(start.map_or(end, |start| start.clamp(self.next, end)))
    }

    /// Skips a hole, or the front of it: what was known there must fit into memory.
    fn skip_to(&mut self, chunk: u64) -> Result<Step> {
        let chunk = chunk.min(self.next + SKIP);
        let mut known = Vec::new();
        self.known.take_below(chunk, &mut known)?;
        self.advance(chunk);
        let emptied = known.into_iter().map(|(chunk, _)| chunk).collect();
        Ok(Step::Emptied(emptied))
    }

    fn read_job(&mut self, range_end: u64, mut content: AlignedBuffer) -> Result<Job> {
        let first = self.next;
        let data_end = self
            .data
            .map_or(0, |data| data.end.div_ceil(self.chunk_size));
        let end = data_end
            .min(range_end)
            .min(first + self.batch)
            .max(first + 1);
        let length = (end - first) * self.chunk_size;
        let length = usize::try_from(length).map_or(content.len(), |l| l.min(content.len()));
        self.volume
            .read_at(first * self.chunk_size, &mut content[..length])?;
        let mut known = Vec::new();
        self.known.take_below(end, &mut known)?;
        self.advance(end);
        Ok(Job {
            first,
            content,
            length,
            known,
        })
    }

    fn advance(&mut self, to: u64) {
        let end = |chunk: u64| (chunk * self.chunk_size).min(self.volume.size());
        self.looked_at += end(to) - end(self.next);
        self.next = to;
    }
}
