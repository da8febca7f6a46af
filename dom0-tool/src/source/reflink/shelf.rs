//! The folder with one archive's snapshots: `.nacre-snapshots/<8 hex of the archive id>/<name>.<n>`.
//!
//! A snapshot is a clone (FICLONE), mode 0400. It is made under its own name: what a crash leaves half made is a snapshot that no session and
//! no link knows, and goes with the next commit or `monitor`. Whoever uses one holds a shared lock on it (flock, so that it ends with the
//! process), and only what nobody uses is removed.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nacre_core::ids::ArchiveId;
use rustix::fs::{FileType, FlockOperation, IFlags, Mode, OFlags};
use rustix::io::Errno;

use super::identity::Identity;
use super::names::{SHELF, escape, parse_snapshot};
use crate::joints::{SourceError, SourceErrorKind};
use crate::source::storage_error;

/// How often a volume is cloned again because another file got its name meanwhile.
const ATTEMPTS: usize = 20;

/// The folder, which may not exist yet.
#[derive(Debug)]
pub struct Shelf {
    above: PathBuf,
    folder: PathBuf,
}

/// A snapshot file, opened, and locked against removal.
#[derive(Debug)]
pub struct Held {
    /// Its number among those of the volume.
    pub number: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// Open for reading, locked.
    pub file: File,
    /// What it is.
    pub identity: Identity,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a process that is being started just now and has not yet closed what it inherited.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// A clone of which nothing is on the disk yet.
pub struct Fresh {
    number: u64,
    path: PathBuf,
    file: File,
}

impl Shelf {
    /// For the volumes below `root`.
    pub fn new(root: &Path, archive: ArchiveId) -> Self {
        let above = root.join(SHELF);
        let id = archive.to_string();
        let folder = above.join(id.get(..8).unwrap_or(&id));
        Self { above, folder }
    }

    /// Makes the folder, for its owner alone. It is durable once [`Shelf::settle`] has been called.
    pub fn make(&self) -> Result<(), SourceError> {
        for folder in [&self.above, &self.folder] {
            let in_words = |error| storage_error(&folder.display().to_string(), error);
            match rustix::fs::mkdir(folder, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(in_words(error)),
            }
            let status = rustix::fs::lstat(folder).map_err(in_words)?;
            let is_folder = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
            let own = status.st_uid == rustix::process::geteuid().as_raw();
            if !is_folder || !own {
                let detail = "it must be a folder of the user who runs nacre; move it away";
                let place = folder.display().to_string();
                return Err(SourceError::new(
                    SourceErrorKind::NoSnapshots,
                    place,
                    detail,
                ));
            }
            if status.st_mode & 0o077 != 0 {
                rustix::fs::chmod(folder, Mode::RWXU).map_err(in_words)?;
            }
        }
        Ok(())
    }

    /// All snapshots, by volume and number.
    fn all(&self) -> Result<BTreeSet<(String, u64)>, SourceError> {
        let in_words = |error: std::io::Error| {
            let place = self.folder.display().to_string();
            SourceError::new(SourceErrorKind::Io, place, error.to_string())
        };
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeSet::new());
            }
            entries => entries.map_err(in_words)?,
        };
        let mut found = BTreeSet::new();
        for entry in entries {
            let name = entry.map_err(in_words)?.file_name();
            found.extend(name.to_str().and_then(parse_snapshot));
        }
        Ok(found)
    }

    /// Names of the volumes that have snapshots.
    pub fn volumes(&self) -> Result<Vec<String>, SourceError> {
        let names: BTreeSet<String> = self.all()?.into_iter().map(|(name, _)| name).collect();
        Ok(names.into_iter().collect())
    }

    /// Numbers of a volume's snapshots, rising.
    pub fn numbers(&self, local: &str) -> Result<Vec<u64>, SourceError> {
        let all = self.all()?.into_iter();
        let of_volume = all.filter(|(name, _)| name == local);
        Ok(of_volume.map(|(_, number)| number).collect())
    }

    fn path(&self, local: &str, number: u64) -> Result<PathBuf, SourceError> {
        Ok(self.folder.join(format!("{}.{number}", escape(local)?)))
    }

    /// Opens a snapshot; `None` if it is gone.
    pub fn hold(&self, local: &str, number: u64) -> Result<Option<Held>, SourceError> {
        let path = self.path(local, number)?;
        let in_words = |error| storage_error(&path.display().to_string(), error);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(in_words(error)),
        };
        // Somebody who looks whether it is used holds it for an instant.
        rustix::fs::flock(&file, FlockOperation::LockShared).map_err(in_words)?;
        let status = rustix::fs::fstat(&file).map_err(in_words)?;
        let regular = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
        if status.st_nlink == 0 || !regular {
            return Ok(None);
        }
        let identity = Identity::of(&file).map_err(in_words)?;
        Ok(Some(Held {
            number,
            path,
            file,
            identity,
        }))
    }

    /// Opens all snapshots of a volume but one.
    pub fn others(&self, local: &str, except: Option<u64>) -> Result<Vec<Held>, SourceError> {
        let numbers = self.numbers(local)?;
        let others = numbers.into_iter().filter(|number| Some(*number) != except);
        let held = others.map(|number| self.hold(local, number).transpose());
        held.flatten().collect()
    }

    /// Removes a snapshot if nobody uses it. Whether it went.
    pub fn remove(&self, local: &str, number: u64) -> Result<bool, SourceError> {
        let path = self.path(local, number)?;
        if !is_unused(&path) {
            return Ok(false);
        }
        match rustix::fs::unlink(&path) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(storage_error(&path.display().to_string(), error)),
        }
    }

    /// Whether a snapshot is there that nobody uses.
    pub fn is_unused(&self, local: &str, number: u64) -> bool {
        self.path(local, number).is_ok_and(|path| is_unused(&path))
    }

    /// Removes the folders if they are empty.
    pub fn tidy(&self) {
        for folder in [&self.folder, &self.above] {
            // Refused while something is in it, which is as it should be.
            let _ = rustix::fs::rmdir(folder);
        }
    }

    /// Clones the file at `path`, whatever has that name at the moment, as the newest snapshot of a volume.
    pub fn take(&self, local: &str, path: &Path) -> Result<Fresh, SourceError> {
        let number = self.numbers(local)?.last().map_or(0, |last| *last);
        let number = number.checked_add(1).unwrap_or(1);
        let target = self.path(local, number)?;
        let in_words = |error| storage_error(&target.display().to_string(), error);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::open(&target, flags, Mode::RUSR).map_err(in_words)?;
        let fresh = Fresh {
            number,
            path: target,
            file: File::from(file),
        };
        let cloned = rustix::fs::flock(&fresh.file, FlockOperation::LockShared)
            .map_err(|error| storage_error(&fresh.path.display().to_string(), error))
            .and_then(|()| clone_current(&fresh.file, local, path));
        if cloned.is_err() {
            let _ = rustix::fs::unlink(&fresh.path);
        }
        cloned.map(|()| fresh)
    }

    /// Makes the names of fresh snapshots durable, those of the folders included.
    pub fn settle(&self) -> Result<(), SourceError> {
        let root = self.above.parent().unwrap_or(Path::new("/"));
        for folder in [self.folder.as_path(), &self.above, root] {
            let in_words = |error| storage_error(&folder.display().to_string(), error);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let open = rustix::fs::open(folder, flags, Mode::empty()).map_err(in_words)?;
            rustix::fs::fsync(&open).map_err(in_words)?;
        }
        Ok(())
    }
}

impl Fresh {
    /// Writes it to the disk. Its name is durable only after [`Shelf::settle`].
    pub fn settle(self) -> Result<Held, SourceError> {
        let settled = rustix::fs::fsync(&self.file).and_then(|()| Identity::of(&self.file));
        match settled {
            Ok(identity) => Ok(Held {
                number: self.number,
                path: self.path,
                file: self.file,
                identity,
            }),
            Err(error) => {
                let _ = rustix::fs::unlink(&self.path);
                Err(storage_error(&self.path.display().to_string(), error))
            }
        }
    }
}

fn is_unused(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else {
        return false;
    };
    let unused = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    let _ = rustix::fs::flock(&file, FlockOperation::Unlock);
    unused
}

/// Clones what `path` names. Qubes renames images while qubes stop; if another file has the name after the cloning, it is done again, so that
/// the snapshot is that of a file which was the volume while it was cloned.
fn clone_current(target: &File, local: &str, path: &Path) -> Result<(), SourceError> {
    let in_words = |error| storage_error(local, error);
    for _ in 0..ATTEMPTS {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let source = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(in_words)?);
        let opened = rustix::fs::fstat(&source).map_err(in_words)?;
        if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
            let detail = "only files can be volumes of a folder";
            return Err(SourceError::new(SourceErrorKind::NotAVolume, local, detail));
        }
        clone_file(target, &source).map_err(|error| not_cloned(local, error))?;
        match rustix::fs::stat(path) {
            Ok(now) if (now.st_dev, now.st_ino) == (opened.st_dev, opened.st_ino) => return Ok(()),
            // Between two renames there may be no file of the name.
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(in_words(error)),
        }
        rustix::fs::ftruncate(target, 0).map_err(in_words)?;
    }
    let detail = "other files get its name all the time; try again";
    Err(SourceError::new(
        SourceErrorKind::NoSnapshots,
        local,
        detail,
    ))
}

fn not_cloned(local: &str, error: Errno) -> SourceError {
    let detail = match error {
        Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS | Errno::INVAL => {
            "its file system does not clone files (reflink), as Btrfs and XFS do; \
             back it up with --import-other-from instead"
        }
        Errno::XDEV => {
            "it lies on another file system than the folder; name the folder that it lies in with --local"
        }
        error => return storage_error(local, error),
    };
    SourceError::new(SourceErrorKind::NoSnapshots, local, detail)
}

/// Makes an empty file a clone of another one (FICLONE).
pub fn clone_file(target: &File, source: &File) -> Result<(), Errno> {
    // Btrfs clones only between files that both have checksums, or both have none, which a file without copy-on-write has not. The flag
    // can be set while the file is empty. Other file systems do not know it.
    if let Ok(flags) = rustix::fs::ioctl_getflags(source.as_fd())
        && flags.contains(IFlags::NOCOW)
        && let Ok(own) = rustix::fs::ioctl_getflags(target.as_fd())
    {
        let _ = rustix::fs::ioctl_setflags(target.as_fd(), own | IFlags::NOCOW);
    }
    rustix::fs::ioctl_ficlone(target, source)
}
