//! Giving a finished file its name, only if that name is free.

use std::os::fd::BorrowedFd;
use std::sync::Mutex;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::upload::make_locked;
use crate::failure::Failure;

/// How names are given here.
pub(super) struct Publishing {
    way: Way,
    known: bool,
}

enum Way {
    /// renameat2(RENAME_NOREPLACE): one atomic step.
    Rename,
    /// linkat, then unlink of the temporary name: atomic, too.
    Link,
    /// Nothing is atomic (FAT, exFAT through FUSE): helpers of this machine take turns at a lock on the archive's folder,
    /// look, and rename. The mutex keeps threads of this helper apart.
    Serialised(Mutex<()>),
}

/// File systems (`f_type` of statfs, linux/magic.h) whose renameat2 is known to refuse, and to leave what was synced as it is: ext4, XFS, Btrfs, tmpfs.
const KNOWN: [i64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];

impl Publishing {
    /// Finds out what the file system can; tries it out where that is not known. Where nothing can be tried (read-only),
    /// the first attempt to write will say so.
    pub(super) fn detect(root: BorrowedFd<'_>) -> Self {
        let known = |stat: rustix::fs::StatFs| KNOWN.contains(&stat.f_type);
        let known = rustix::fs::fstatfs(root).is_ok_and(known);
        let way = if known { Way::Rename } else { try_out(root) };
        Self { way, known }
    }

    pub(super) fn is_serialised(&self) -> bool {
        matches!(self.way, Way::Serialised(_))
    }

    /// Whether a file must be fsynced once more when it has its name. FAT's rename (vfat_rename of Linux) makes a new entry that says "no bytes",
    /// marks the inode as dirty, and leaves it to that to enter size and first cluster some time later; fsync of the folder writes the entry as it
    /// stands. The fsync before the rename wrote the old entry. So does whoever keeps a file's size with its name: where the file system is
    /// not known to keep it elsewhere, there is a second fsync. A power cut between the rename and that leaves an object without content, which
    /// nobody was told of. A second link needs none: it leads to what was synced.
    pub(super) fn unsettles(&self) -> bool {
        !self.known && !matches!(self.way, Way::Link)
    }

    /// Renames `temporary` to `name` within `folder`. `false`: `name` is taken, and `temporary` is still there.
    pub(super) fn publish(
        &self,
        root: BorrowedFd<'_>,
        folder: BorrowedFd<'_>,
        temporary: &str,
        name: &str,
    ) -> Result<bool, Failure> {
        let result = match &self.way {
            Way::Rename => rename(folder, temporary, name),
            Way::Link => link(folder, temporary, name),
            Way::Serialised(turn) => {
                let _turn = turn
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                rename_under_lock(root, folder, temporary, name)
            }
        };
        match result {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(Failure::kernel("give the object its name", errno)),
        }
    }
}

/// Gives a file of its own another name, by each way until one works.
fn try_out(root: BorrowedFd<'_>) -> Way {
    let Ok((_lock, name)) = make_locked(root) else {
        return Way::Rename;
    };
    let target = format!("{name}-2");
    let found = if rename(root, &name, &target).is_ok() {
        Way::Rename
    } else if link(root, &name, &target).is_ok() {
        Way::Link
    } else {
        Way::Serialised(Mutex::new(()))
    };
    for leftover in [&name, &target] {
        let _ = rustix::fs::unlinkat(root, leftover, AtFlags::empty());
    }
    found
}

fn rename(folder: BorrowedFd<'_>, from: &str, to: &str) -> Result<(), Errno> {
    rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE)
}

fn link(folder: BorrowedFd<'_>, from: &str, to: &str) -> Result<(), Errno> {
    rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
    // The object has its name. A crash before this, or its failure, leaves a second one, which is swept up later as a leftover.
    let _ = rustix::fs::unlinkat(folder, from, AtFlags::empty());
    Ok(())
}

fn rename_under_lock(
    root: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
    from: &str,
    to: &str,
) -> Result<(), Errno> {
    // flock belongs to an open file description, so each turn opens its own; closing it unlocks.
    let lock = rustix::fs::openat(
        root,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    match rustix::fs::statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => rustix::fs::renameat(folder, from, folder, to),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::Command;

    use super::*;

    /// A folder from which nothing can be removed. Making one takes root.
    #[test]
    fn an_object_that_has_its_name_is_there_even_if_the_other_name_cannot_be_removed() {
        let place = tempfile::tempdir().unwrap();
        let chattr = |how| {
            let status = Command::new("chattr").arg(how).arg(place.path()).status();
            status.is_ok_and(|status| status.success())
        };
        std::fs::write(place.path().join("temporary"), b"object").unwrap();
        let folder = std::fs::File::open(place.path()).unwrap();
        if !chattr("+a") {
            println!("skipped: chattr +a cannot be used here");
            return;
        }
        let linked = link(folder.as_fd(), "temporary", "name");
        let again = link(folder.as_fd(), "temporary", "name");
        assert!(chattr("-a"));
        assert!(place.path().join("temporary").exists(), "it could not");
        assert_eq!((linked, again), (Ok(()), Err(Errno::EXIST)));
    }
}
