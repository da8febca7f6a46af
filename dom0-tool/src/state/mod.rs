//! dom0's own files about an archive, in a real directory: /var/lib/nacre/ARCHIVE-ID or below `--meta-dir`.

mod directory;
mod lease;
mod lock;

use std::path::PathBuf;

use nacre_core::ids::ArchiveId;

use crate::joints::{StateError, StateErrorKind};

pub use directory::Directory;
pub use lease::Lease;

/// Where state lies unless `--meta-dir` says otherwise.
pub const DEFAULT_BASE: &str = "/var/lib/nacre";

/// The folder of one archive below `base`.
pub fn folder(base: Option<PathBuf>, archive: ArchiveId) -> PathBuf {
    base.unwrap_or_else(|| PathBuf::from(DEFAULT_BASE))
        .join(archive.to_string())
}

fn io_error(place: impl Into<String>, error: &std::io::Error) -> StateError {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            StateErrorKind::NoSpace
        }
        _ => StateErrorKind::Io,
    };
    StateError::new(kind, place, error.to_string())
}
