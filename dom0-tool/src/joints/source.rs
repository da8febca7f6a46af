//! Local volumes: what is read by `send` and written by `receive` (DESIGN 5).

use std::fmt;

/// A half-open range of bytes of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeRange {
    /// First byte.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
}

/// What may differ from an earlier snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Not known: everything but holes must be read and compared by content. Says why, for the user.
    Everything(String),
    /// Only these ranges, sorted and apart; whatever lies outside is as it was.
    Ranges(Vec<VolumeRange>),
}

/// Where volumes are read from. All volumes of a session are frozen first, close together, then read.
pub trait VolumeSource: Send + Sync {
    /// Names of the volumes that are there.
    fn list(&self) -> Result<Vec<String>, SourceError>;
    /// Freezes the volumes and opens them for reading, in the order asked for.
    fn freeze(&self, names: &[String]) -> Result<Vec<Box<dyn FrozenVolume>>, SourceError>;
}

/// A volume at one point in time.
pub trait FrozenVolume: Send + Sync {
    /// Its name in the archive.
    fn name(&self) -> &str;
    /// Its size in bytes; need not be a multiple of anything.
    fn size(&self) -> u64;
    /// What recognises this very snapshot later; empty where the storage has no such thing.
    fn identity(&self) -> Vec<u8>;
    /// What may have changed since the snapshot with that identity was taken.
    fn changes_since(&self, identity: &[u8]) -> Result<Changes, SourceError>;
    /// The first range of data at or after `from`, or `None` when only holes follow. Holes read as zeros.
    fn next_data(&self, from: u64) -> Result<Option<VolumeRange>, SourceError>;
    /// Fills `buffer` from `offset`; what lies behind the volume's end is zero.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError>;
    /// The session with this volume is committed: the snapshot may replace its predecessor.
    fn committed(&mut self) -> Result<(), SourceError>;
}

/// Where one volume is restored to.
pub trait RestoreGoal: Send + Sync {
    /// Writes bytes.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError>;
    /// Makes a range read as zeros, as a hole where the storage has holes.
    fn zero(&self, range: VolumeRange) -> Result<(), SourceError>;
    /// Fills `buffer` with what is there now; behind the end of what is there: zeros.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError>;
    /// Whether everything reads as zeros that was not written, so that zeros need not be.
    fn starts_empty(&self) -> bool;
    /// Makes it durable and puts it into place. Only after this has it been restored.
    fn finish(self: Box<Self>) -> Result<(), SourceError>;
}

/// What went wrong with local storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// No such volume, file or device.
    NotFound,
    /// It exists and may not be overwritten.
    Exists,
    /// Not something that can be read or written as a volume.
    NotAVolume,
    /// The volume became smaller while it was being read.
    Shrank,
    /// The medium cannot be read.
    Unreadable,
    /// No space left to restore to.
    NoSpace,
    /// The goal is too small.
    TooSmall,
    /// Anything else the kernel said.
    Io,
}

/// An error of local storage: what, where, and the kernel's word.
#[derive(Clone, Debug)]
pub struct SourceError {
    /// The case.
    pub kind: SourceErrorKind,
    /// The file, device or volume.
    pub place: String,
    /// More, where there is more to say.
    pub detail: String,
}

impl SourceError {
    /// Makes an error.
    pub fn new(kind: SourceErrorKind, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            place: place.into(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            SourceErrorKind::NotFound => "not found",
            SourceErrorKind::Exists => "is there already",
            SourceErrorKind::NotAVolume => "is neither a file nor a block device",
            SourceErrorKind::Shrank => "became smaller while it was being read",
            SourceErrorKind::Unreadable => "cannot be read",
            SourceErrorKind::NoSpace => "has no space left",
            SourceErrorKind::TooSmall => "is too small",
            SourceErrorKind::Io => "failed",
        };
        write!(f, "{} {what}", self.place)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for SourceError {}
