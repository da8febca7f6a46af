//! Writing to thin devices of a pool that does not zero (`lvcreate --zero n`).
//!
//! The first write to a part of a data block gives the device a block, and what a removed volume left shows in the rest of it, which read as
//! zeros until then. So zeros are written to the whole block first.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use super::command::lvm_report;
use super::listing::Listing;
use super::names::is_lvm_name;
use crate::joints::{RestoreGoal, SourceError, VolumeRange};
use crate::source::{DeviceGoal, storage_error};

/// Blocks are read in pieces of this size.
const PIECE: u64 = 1 << 20;

/// Which data blocks of one device were looked after.
pub struct WholeBlocks {
    block: u64,
    /// Bytes of the device, whose last block may be shorter.
    end: u64,
    /// Numbers of the blocks that hold something by now. Who is in here writes zeros; nobody writes to a part of a block before it is done.
    filled: Mutex<BTreeSet<u64>>,
}

impl WholeBlocks {
    /// For a device of `end` bytes; `None` where the pool zeroes by itself.
    pub fn needed(listing: &Listing, end: u64) -> Option<Self> {
        let pool = listing.pool();
        if pool.is_some_and(super::listing::Volume::zeroes) {
            return None;
        }
        Some(Self {
            block: pool.map_or(1, |pool| pool.data_block().max(1)),
            end,
            filled: Mutex::default(),
        })
    }

    /// To be called before something is written to the range: what of its first and last block lies outside reads as it did before.
    pub fn before_write(&self, goal: &DeviceGoal, range: VolumeRange) -> Result<(), SourceError> {
        if range.start >= range.end {
            return Ok(());
        }
        let first = range.start / self.block;
        let last = (range.end - 1) / self.block;
        self.fill(goal, first, range)?;
        if last > first {
            self.fill(goal, last, range)?;
        }
        Ok(())
    }

    fn fill(&self, goal: &DeviceGoal, number: u64, range: VolumeRange) -> Result<(), SourceError> {
        let start = number.saturating_mul(self.block);
        let end = start.saturating_add(self.block).min(self.end);
        if range.start <= start && end <= range.end {
            return Ok(());
        }
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        if filled.contains(&number) {
            return Ok(());
        }
        let block = VolumeRange { start, end };
        if reads_as_zeros(goal, block)? {
            goal.zero(block)?;
        }
        filled.insert(number);
        Ok(())
    }

    /// To be called before whole blocks are discarded: they are without content again.
    pub fn before_discard(&self, range: VolumeRange) {
        let numbers = range.start / self.block..range.end.div_ceil(self.block);
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(number) = filled.range(numbers.clone()).next().copied() {
            filled.remove(&number);
        }
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

/// A device that somebody made for a restore.
struct FreshDevice {
    device: DeviceGoal,
    blocks: Option<WholeBlocks>,
    is_thin: bool,
}

/// Opens such a device. Of one that is no thin volume of LVM's it is not believed that it is empty.
pub fn fresh_device(path: &Path, size: u64) -> Result<Box<dyn RestoreGoal>, SourceError> {
    let device = DeviceGoal::open(path, size)?;
    let place = path.display().to_string();
    let mut goal = FreshDevice {
        device,
        blocks: None,
        is_thin: false,
    };
    if let Some((group, pool)) = pool_of(&place)? {
        let listing = Listing::read(&group, &pool)?;
        goal.blocks = WholeBlocks::needed(&listing, room(path)?);
        goal.is_thin = true;
    }
    Ok(Box::new(goal))
}

/// Bytes of a device.
fn room(path: &Path) -> Result<u64, SourceError> {
    let in_words = |error| storage_error(&path.display().to_string(), error);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(in_words)?;
    rustix::fs::seek(&fd, rustix::fs::SeekFrom::End(0)).map_err(in_words)
}

#[derive(Deserialize)]
struct Document {
    report: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    #[serde(default)]
    lv: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    vg_name: String,
    pool_lv: String,
}

/// The group and thin pool of a device; `None` for one that is no thin volume of LVM's.
fn pool_of(path: &str) -> Result<Option<(String, String)>, SourceError> {
    let arguments = ["lvs", "--reportformat", "json", "--options"];
    let fields = ["vg_name,pool_lv", path];
    // An error is what LVM says of a device that is none of its volumes.
    let Ok(bytes) = lvm_report(path, &[arguments.as_slice(), &fields].concat()) else {
        return Ok(None);
    };
    let rows = serde_json::from_slice::<Document>(&bytes).map_err(|error| {
        let detail = format!("lvs: {error}");
        SourceError::new(crate::joints::SourceErrorKind::Io, path, detail)
    })?;
    let row = rows
        .report
        .into_iter()
        .flat_map(|section| section.lv)
        .next();
    let pool = row.map(|row| (row.vg_name, row.pool_lv));
    Ok(pool.filter(|(group, pool)| is_lvm_name(group) && is_lvm_name(pool)))
}

impl RestoreGoal for FreshDevice {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        if let Some(blocks) = &self.blocks {
            let end = offset.saturating_add(bytes.len() as u64);
            blocks.before_write(&self.device, VolumeRange { start: offset, end })?;
        }
        self.device.write_at(offset, bytes)
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        if let Some(blocks) = &self.blocks {
            blocks.before_write(&self.device, range)?;
        }
        self.device.zero(range)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.device.read_at(offset, buffer)
    }

    fn starts_empty(&self) -> bool {
        self.is_thin
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        Box::new(self.device).finish()
    }
}
