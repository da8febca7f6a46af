//! The set of 4 KiB blocks of a chunk that a patch replaces.

use std::fmt;

use super::ChunkFormat;
use crate::bytes::Reader;
use crate::error::{FormatError, Result};

/// Bytes of the bitmap of the largest chunk, 2 MiB.
const LARGEST: usize = 64;

/// One bit for each block of a chunk. Kept in place: no allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bitmap {
    length: u8,
    bytes: [u8; LARGEST],
}

impl Bitmap {
    /// No block set.
    pub fn empty(format: ChunkFormat) -> Self {
        Self {
            length: u8::try_from(format.bitmap_bytes()).unwrap_or(64),
            bytes: [0; LARGEST],
        }
    }

    /// Reads the bitmap of a chunk; at least one bit is set.
    pub fn parse(format: ChunkFormat, reader: &mut Reader<'_>) -> Result<Self> {
        let mut bitmap = Self::empty(format);
        let what = reader.what();
        for byte in bitmap.bytes.iter_mut().take(format.bitmap_bytes()) {
            *byte = reader.u8()?;
        }
        if bitmap.count() == 0 {
            return Err(FormatError::OutOfRange(what));
        }
        Ok(bitmap)
    }

    /// The bytes as they stand in the format.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    /// Number of blocks that there are.
    pub fn blocks(&self) -> usize {
        usize::from(self.length).saturating_mul(8)
    }

    /// Adds a block; one beyond the chunk is ignored.
    pub fn set(&mut self, block: usize) {
        if block < self.blocks()
            && let Some(byte) = self.bytes.get_mut(block >> 3)
        {
            *byte |= 1 << (block & 7);
        }
    }

    /// Whether a block is in the set.
    pub fn has(&self, block: usize) -> bool {
        self.bytes
            .get(block >> 3)
            .is_some_and(|byte| byte >> (block & 7) & 1 == 1)
    }

    /// Number of blocks in the set.
    pub fn count(&self) -> u32 {
        self.bytes
            .iter()
            .fold(0, |sum: u32, byte| sum.saturating_add(byte.count_ones()))
    }

    /// The blocks in the set, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.blocks()).filter(|&block| self.has(block))
    }

    /// The blocks in one set or the other.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = *self;
        for (byte, more) in all.bytes.iter_mut().zip(other.bytes) {
            *byte |= more;
        }
        all
    }
}

impl fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
