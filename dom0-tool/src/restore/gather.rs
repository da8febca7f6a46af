//! Puts chunks that lie side by side together, so that they are written with one call past the page cache.

use crate::archive::Result;
use crate::joints::{AlignedBuffer, RestoreGoal};

/// Bytes written with one call, at most, unless a chunk is larger.
const WRITE: usize = 1 << 20;

/// Bytes on their way to a goal.
pub struct Gather {
    buffer: AlignedBuffer,
    start: u64,
    length: usize,
}

impl Gather {
    /// Room for chunks of this size.
    pub fn new(chunk_size: usize) -> Self {
        Self {
            buffer: AlignedBuffer::new(WRITE.max(chunk_size)),
            start: 0,
            length: 0,
        }
    }

    /// Takes bytes for `offset`; what does not join them is written first.
    pub fn put(&mut self, goal: &dyn RestoreGoal, offset: u64, bytes: &[u8]) -> Result<()> {
        let joins = self.start + self.length as u64 == offset
            && self.length + bytes.len() <= self.buffer.len();
        if !joins {
            self.flush(goal)?;
            self.start = offset;
        }
        let end = self.length + bytes.len();
        if let Some(room) = self.buffer.get_mut(self.length..end) {
            room.copy_from_slice(bytes);
            self.length = end;
            return Ok(());
        }
        Ok(goal.write_at(offset, bytes)?)
    }

    /// Writes what was taken.
    pub fn flush(&mut self, goal: &dyn RestoreGoal) -> Result<()> {
        let length = std::mem::take(&mut self.length);
        match self.buffer.get(..length) {
            Some(bytes) if length > 0 => Ok(goal.write_at(self.start, bytes)?),
            _ => Ok(()),
        }
    }
}
