//! Writing to thin devices.
//!
//! In a pool that does not zero (`lvcreate --zero n`) the first write to a part of a data block gives the device a block, and what a removed volume
//! left shows in the rest of it, which read as zeros until then. So zeros are written to the whole block first.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::listing::{Listing, Volume};
use crate::joints::{RestoreGoal, SourceError, VolumeRange};
use crate::source::DeviceGoal;

/// Blocks are read in pieces of this size.
const PIECE: u64 = 1 << 20;
/// A discard is handed over in pieces, so that the pool's transactions stay small.
const DISCARD: u64 = 1 << 30;

/// The device of a thin volume.
pub struct ThinDevice {
    device: DeviceGoal,
    /// Bytes of a data block. The device's last one may be shorter.
    block: u64,
    /// Of a pool that does not zero: numbers of the blocks that hold something by now. Who is in here writes zeros; nobody writes to a part of a
    /// block before it is done.
    filled: Option<Mutex<BTreeSet<u64>>>,
    starts_empty: bool,
}

impl ThinDevice {
    /// Opens the device of a volume of the pool.
    pub fn open(
        path: &Path,
        size: u64,
        listing: &Listing,
        starts_empty: bool,
    ) -> Result<Self, SourceError> {
        let zeroes = listing.pool().is_some_and(Volume::zeroes);
        Ok(Self {
            device: DeviceGoal::open(path, size)?,
            block: listing.data_block()?,
            filled: (!zeroes).then(Mutex::default),
            starts_empty,
        })
    }

    /// Its bytes.
    pub fn room(&self) -> u64 {
        self.device.room()
    }

    /// Bytes of a data block.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Gives whole data blocks back to the pool; they read as zeros then. Whether it could.
    pub fn discard(&self, range: VolumeRange) -> Result<bool, SourceError> {
        self.before_discard(range);
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(most_discarded(self.block));
            if !self.device.discard(at, length)? {
                // The pool was told to ignore discards.
                return Ok(false);
            }
            at += length;
        }
        Ok(true)
    }

    /// What of the range's first and last block lies outside reads as it did before.
    fn before_write(&self, range: VolumeRange) -> Result<(), SourceError> {
        let Some(filled) = self.filled.as_ref().filter(|_| range.start < range.end) else {
            return Ok(());
        };
        let first = range.start / self.block;
        let last = (range.end - 1) / self.block;
        self.fill(filled, first, range)?;
        if last > first {
            self.fill(filled, last, range)?;
        }
        Ok(())
    }

    fn fill(
        &self,
        filled: &Mutex<BTreeSet<u64>>,
        number: u64,
        range: VolumeRange,
    ) -> Result<(), SourceError> {
        let start = number.saturating_mul(self.block);
        let end = start.saturating_add(self.block).min(self.room());
        if range.start <= start && end <= range.end {
            return Ok(());
        }
        let mut filled = filled.lock().unwrap_or_else(PoisonError::into_inner);
        if filled.contains(&number) {
            return Ok(());
        }
        let block = VolumeRange { start, end };
        if reads_as_zeros(&self.device, block)? {
            self.device.zero(block)?;
        }
        filled.insert(number);
        Ok(())
    }

    /// Whole blocks that are discarded are without content again.
    fn before_discard(&self, range: VolumeRange) {
        let Some(filled) = &self.filled else {
            return;
        };
        let numbers = range.start / self.block..range.end.div_ceil(self.block);
        let mut filled = filled.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(number) = filled.range(numbers.clone()).next().copied() {
            filled.remove(&number);
        }
    }
}

impl RestoreGoal for ThinDevice {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let end = offset.saturating_add(bytes.len() as u64);
        self.before_write(VolumeRange { start: offset, end })?;
        self.device.write_at(offset, bytes)
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        self.before_write(range)?;
        self.device.zero(range)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.device.read_at(offset, buffer)
    }

    fn starts_empty(&self) -> bool {
        self.starts_empty
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        Box::new(self.device).finish()
    }
}

fn reads_as_zeros(goal: &DeviceGoal, block: VolumeRange) -> Result<bool, SourceError> {
    let mut there = vec![0; usize::try_from(PIECE.min(block.end - block.start)).unwrap_or(0)];
    let mut at = block.start;
    while at < block.end {
        let length = (block.end - at).min(PIECE);
        let piece = usize::try_from(length).ok();
        let Some(piece) = piece.and_then(|length| there.get_mut(..length)) else {
            return Ok(false);
        };
        goal.read_at(at, piece)?;
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += length;
    }
    Ok(true)
}

/// What is discarded at once: whole data blocks, because of a block that two pieces share the kernel discards nothing, and says nothing.
fn most_discarded(block: u64) -> u64 {
    (DISCARD / block).max(1) * block
}

/// Opens a device that somebody made for a restore. Of one that is no thin volume of LVM's it is not believed that it is empty.
pub fn fresh_device(path: &Path, size: u64) -> Result<Box<dyn RestoreGoal>, SourceError> {
    Ok(match Listing::around(path)? {
        Some(listing) => Box::new(ThinDevice::open(path, size, &listing, true)?),
        None => Box::new(DeviceGoal::open(path, size)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_block_is_discarded_in_two_pieces() {
        for blocks in [1, 2, 3, 5, 7, 1000, 1 << 14, (1 << 14) + 1] {
            let block = blocks * (64 << 10);
            let most = most_discarded(block);
            assert!(most > 0 && most.is_multiple_of(block) && most <= DISCARD.max(block));
        }
    }
}
