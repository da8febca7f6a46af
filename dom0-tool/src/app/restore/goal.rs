//! Where qubesd wants a volume's content written: a fresh file or device, which reads as zeros.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use crate::joints::qubes::ImportPlace;
use crate::joints::{RestoreGoal, SourceError, SourceErrorKind, VolumeRange};
use crate::source::{FileGoal, fresh_device};

/// Opens what qubesd has made.
pub fn open_fresh(place: &ImportPlace) -> Result<Box<dyn RestoreGoal>, SourceError> {
    let path = Path::new(&place.path);
    let found = std::fs::metadata(path).map_err(|error| {
        SourceError::new(SourceErrorKind::NotFound, &place.path, error.to_string())
    })?;
    if found.file_type().is_block_device() {
        return fresh_device(path, place.size);
    }
    Ok(Box::new(FileGoal::in_place(path, place.size)?))
}

/// A fresh goal that shows a volume near by, which may hold much of what is wanted: what of it has the right id is taken over, and only
/// the rest is fetched. It may change while it is read: what counts is what was read.
pub struct Near {
    fresh: Box<dyn RestoreGoal>,
    near: File,
}

impl Near {
    /// Over a volume that can be read.
    pub fn new(fresh: Box<dyn RestoreGoal>, near: File) -> Self {
        Self { fresh, near }
    }
}

impl RestoreGoal for Near {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        self.fresh.write_at(offset, bytes)
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        if self.fresh.starts_empty() {
            // Nothing was written there.
            return Ok(());
        }
        self.fresh.zero(range)
    }

    /// What cannot be read there is no loss: it is fetched.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.near.read_at(rest, offset.saturating_add(done as u64)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    rest.fill(0);
                    break;
                }
                Ok(length) => done += length,
            }
        }
        Ok(())
    }

    fn starts_empty(&self) -> bool {
        // It is compared.
        false
    }

    fn keep(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        self.fresh.write_at(offset, bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        self.fresh.finish()
    }
}
