//! Listing a class, and sweeping up what dead writers left.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use nacre_wire::{Class, ListEntry, Name};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::folders::{Folder, Folders};
use super::upload::TEMPORARY;
use crate::backend::{DEAD, ListSink, UNLOCKED};
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
        sweep(root, entry.file_name());
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
        if sweep(fd, entry.file_name()) {
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

/// Removes a temporary file if its writer is dead. Failing is no harm: the file only takes space, and the next listing tries
/// again. `false`: it is no temporary file.
fn sweep(folder: BorrowedFd<'_>, file: &CStr) -> bool {
    let begins = |with: &str| file.to_bytes().starts_with(with.as_bytes());
    let dead = if begins(TEMPORARY) {
        is_unlocked(folder, file)
    } else if begins(UNLOCKED) {
        is_old(folder, file)
    } else {
        return false;
    };
    if dead {
        let _ = rustix::fs::unlinkat(folder, file, AtFlags::empty());
    }
    true
}

/// A living writer of this machine's holds the lock of its file.
fn is_unlocked(folder: BorrowedFd<'_>, file: &CStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let leftover = rustix::fs::openat(folder, file, flags, Mode::empty());
    leftover.is_ok_and(|leftover| {
        rustix::fs::flock(&leftover, FlockOperation::NonBlockingLockExclusive).is_ok()
    })
}

/// One that writes by SFTP cannot hold any.
fn is_old(folder: BorrowedFd<'_>, file: &CStr) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let stat = rustix::fs::statat(folder, file, AtFlags::SYMLINK_NOFOLLOW);
    let (Ok(now), Ok(stat)) = (now, stat) else {
        return false;
    };
    u64::try_from(stat.st_mtime).is_ok_and(|then| now.as_secs().saturating_sub(then) > DEAD.into())
}
