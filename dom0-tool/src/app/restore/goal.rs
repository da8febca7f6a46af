//! Where qubesd wants a volume's content written: a fresh file or device, which reads as zeros.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::joints::qubes::ImportPlace;
use crate::joints::{RestoreGoal, SourceError, SourceErrorKind, VolumeRange};
use crate::source::{DeviceGoal, FileGoal};

/// A goal of which it is known that nothing was written to it. A thin volume is not filled with zeros that it has already.
pub struct Fresh(Box<dyn RestoreGoal>);

impl Fresh {
    /// Opens what qubesd has made.
    pub fn open(place: &ImportPlace) -> Result<Self, SourceError> {
        let path = Path::new(&place.path);
        let found = std::fs::metadata(path).map_err(|error| {
            SourceError::new(SourceErrorKind::NotFound, &place.path, error.to_string())
        })?;
        let goal: Box<dyn RestoreGoal> = if found.file_type().is_block_device() {
            Box::new(DeviceGoal::open(path, place.size)?)
        } else {
            Box::new(FileGoal::in_place(path, place.size)?)
        };
        Ok(Self(goal))
    }
}

impl RestoreGoal for Fresh {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        self.0.write_at(offset, bytes)
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        self.0.zero(range)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.0.read_at(offset, buffer)
    }

    fn starts_empty(&self) -> bool {
        true
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        self.0.finish()
    }
}
