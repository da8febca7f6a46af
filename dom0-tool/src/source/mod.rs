//! Local storage: volumes that are read, and goals that are restored to.

mod goal;
mod plain;

pub use goal::{DeviceGoal, FileGoal};
pub use plain::{PlainSource, PlainVolume};

use nacre_sys::errno_kind;

use crate::joints::{SourceError, SourceErrorKind};

/// Puts the kernel's error into words, for the file or device at `place`.
fn storage_error(place: &str, error: rustix::io::Errno) -> SourceError {
    let kind = match errno_kind(error) {
        nacre_sys::ErrnoKind::NotFound => SourceErrorKind::NotFound,
        nacre_sys::ErrnoKind::Exists => SourceErrorKind::Exists,
        nacre_sys::ErrnoKind::NoSpace => SourceErrorKind::NoSpace,
        nacre_sys::ErrnoKind::Medium => SourceErrorKind::Unreadable,
        nacre_sys::ErrnoKind::Other => SourceErrorKind::Io,
    };
    SourceError::new(kind, place, error.to_string())
}
