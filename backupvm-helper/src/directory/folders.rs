//! The folders of an archive: opened once, made when first needed, fsynced at the barrier.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, OnceLock, PoisonError};

use nacre_wire::{Class, ErrorCode, Name};
use rustix::fs::Mode;
use rustix::io::Errno;

use super::locate::{FOLDER_FLAGS, FOLDER_MODE};
use crate::failure::{Failure, While};

/// A folder of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Folder {
    /// The archive itself.
    Root,
    /// `header`, `head` or `pack`.
    Class(Class),
    /// `pack/xx`
    Shard(u8),
}

impl Folder {
    pub(super) fn of(name: Name) -> Self {
        name.shard().map_or(Self::Class(name.class()), Self::Shard)
    }

    fn parent(self) -> Option<Self> {
        match self {
            Self::Root => None,
            Self::Class(_) => Some(Self::Root),
            Self::Shard(_) => Some(Self::Class(Class::Pack)),
        }
    }

    fn file_name(self) -> String {
        match self {
            Self::Root => ".".into(),
            Self::Class(class) => class.folder().into(),
            Self::Shard(byte) => format!("{byte:02x}"),
        }
    }

    fn slot(self) -> usize {
        match self {
            Self::Root => 0,
            Self::Class(class) => usize::from(class.to_byte()),
            Self::Shard(byte) => 4 + usize::from(byte),
        }
    }
}

/// Slots for the root (unused), three classes and 256 shards.
const SLOTS: usize = 4 + 256;

/// Open folders, and which of them hold names that are not yet durable.
pub(super) struct Folders {
    root: OwnedFd,
    open: Vec<OnceLock<OwnedFd>>,
    dirty: Mutex<BTreeSet<Folder>>,
    /// Those that something was put into.
    used: Mutex<BTreeSet<Folder>>,
    /// Held during a barrier: a later one must wait for the folders that an earlier one is at. `true` once an fsync has
    /// failed: the kernel reports a lost write only once, and which folders were left nobody knows any more, so no later barrier of this helper may
    /// claim success.
    barrier: Mutex<bool>,
}

impl Folders {
    /// The folders below `root`. Without `create` the archive must be there.
    pub(super) fn open(root: OwnedFd, create: bool) -> Result<Self, Failure> {
        let folders = Self {
            root,
            open: (0..SLOTS).map(|_| OnceLock::new()).collect(),
            // The helper before us may have died between making a folder and its barrier.
            dirty: Mutex::new(BTreeSet::from([Folder::Root, Folder::Class(Class::Pack)])),
            used: Mutex::default(),
            barrier: Mutex::new(false),
        };
        for class in Class::ALL {
            if create {
                folders.made(Folder::Class(class))?;
            } else if class == Class::Header && folders.opened(Folder::Class(class))?.is_none() {
                let text = "the folder is there but holds no archive";
                return Err(Failure::new(ErrorCode::NoArchive, text));
            }
        }
        if create {
            folders.barrier()?;
        }
        Ok(folders)
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The folder in which an object lies; `None` when not even that is there.
    pub(super) fn existing(&self, name: Name) -> Result<Option<BorrowedFd<'_>>, Failure> {
        self.opened(Folder::of(name))
    }

    pub(super) fn opened(&self, folder: Folder) -> Result<Option<BorrowedFd<'_>>, Failure> {
        let Some(parent) = folder.parent() else {
            return Ok(Some(self.root()));
        };
        let slot = self.slot(folder)?;
        if let Some(open) = slot.get() {
            return Ok(Some(open.as_fd()));
        }
        let Some(parent) = self.opened(parent)? else {
            return Ok(None);
        };
        match rustix::fs::openat(parent, folder.file_name(), FOLDER_FLAGS, Mode::empty()) {
            Ok(fd) => Ok(Some(slot.get_or_init(|| fd).as_fd())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Failure::kernel("open a folder of the archive", errno)),
        }
    }

    /// The folder in which something is to be put, made if it is not there.
    pub(super) fn made(&self, folder: Folder) -> Result<BorrowedFd<'_>, Failure> {
        if self.opened(folder)?.is_none()
            && let Some(parent) = folder.parent()
        {
            let at = self.made(parent)?;
            match rustix::fs::mkdirat(at, folder.file_name(), FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => {
                    return Err(Failure::kernel("make a folder of the archive", errno));
                }
            }
        }
        let there = self
            .opened(folder)?
            .ok_or_else(|| Failure::new(ErrorCode::Io, "a folder of the archive vanished"))?;
        self.mark_name(folder);
        Ok(there)
    }

    /// A folder's own name is to become durable with the first thing that is put into it, also where another helper has made the
    /// folder: that one may not have come to its barrier.
    fn mark_name(&self, folder: Folder) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parent) = folder.parent()
            && !used.contains(&folder)
        {
            self.mark(parent);
            used.insert(folder);
        }
    }

    fn slot(&self, folder: Folder) -> Result<&OnceLock<OwnedFd>, Failure> {
        self.open
            .get(folder.slot())
            .ok_or_else(|| Failure::new(ErrorCode::Io, "no such folder"))
    }

    /// The folder of this name has changed. To be called before the change is answered.
    pub(super) fn mark_dirty(&self, name: Name) {
        self.mark(Folder::of(name));
    }

    /// The folder has changed. To be called before the change is answered.
    pub(super) fn mark(&self, folder: Folder) {
        self.dirty
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(folder);
    }

    /// Makes all names durable that were answered before.
    pub(super) fn barrier(&self) -> Result<(), Failure> {
        let mut failed = self.barrier.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed {
            let text =
                "an earlier fsync failed; what was written since the barrier before it may be lost";
            return Err(Failure::new(ErrorCode::Io, text));
        }
        let dirty = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        // Children first, so that a folder's own name becomes durable after what is in it; either order would be safe.
        let synced = dirty.into_iter().rev().try_for_each(|folder| {
            let fd = self.opened(folder)?;
            fd.map_or(Ok(()), fsync_folder)
                .doing("fsync a folder of the archive")
        });
        *failed = synced.is_err();
        synced
    }
}

/// File systems without fsync for folders (some FUSE ones) say EINVAL or ENOSYS: there nothing more can be done than to
/// push out everything.
fn fsync_folder(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    match rustix::fs::fsync(fd) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rustix::fs::syncfs(fd),
        result => result,
    }
}

/// Makes the content of a file durable.
pub(super) fn fsync_file(file: BorrowedFd<'_>) -> Result<(), Failure> {
    rustix::fs::fsync(file).doing("fsync")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_folder_that_another_helper_has_made_is_forced_to_the_disk_too() {
        let place = tempfile::tempdir().unwrap();
        let open = || {
            let root = rustix::fs::open(place.path(), FOLDER_FLAGS, Mode::empty()).unwrap();
            Folders::open(root, true).unwrap()
        };
        let (ours, others) = (open(), open());
        others.made(Folder::Shard(7)).unwrap();
        let packs = Folder::Class(Class::Pack);
        let is_dirty = || ours.dirty.lock().unwrap().contains(&packs);
        assert!(!is_dirty());
        // Reading is no reason.
        ours.opened(Folder::Shard(7)).unwrap();
        assert!(!is_dirty());
        ours.made(Folder::Shard(7)).unwrap();
        assert!(is_dirty());
        ours.barrier().unwrap();
        ours.made(Folder::Shard(7)).unwrap();
        assert!(!is_dirty(), "once is enough");
    }
}
