//! Cuts a frozen volume, or what of it may have changed, into jobs for the workers, beside what its newest session knows.

use std::ops::Range;
use std::sync::Arc;

use nacre_core::node::ChunkEntry;

use crate::archive::{Error, KnownEntries, Result};
use crate::joints::{AlignedBuffer, FrozenVolume, VolumeRange};

/// Chunks of a hole that are skipped in one step, at most.
const SKIP: u64 = 1 << 16;

/// A few chunks, read and waiting for a worker. Those of several ranges go together: where changes lie scattered, handing over every
/// chunk on its own would cost more than looking at it.
pub struct Job {
    /// Their numbers, in rising order.
    pub chunks: Vec<Range<u64>>,
    /// Their content, whole chunks, one behind the other; zero behind the volume's end.
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

/// What lies before a feed.
enum Ahead {
    /// Chunks with data in them.
    Data(Range<u64>),
    /// None up to this chunk.
    Hole(u64),
    /// The volume's end.
    Nothing,
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
    /// What went wrong behind the chunks that were handed over last.
    failed: Option<Error>,
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
            failed: None,
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
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        match self.ahead()? {
            Ahead::Data(range) => self.read_job(range, buffer()).map(Step::Job),
            Ahead::Hole(end) => self.skip_to(end),
            Ahead::Nothing => Ok(Step::Done),
        }
    }

    /// What comes next.
    fn ahead(&mut self) -> Result<Ahead> {
        let Some(range) = self.range()? else {
            return Ok(Ahead::Nothing);
        };
        let start = self.next_data_chunk(range.end)?;
        if self.next < start {
            return Ok(Ahead::Hole(start));
        }
        let data_end = self
            .data
            .map_or(0, |data| data.end.div_ceil(self.chunk_size));
        let end = data_end.min(range.end).max(self.next + 1);
        Ok(Ahead::Data(self.next..end))
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

    /// Reads the chunks of a range, and of those that follow as long as there is room.
    fn read_job(&mut self, range: Range<u64>, content: AlignedBuffer) -> Result<Job> {
        let mut job = Job {
            chunks: Vec::new(),
            content,
            length: 0,
            known: Vec::new(),
        };
        let mut room = self.batch;
        room -= self.read(range, room, &mut job)?;
        while room > 0 {
            let more = self.ahead().and_then(|ahead| match ahead {
                Ahead::Data(range) => self.read(range, room, &mut job),
                Ahead::Hole(_) | Ahead::Nothing => Ok(0),
            });
            match more {
                Ok(0) => break,
                Ok(count) => room -= count,
                // What was read before counts as looked at, so it has to be; the error comes with the next step.
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(job)
    }

    /// Reads the front of a range into the rest of a job. Returns how many chunks those were; after an error none were.
    fn read(&mut self, range: Range<u64>, room: u64, job: &mut Job) -> Result<u64> {
        let end = range.end.min(range.start + room);
        let length = usize::try_from((end - range.start) * self.chunk_size).unwrap_or(usize::MAX);
        let free = job.content.get_mut(job.length..).unwrap_or_default();
        let place = free.get_mut(..length).ok_or_else(|| {
            Error::State("a job is larger than the memory that was made for it".to_owned())
        })?;
        self.volume.read_at(range.start * self.chunk_size, place)?;
        let before = job.known.len();
        let known = self.known.take_below(end, &mut job.known);
        if known.is_err() {
            job.known.truncate(before);
        }
        known?;
        job.length += length;
        job.chunks.push(range.start..end);
        self.advance(end);
        Ok(end - range.start)
    }

    fn advance(&mut self, to: u64) {
        let end = |chunk: u64| (chunk * self.chunk_size).min(self.volume.size());
        self.looked_at += end(to) - end(self.next);
        self.next = to;
    }
}
