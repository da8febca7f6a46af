//! Locks between processes of ours, in a folder that a boot empties.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::joints::{SourceError, SourceErrorKind};
use crate::source::storage_error;

const RUN: &str = "/run/nacre";
const LONGEST: usize = 1024;

/// A locked file. The lock ends with the process, whatever way that ends; the file stays and is empty.
#[derive(Debug)]
pub struct RunFile {
    file: File,
    path: PathBuf,
}

impl RunFile {
    /// Waits until nobody else has it.
    pub fn lock(name: &str) -> Result<Self, SourceError> {
        Self::open(name, FlockOperation::LockExclusive)
    }

    /// Has it together with others; waits only for those who want it alone.
    pub fn share(name: &str) -> Result<Self, SourceError> {
        Self::open(name, FlockOperation::LockShared)
    }

    fn open(name: &str, how: FlockOperation) -> Result<Self, SourceError> {
        let path = Path::new(RUN).join(name);
        let in_words = |error| storage_error(&path.display().to_string(), error);
        match rustix::fs::mkdir(RUN, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(in_words(error)),
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(in_words)?;
        rustix::fs::flock(&fd, how).map_err(in_words)?;
        let file = File::from(fd);
        Ok(Self { file, path })
    }

    /// Does something that only one who has it alone may do. `None`: others have it as well, and it was not done.
    pub fn alone<T>(&self, what: impl FnOnce() -> T) -> Option<T> {
        let alone = rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive);
        let done = alone.is_ok().then(what);
        // Changing a lock may lose it for a moment; nobody keeps it alone for long.
        let _ = rustix::fs::flock(&self.file, FlockOperation::LockShared);
        done
    }

    /// Replaces what it says. No fsync: the next boot has an empty /run.
    pub fn write(&self, text: &str) -> Result<(), SourceError> {
        let in_words = |error| storage_error(&self.path.display().to_string(), error);
        rustix::fs::ftruncate(&self.file, 0).map_err(in_words)?;
        let written = rustix::io::pwrite(&self.file, text.as_bytes(), 0).map_err(in_words)?;
        if written == text.len() {
            return Ok(());
        }
        let place = self.path.display().to_string();
        Err(SourceError::new(SourceErrorKind::NoSpace, place, ""))
    }

    /// What it says.
    pub fn read(&self) -> String {
        let mut bytes = [0; LONGEST];
        let count = rustix::io::pread(&self.file, &mut bytes[..], 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }
}
