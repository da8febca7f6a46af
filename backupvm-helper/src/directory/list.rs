//! Listing a class, and sweeping up what dead writers left.

use std::os::fd::BorrowedFd;

use nacre_wire::{Class, ListEntry, Name};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::folders::{Folder, Folders};
use super::upload::TEMPORARY;
use crate::backend::ListSink;
use crate::failure::{Failure, While};

/// Calls `each` for every object of the class. Holds one folder's read buffer, not the list.
pub(super) fn list(folders: &Folders, class: Class, each: ListSink<'_>) -> Result<(), Failure> {
    if class != Class::Pack {
        return list_folder(folders, Folder::Class(class), class.folder(), each).map(drop);
    }
    for shard in 0..=u8::MAX {
        let prefix = format!("pack/{shard:02x}");
        if !list_folder(folders, Folder::Shard(shard), &prefix, each)? {
            break;
        }
    }
    Ok(())
}

/// Removes what helpers left in the archive's own folder that died while they tried something out.
pub(super) fn sweep_root(root: BorrowedFd<'_>) {
    for entry in Dir::read_from(root).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .to_bytes()
            .starts_with(TEMPORARY.as_bytes())
        {
            sweep(root, entry.file_name());
        }
    }
}

/// `false` when nobody wants the rest.
fn list_folder(
    folders: &Folders,
    folder: Folder,
    prefix: &str,
    each: ListSink<'_>,
) -> Result<bool, Failure> {
    let Some(fd) = folders.opened(folder)? else {
        return Ok(true);
    };
    // A description of its own, so that listings in several threads do not share a position.
    for entry in Dir::read_from(fd).doing("list a folder")? {
        let entry = entry.doing("list a folder")?;
        let file = entry.file_name().to_bytes();
        if file.starts_with(TEMPORARY.as_bytes()) {
            sweep(fd, entry.file_name());
            continue;
        }
        let path = [prefix.as_bytes(), b"/", file].concat();
        let Some(name) = Name::parse(&path) else {
            continue;
        };
        match rustix::fs::statat(fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                if !each(ListEntry { name, size }) {
                    return Ok(false);
                }
            }
            // Deleted meanwhile, or no object.
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(Failure::kernel("stat", errno)),
        }
    }
    Ok(true)
}

/// Removes a temporary file if its writer is dead: a living one holds its lock. Failing is no harm: the file only takes
/// space, and the next listing tries again.
fn sweep(folder: BorrowedFd<'_>, file: &std::ffi::CStr) {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    if let Ok(leftover) = rustix::fs::openat(folder, file, flags, Mode::empty())
        && rustix::fs::flock(&leftover, FlockOperation::NonBlockingLockExclusive).is_ok()
    {
        let _ = rustix::fs::unlinkat(folder, file, AtFlags::empty());
    }
}
