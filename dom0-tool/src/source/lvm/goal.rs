//! Restoring into a pool.

use std::fs::File;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::command::lvm;
use super::frozen::remove;
use super::listing::{Listing, Volume};
use super::names::{Part, our_name};
use super::thin::Thin;
use super::whole_blocks::WholeBlocks;
use crate::joints::{RestoreGoal, SourceError, SourceErrorKind, VolumeRange};
use crate::source::{DeviceGoal, storage_error};

/// A discard is handed over in pieces, so that the pool's transactions stay small.
const DISCARD: u64 = 1 << 30;

/// A thin volume that is being restored: beside the one that is there, or that one itself.
///
/// Beside, `finish` flushes it and then renames twice: the volume to `….nacre_…_old`, the new one to the volume's name. A crash before leaves the
/// volume as it was and a `_new` that the next restore removes. A crash between the two leaves no volume of the name: the next run that wants it
/// renames `_old` back ([`repair`]). A crash after them leaves the new volume and an `_old`, which the next restore removes.
pub struct LvmGoal {
    thin: Arc<Thin>,
    /// The volume's name.
    local: String,
    archive: String,
    /// The one that is written to.
    written: String,
    /// Open for as long as it is written.
    device: Option<(DeviceGoal, File)>,
    /// Bytes of the restored volume, and of the logical volume, which LVM rounds up.
    size: u64,
    room: u64,
    data_block: u64,
    /// If the pool does not zero.
    blocks: Option<WholeBlocks>,
    starts_empty: bool,
    done: bool,
}

/// What a restore begins with.
pub enum Start<'a> {
    Empty,
    InPlace(&'a Volume),
    Clone(&'a str),
}

impl LvmGoal {
    /// Makes or opens what is written to.
    pub fn new(
        thin: &Arc<Thin>,
        archive: &str,
        local: &str,
        size: u64,
        listing: &Listing,
        start: Start<'_>,
    ) -> Result<Self, SourceError> {
        let place = thin.path(local);
        if size == 0 {
            let detail = "a thin volume cannot be empty";
            return Err(SourceError::new(SourceErrorKind::NotAVolume, place, detail));
        }
        let bytes = format!("{size}b");
        let new = our_name(local, archive, Part::New);
        let pool = thin.place();
        let starts_empty = matches!(start, Start::Empty);
        let in_place = matches!(start, Start::InPlace(_));
        let made = |shape: &[&str], from: &str| {
            let rest = [
                "--setactivationskip",
                "n",
                "--activate",
                "y",
                "--name",
                &new,
            ];
            lvm(&place, "lvcreate", &[shape, &rest, &[from]].concat())
        };
        let written = match start {
            Start::Empty => {
                let shape = [
                    "--type",
                    "thin",
                    "--virtualsize",
                    &bytes,
                    "--thinpool",
                    &pool,
                ];
                made(&shape, &thin.group)?;
                new.clone()
            }
            Start::Clone(snapshot) => {
                let origin = thin.path(snapshot);
                let shape = ["--snapshot", "--permission", "rw"];
                made(&shape, &origin)?;
                new.clone()
            }
            Start::InPlace(volume) => {
                let on = ["--activate", "y", "--ignoreactivationskip", &place];
                if !volume.is_active() {
                    lvm(&place, "lvchange", &on)?;
                }
                volume.name.clone()
            }
        };
        let mut goal = Self {
            thin: Arc::clone(thin),
            local: local.to_owned(),
            archive: archive.to_owned(),
            written,
            device: None,
            size,
            room: size,
            data_block: listing.pool().map_or(0, Volume::data_block),
            blocks: None,
            starts_empty,
            // Nothing to remove if it fails.
            done: in_place,
        };
        let had = if starts_empty { 0 } else { goal.resize()? };
        goal.open()?;
        goal.blocks = WholeBlocks::needed(listing, goal.room);
        if !in_place && !starts_empty {
            // A volume that was made smaller keeps its blocks behind the end, and shows them again when it grows (lvresize discards nothing): what
            // the snapshot did not have reads as zeros, or a restore of the difference only would take it for content.
            goal.zero(VolumeRange {
                start: had.min(goal.room),
                end: goal.room,
            })?;
        }
        Ok(goal)
    }

    fn open(&mut self) -> Result<(), SourceError> {
        let path = self.thin.device(&self.written);
        let goal = DeviceGoal::open(&path, self.size)?;
        let in_words = |error| storage_error(&self.place(), error);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(in_words)?;
        self.room = rustix::fs::seek(&fd, rustix::fs::SeekFrom::End(0)).map_err(in_words)?;
        self.device = Some((goal, File::from(fd)));
        Ok(())
    }

    /// Gives a clone, or the volume itself, the size that is restored. Returns the size it had.
    fn resize(&self) -> Result<u64, SourceError> {
        let listing = Listing::read(&self.thin.group, &self.thin.pool)?;
        let now = listing.volume(&self.written).map_or(0, Volume::size);
        let extent = listing.extent();
        let wanted = self.size.div_ceil(extent).saturating_mul(extent);
        if now == wanted {
            return Ok(now);
        }
        let bytes = format!("{wanted}b");
        let path = self.thin.path(&self.written);
        let how = ["--force", "--size", &bytes, &path];
        lvm(&path, "lvresize", &how)?;
        Ok(now)
    }

    fn place(&self) -> String {
        self.thin.path(&self.local)
    }

    fn device(&self) -> Result<&(DeviceGoal, File), SourceError> {
        self.device
            .as_ref()
            .ok_or_else(|| SourceError::new(SourceErrorKind::NotFound, self.place(), "not open"))
    }

    /// Gives whole data blocks back to the pool; they read as zeros then. Whether it could.
    fn discard(&self, range: VolumeRange) -> Result<bool, SourceError> {
        let (_, file) = self.device()?;
        if let Some(blocks) = &self.blocks {
            blocks.before_discard(range);
        }
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(most_discarded(self.data_block));
            match nacre_sys::discard(file, at, length) {
                Ok(()) => {}
                // The pool was told to ignore discards.
                Err(Errno::OPNOTSUPP | Errno::INVAL) => return Ok(false),
                Err(error) => return Err(storage_error(&self.place(), error)),
            }
            at += length;
        }
        Ok(true)
    }

    /// Zeros where no whole data block is: written only if there is something else.
    fn zero_edge(&self, range: VolumeRange) -> Result<(), SourceError> {
        if range.start >= range.end {
            return Ok(());
        }
        let (goal, _) = self.device()?;
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        if length <= 2 << 20 {
            let mut there = vec![0; length];
            goal.read_at(range.start, &mut there)?;
            if there.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
        }
        if let Some(blocks) = &self.blocks {
            blocks.before_write(goal, range)?;
        }
        goal.zero(range)
    }

    /// Puts what was restored into the volume's place.
    fn publish(&self) -> Result<(), SourceError> {
        let listing = Listing::read(&self.thin.group, &self.thin.pool)?;
        let old = our_name(&self.local, &self.archive, Part::Old);
        let rename = |from: &str, to: &str| {
            let arguments = [self.thin.group.as_str(), from, to];
            lvm(&self.place(), "lvrename", &arguments)
        };
        let there = listing.volume(&self.local);
        if let Some(there) = there {
            check_free(&self.thin, there)?;
            rename(&self.local, &old)?;
        }
        if let Err(error) = rename(&self.written, &self.local) {
            if there.is_some() {
                // If this fails as well, the next run does it.
                let _ = rename(&old, &self.local);
            }
            return Err(error);
        }
        if there.is_some() {
            // It is restored; what cannot be removed now is removed by the next restore.
            let _ = remove(&self.thin, &[self.thin.path(&old)]);
        }
        Ok(())
    }
}

impl RestoreGoal for LvmGoal {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let (goal, _) = self.device()?;
        if let Some(blocks) = &self.blocks {
            let end = offset.saturating_add(bytes.len() as u64);
            blocks.before_write(goal, VolumeRange { start: offset, end })?;
        }
        goal.write_at(offset, bytes)
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        let block = self.data_block.max(1);
        let start = range.start.div_ceil(block).saturating_mul(block);
        let end = range.end / block * block;
        if start < end && self.discard(VolumeRange { start, end })? {
            let front = VolumeRange {
                start: range.start,
                end: start,
            };
            self.zero_edge(front)?;
            return self.zero_edge(VolumeRange {
                start: end,
                end: range.end,
            });
        }
        self.zero_edge(range)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.device()?.0.read_at(offset, buffer)
    }

    fn starts_empty(&self) -> bool {
        self.starts_empty
    }

    fn finish(mut self: Box<Self>) -> Result<(), SourceError> {
        if !self.starts_empty {
            // LVM rounds sizes up; what the volume does not have is no content of an older one.
            self.zero(VolumeRange {
                start: self.size,
                end: self.room,
            })?;
        }
        if let Some((device, _)) = self.device.take() {
            // fsync of the device: the pool commits its metadata with the flush.
            Box::new(device).finish()?;
        }
        if self.written != self.local {
            self.publish()?;
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for LvmGoal {
    fn drop(&mut self) {
        self.device = None;
        if !self.done {
            // The restore failed. What cannot be removed now is removed by the next one.
            let _ = remove(&self.thin, &[self.thin.path(&self.written)]);
        }
    }
}

/// Refuses a volume that is in use, by a qube or a mount.
pub fn check_free(thin: &Thin, volume: &Volume) -> Result<(), SourceError> {
    if !volume.is_open() {
        return Ok(());
    }
    let detail = "it is in use; shut the qube down or unmount it, and run this again";
    let place = thin.path(&volume.name);
    Err(SourceError::new(SourceErrorKind::Io, place, detail))
}

/// Whether a crash of a restore left the volume under its other name, which the next restore of it puts right.
pub fn set_aside<'a>(listing: &'a Listing, archive: &str, local: &str) -> Option<&'a Volume> {
    let old = listing.volume(&our_name(local, archive, Part::Old))?;
    listing.volume(local).is_none().then_some(old)
}

/// Puts right what a crash of a restore left: gives the volume its name back. Whether anything was done.
pub fn repair(
    thin: &Thin,
    listing: &Listing,
    archive: &str,
    local: &str,
) -> Result<bool, SourceError> {
    let Some(old) = set_aside(listing, archive, local) else {
        return Ok(false);
    };
    let arguments = [thin.group.as_str(), &old.name, local];
    lvm(&thin.path(local), "lvrename", &arguments)?;
    Ok(true)
}

/// Removes what earlier restores of the volume left beside it.
pub fn remove_left_overs(
    thin: &Thin,
    listing: &Listing,
    archive: &str,
    local: &str,
) -> Result<(), SourceError> {
    let names = [Part::New, Part::Old].map(|part| our_name(local, archive, part));
    let there = names.iter().filter(|name| listing.volume(name).is_some());
    let paths: Vec<String> = there.map(|name| thin.path(name)).collect();
    remove(thin, &paths)
}

/// What is discarded at once: whole data blocks, because of a block that two pieces share the kernel discards nothing, and says nothing.
fn most_discarded(data_block: u64) -> u64 {
    let block = data_block.max(1);
    (DISCARD / block).max(1) * block
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
