//! Local storage: volumes that are read, and goals that are restored to.

mod goal;
mod links;
mod lvm;
mod plain;
mod reflink;

pub use goal::{DeviceGoal, FileGoal};
pub use links::{Links, check_file as check_links_file};
pub use lvm::{
    LvmPool, check_metadata as check_lvm_metadata, check_reports as check_lvm_reports, fresh_device,
};
pub use plain::{PlainSource, PlainVolume};
pub use reflink::ReflinkPool;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nacre_core::ids::ArchiveId;
use nacre_sys::errno_kind;

use crate::joints::{Pool, SourceError, SourceErrorKind, StateDir};

/// Opens local storage for an archive: `/path` is a folder on a file system that clones files, `vg/pool` an LVM thin pool. `state` is dom0's
/// own folder for this archive, where links are kept.
pub fn open_pool(
    place: &str,
    archive: ArchiveId,
    state: Arc<dyn StateDir>,
) -> Result<Box<dyn Pool>, SourceError> {
    if place.starts_with('/') {
        let pool = ReflinkPool::open(Path::new(place), archive, Links::new(state))?;
        return Ok(Box::new(pool));
    }
    if place.split('/').filter(|part| !part.is_empty()).count() == 2 {
        return Ok(Box::new(LvmPool::open(place, archive, state)?));
    }
    let detail = "give a folder that begins with /, or a thin pool as vg/pool";
    Err(SourceError::new(
        SourceErrorKind::NoSnapshots,
        place,
        detail,
    ))
}

/// The device of a logical volume, which is there while it is active.
pub fn device_of(group: &str, volume: &str) -> PathBuf {
    Path::new("/dev/mapper").join(lvm::mapper_name(group, volume))
}

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
