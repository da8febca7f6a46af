//! Where qubesd wants a volume's content written: a fresh file or device, which reads as zeros.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use crate::joints::qubes::ImportPlace;
use crate::joints::{RestoreGoal, SourceError, SourceErrorKind, VolumeRange};
use crate::source::{FileGoal, fresh_device};

/// A goal to which nothing was written yet. A thin volume is not filled with zeros that it has already.
pub struct Fresh {
    goal: Box<dyn RestoreGoal>,
    starts_empty: bool,
}

impl Fresh {
    /// Opens what qubesd has made.
    pub fn open(place: &ImportPlace) -> Result<Self, SourceError> {
        let path = Path::new(&place.path);
        let found = std::fs::metadata(path).map_err(|error| {
            SourceError::new(SourceErrorKind::NotFound, &place.path, error.to_string())
        })?;
        if found.file_type().is_block_device() {
            let goal = fresh_device(path, place.size)?;
            let starts_empty = goal.starts_empty();
            return Ok(Self { goal, starts_empty });
        }
        Ok(Self {
            goal: Box::new(FileGoal::in_place(path, place.size)?),
            starts_empty: true,
        })
    }
}

impl RestoreGoal for Fresh {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        self.goal.write_at(offset, bytes)
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        self.goal.zero(range)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.goal.read_at(offset, buffer)
    }

    fn starts_empty(&self) -> bool {
        self.starts_empty
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        self.goal.finish()
    }
}

/// A fresh goal that shows a volume near by, which may hold much of what is wanted: what of it has the right id is taken over, and only
/// the rest is fetched. It may change while it is read: what counts is what was read.
pub struct Near {
    fresh: Fresh,
    near: File,
}

impl Near {
    /// Over a volume that can be read.
    pub fn new(fresh: Fresh, near: File) -> Self {
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
        Box::new(self.fresh).finish()
    }
}
