//! Restoring into a pool.

use std::sync::Arc;

use super::command::lvm;
use super::discarded::Discarded;
use super::frozen::remove;
use super::listing::{Listing, Volume};
use super::names::{Part, our_name};
use super::thin::Thin;
use super::thin_device::ThinDevice;
use crate::joints::{Ranges, RestoreGoal, SourceError, SourceErrorKind, VolumeRange};

/// What was discarded is read in pieces of this size.
const PIECE: u64 = 1 << 20;

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
    device: Option<ThinDevice>,
    /// Bytes of the restored volume; LVM rounds the device's up.
    size: u64,
    /// What is to read as zeros, if the kernel did as it was told.
    discarded: Discarded,
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
            discarded: Discarded::default(),
            // Nothing to remove if it fails.
            done: in_place,
        };
        let had = if starts_empty { 0 } else { goal.resize()? };
        let path = thin.device(&goal.written);
        let device = ThinDevice::open(&path, size, listing, starts_empty)?;
        let room = device.room();
        goal.device = Some(device);
        if !in_place && !starts_empty {
            // A volume that was made smaller keeps its blocks behind the end, and shows them again when it grows (lvresize discards nothing): what
            // the snapshot did not have reads as zeros, or a restore of the difference only would take it for content.
            goal.zero(VolumeRange {
                start: had.min(room),
                end: room,
            })?;
            goal.see_to_zeros()?;
        }
        Ok(goal)
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

    fn device(&self) -> Result<&ThinDevice, SourceError> {
        self.device
            .as_ref()
            .ok_or_else(|| SourceError::new(SourceErrorKind::NotFound, self.place(), "not open"))
    }

    /// Zeros where no whole data block is: written only if there is something else.
    fn zero_edge(&self, range: VolumeRange) -> Result<(), SourceError> {
        if range.start >= range.end {
            return Ok(());
        }
        let device = self.device()?;
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        if length <= 2 << 20 {
            let mut there = vec![0; length];
            device.read_at(range.start, &mut there)?;
            if there.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
        }
        device.zero(range)
    }

    /// Looks whether what was discarded reads as zeros, and writes zeros where it does not. A pool that passes discards down gives one up, and says
    /// nothing, where it lacks memory for it, cannot read its metadata, or has the block in use (the kernel's dm-thin.c).
    fn see_to_zeros(&self) -> Result<(), SourceError> {
        let discarded = self.discarded.take();
        if discarded.is_empty() {
            return Ok(());
        }
        // Where the pool cannot be asked, all of it is read.
        let mapped = self.mapped();
        let mapped = mapped.unwrap_or_else(|_| Ranges::one(0, u64::MAX));
        let mapped = mapped.as_slice();
        for range in discarded {
            let first = mapped.partition_point(|part| part.end <= range.start);
            let parts = mapped.iter().skip(first);
            for part in parts.take_while(|part| part.start < range.end) {
                let end = part.end.min(range.end);
                let mut start = part.start.max(range.start);
                while start < end {
                    let stop = end.min(start.saturating_add(PIECE));
                    self.zero_edge(VolumeRange { start, end: stop })?;
                    start = stop;
                }
            }
        }
        Ok(())
    }

    /// What of the volume has blocks of the pool.
    fn mapped(&self) -> Result<Ranges, SourceError> {
        let gone = || SourceError::new(SourceErrorKind::NotFound, self.place(), "");
        let listing = Listing::read(&self.thin.group, &self.thin.pool)?;
        let volume = listing.volume(&self.written).and_then(Volume::thin_id);
        let id = volume.ok_or_else(gone)?;
        self.thin.with_metadata(|metadata| {
            let device = metadata.device(id)?.ok_or_else(gone)?;
            metadata.mapped(&device)
        })
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
        let end = offset.saturating_add(bytes.len() as u64);
        if self.discarded.touches(VolumeRange { start: offset, end }) {
            // Later, what is written now would look like what the discard left.
            self.see_to_zeros()?;
        }
        self.device()?.write_at(offset, bytes)
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        let device = self.device()?;
        let block = device.block();
        let start = range.start.div_ceil(block).saturating_mul(block);
        let end = range.end / block * block;
        let whole = VolumeRange { start, end };
        if start < end && device.discard(whole)? {
            if self.discarded.add(whole) {
                self.see_to_zeros()?;
            }
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
        self.device()?.read_at(offset, buffer)
    }

    fn starts_empty(&self) -> bool {
        self.device.as_ref().is_some_and(ThinDevice::starts_empty)
    }

    fn is_in_place(&self) -> bool {
        self.written == self.local
    }

    fn finish(mut self: Box<Self>) -> Result<(), SourceError> {
        if !self.starts_empty() {
            // LVM rounds sizes up; what the volume does not have is no content of an older one.
            self.zero(VolumeRange {
                start: self.size,
                end: self.device()?.room(),
            })?;
        }
        self.see_to_zeros()?;
        if let Some(device) = self.device.take() {
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
