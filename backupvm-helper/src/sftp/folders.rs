//! The archive's folders over there: made when first needed, forced to the disk at the barrier.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nacre_wire::{Class, ErrorCode};

use super::{Answer, Ask, FOLDER, Packet, READ, Sftp, status};
use crate::failure::Failure;

/// The folder where no path was given.
const DEFAULT: &[u8] = b"nacre";

/// Which folders are known to be there, and which hold names that are not yet durable. Folders are named from the archive's
/// own, which is "".
pub(super) struct Folders {
    root: Vec<u8>,
    made: Mutex<BTreeSet<String>>,
    dirty: Mutex<BTreeSet<String>>,
    /// `true` once an fsync has failed: what was lost is reported once only, so no later barrier may claim success.
    failed: Mutex<bool>,
}

impl Folders {
    pub(super) fn at(path: &[u8]) -> Self {
        let root = if path.is_empty() { DEFAULT } else { path };
        // The helper before us may have died between making a folder and its barrier.
        let dirty = ["", "pack"].map(str::to_owned);
        Self {
            root: root.to_vec(),
            made: Mutex::default(),
            dirty: Mutex::new(dirty.into()),
            failed: Mutex::new(false),
        }
    }

    /// The path of a folder or object.
    pub(super) fn path(&self, name: &str) -> Vec<u8> {
        if name.is_empty() {
            return self.root.clone();
        }
        [&self.root[..], b"/", name.as_bytes()].concat()
    }

    /// The folder of this name has changed. To be called before the change is answered.
    pub(super) fn mark_dirty(&self, name: &str) {
        lock(&self.dirty).insert(folder_of(name).to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `header`, `head` or `pack/xx`; "" for what lies beside them.
pub(super) fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Sftp {
    /// Sees that the archive is there; with `create`, makes it (not its parents) if it is not.
    pub(super) fn open_folders(&self, create: bool) -> Result<(), Failure> {
        let root = self.folders.path("");
        if self.attributes(Ask::Stat, &root)?.is_none() {
            let text = "the folder does not exist";
            let absent = Failure::new(ErrorCode::NoArchive, text);
            if !create {
                return Err(absent);
            }
            self.make(&root).map_err(|failure| match failure.code {
                ErrorCode::NotFound => absent,
                _ => failure,
            })?;
            // The archive's own name: after this a power cut cannot take it.
            let parent = match root.iter().rposition(|byte| *byte == b'/') {
                Some(0) => b"/",
                Some(at) => root.get(..at).unwrap_or(b"/"),
                None => b".",
            };
            if self.extensions.fsync {
                let _ = self.fsync_path(parent);
            }
        }
        if create {
            for class in Class::ALL {
                self.need_folder(class.folder())?;
            }
            return Ok(());
        }
        match self.attributes(Ask::Stat, &self.folders.path("header"))? {
            Some(stat) if stat.is_type(FOLDER) => Ok(()),
            _ => {
                let text = "the folder is there but holds no archive";
                Err(Failure::new(ErrorCode::NoArchive, text))
            }
        }
    }

    /// Makes a folder of the archive if it is not there.
    pub(super) fn need_folder(&self, folder: &str) -> Result<(), Failure> {
        let mut made = lock(&self.folders.made);
        if made.contains(folder) {
            return Ok(());
        }
        let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        for step in [parent, folder] {
            if !step.is_empty() && !made.contains(step) {
                self.make(&self.folders.path(step))?;
                let holder = step.rsplit_once('/').map_or("", |(holder, _)| holder);
                lock(&self.folders.dirty).insert(holder.to_owned());
                made.insert(step.to_owned());
            }
        }
        Ok(())
    }

    /// Makes a folder; one that is there already is as good.
    fn make(&self, path: &[u8]) -> Result<(), Failure> {
        // Only permissions: 0700.
        let fill = |packet: Packet| packet.string(path).u32(4).u32(0o700);
        let answer = self.session.ask(Ask::Mkdir, fill)?;
        if matches!(answer, Answer::Status(status::OK, _)) {
            return Ok(());
        }
        match self.attributes(Ask::Stat, path)? {
            Some(stat) if stat.is_type(FOLDER) => Ok(()),
            _ => Err(super::refusal("make a folder of the archive", &answer)),
        }
    }

    /// Forces a folder of the archive to the disk.
    pub(super) fn fsync_folder(&self, folder: &str) -> Result<(), Failure> {
        self.fsync_path(&self.folders.path(folder))
    }

    /// Forces to the disk what a path leads to. OpenSSH opens a folder like a file for reading, which is all that fsync needs.
    pub(super) fn fsync_path(&self, path: &[u8]) -> Result<(), Failure> {
        let fill = |packet: Packet| packet.string(path).u32(READ).u32(0);
        let handle = self.session.open("open to fsync", Ask::Open, fill)?;
        self.fsync(&handle)
    }

    /// Makes all names durable that were answered before, as far as this server allows.
    pub(super) fn sync_folders(&self) -> Result<(), Failure> {
        let mut failed = lock(&self.folders.failed);
        if *failed {
            let text =
                "an earlier fsync failed; what was written since the barrier before it may be lost";
            return Err(Failure::new(ErrorCode::Io, text));
        }
        let dirty = std::mem::take(&mut *lock(&self.folders.dirty));
        if !self.synced {
            return Ok(());
        }
        for folder in dirty.into_iter().rev() {
            match self.fsync_folder(&folder) {
                Ok(()) => {}
                Err(failure) if failure.code == ErrorCode::NotFound => {}
                Err(failure) => {
                    *failed = true;
                    return Err(failure);
                }
            }
        }
        Ok(())
    }
}
