//! Cuts a frozen volume into jobs for the workers, beside what its newest session knows.

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

/// Walks one volume from front to back.
pub struct Feed<'a> {
    volume: &'a dyn FrozenVolume,
    known: KnownEntries,
    chunk_size: u64,
    /// Chunks in one job, at most.
    batch: u64,
    /// First chunk not looked at yet.
    next: u64,
    /// Chunks of the volume.
    chunks: u64,
    /// Data that `next_data` named and that is not read whole yet.
    data: Option<VolumeRange>,
}

impl<'a> Feed<'a> {
    /// Begins at chunk 0. Chunks known beyond the volume's end are for the caller to cut off.
    pub fn new(
        volume: &'a dyn FrozenVolume,
        known: KnownEntries,
        chunk_size: u64,
        batch: u64,
    ) -> Self {
        Self {
            volume,
            known,
            chunk_size,
            batch,
            next: 0,
            chunks: volume.size().div_ceil(chunk_size),
            data: None,
        }
    }

    /// Bytes of the volume that were looked at or skipped.
    pub fn position(&self) -> u64 {
        (self.next * self.chunk_size).min(self.volume.size())
    }

    /// Number of the first chunk that was not looked at yet.
    pub fn next_chunk(&self) -> u64 {
        self.next
    }

    /// The next step. `buffer` gives room for `batch` chunks; it comes back in the job.
    pub fn step(&mut self, buffer: impl FnOnce() -> AlignedBuffer) -> Result<Step> {
        let start = self.next_data_chunk()?;
        if self.next < start {
            return self.skip_to(start);
        }
        if self.next >= self.chunks {
            return Ok(Step::Done);
        }
        self.read_job(buffer()).map(Step::Job)
    }

    /// The first chunk from `next` on in which there is data; the number of chunks when there is none.
    fn next_data_chunk(&mut self) -> Result<u64> {
        let position = self.next * self.chunk_size;
        if self.data.is_none_or(|data| data.end <= position) {
            self.data = self.volume.next_data(position)?;
        }
        let start = self.data.map(|data| data.start / self.chunk_size);
        Ok(start.map_or(self.chunks, |start| start.clamp(self.next, self.chunks)))
    }

    /// Skips a hole, or the front of it: what was known there must fit into memory.
    fn skip_to(&mut self, chunk: u64) -> Result<Step> {
        let chunk = chunk.min(self.next + SKIP);
        let mut known = Vec::new();
        self.known.take_below(chunk, &mut known)?;
        self.next = chunk;
        let emptied = known.into_iter().map(|(chunk, _)| chunk).collect();
        Ok(Step::Emptied(emptied))
    }

    fn read_job(&mut self, mut content: AlignedBuffer) -> Result<Job> {
        let first = self.next;
        let data_end = self
            .data
            .map_or(0, |data| data.end.div_ceil(self.chunk_size));
        let end = data_end
            .min(self.chunks)
            .min(first + self.batch)
            .max(first + 1);
        let length = (end - first) * self.chunk_size;
        let length = usize::try_from(length).map_or(content.len(), |l| l.min(content.len()));
        self.volume
            .read_at(first * self.chunk_size, &mut content[..length])?;
        let mut known = Vec::new();
        self.known.take_below(end, &mut known)?;
        self.next = end;
        Ok(Job {
            first,
            content,
            length,
            known,
        })
    }
}
