//! The unlocked key, remembered for some minutes in a file that lives in memory.
//!
//! The folder must be on a tmpfs, so the key never lies on a file system of a disk, and is gone with the next boot. (The
//! kernel may move a tmpfs to swap; in dom0 that is inside the encrypted disk.) Time is counted since boot, also while the
//! machine sleeps, so that setting the clock prolongs nothing.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nacre_core::ids::ArchiveId;
use rustix::fs::OFlags;
use rustix::time::{ClockId, clock_gettime};
use zeroize::Zeroizing;

use crate::joints::Secret;

/// Marks the file and its version.
const MAGIC: &[u8; 8] = b"nacrekc1";
/// Largest secret that is remembered, in bytes.
const LARGEST: usize = 4096;
/// statfs(2): f_type of a tmpfs.
const TMPFS: i128 = 0x0102_1994;

/// A folder of remembered keys.
#[derive(Clone, Debug)]
pub struct KeyCache {
    folder: PathBuf,
}

/// Why a key could not be remembered or forgotten. Reading never fails: what is not right is not there.
#[derive(Debug)]
pub enum CacheError {
    /// The folder is not in memory, or not private; says which.
    Unfit(PathBuf, &'static str),
    /// The kernel refused.
    Io(PathBuf, std::io::Error),
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, why) = match self {
            Self::Unfit(path, why) => (path, (*why).to_owned()),
            Self::Io(path, error) => (path, error.to_string()),
        };
        write!(
            f,
            "the key cannot be remembered in {} ({why}); give --authmin=0, or a key file with --key-file",
            path.display()
        )
    }
}

impl std::error::Error for CacheError {}

impl KeyCache {
    /// The cache of this user: /run/nacre for root, else a folder in `$XDG_RUNTIME_DIR`; `None` where there is neither.
    pub fn of_this_user() -> Option<Self> {
        if rustix::process::geteuid().is_root() {
            return Some(Self::at(Path::new("/run/nacre")));
        }
        let runtime = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
        runtime
            .is_absolute()
            .then(|| Self::at(&runtime.join("nacre")))
    }

    /// A cache in a folder that is made when a key is stored.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Remembers a secret for so many minutes; what was remembered before is replaced.
    pub fn store(&self, archive: ArchiveId, secret: &[u8], minutes: u8) -> Result<(), CacheError> {
        let expiry = seconds_since_boot().saturating_add(60 * u64::from(minutes));
        self.store_until(archive, secret, expiry)
    }

    fn store_until(
        &self,
        archive: ArchiveId,
        secret: &[u8],
        expiry: u64,
    ) -> Result<(), CacheError> {
        let io = |error| CacheError::Io(self.folder.clone(), error);
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(io(error)),
            _ => {}
        }
        self.check()?;
        self.forget(archive)?;
        let mut content = Zeroizing::new(Vec::with_capacity(16 + secret.len()));
        content.extend_from_slice(MAGIC);
        content.extend_from_slice(&expiry.to_le_bytes());
        content.extend_from_slice(secret);
        // No rename and no fsync: half a file fails its length or its archive's key check, and is not worth keeping.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.file(archive))
            .map_err(io)?;
        file.write_all(&content).map_err(io)
    }

    /// What is remembered and not expired. The caller checks it against the archive: it is only a guess.
    pub fn load(&self, archive: ArchiveId) -> Option<Secret> {
        self.check().ok()?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(self.file(archive))
            .ok()?;
        let found = file.metadata().ok()?;
        let is_ours = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_file() || !is_ours || found.mode() & 0o077 != 0 {
            return None;
        }
        let mut content = Zeroizing::new(Vec::with_capacity(LARGEST + 17));
        file.take(LARGEST as u64 + 17)
            .read_to_end(&mut content)
            .ok()?;
        let (magic, rest) = content.split_first_chunk::<8>()?;
        let (expiry, secret) = rest.split_first_chunk::<8>()?;
        let is_fresh = u64::from_le_bytes(*expiry) > seconds_since_boot();
        if magic != MAGIC || !is_fresh || secret.is_empty() || secret.len() > LARGEST {
            // Expired: it must not lie about longer than somebody looks for it.
            drop(self.forget(archive));
            return None;
        }
        Some(Zeroizing::new(secret.to_vec()))
    }

    /// Overwrites and removes what is remembered; nothing there is no error.
    pub fn forget(&self, archive: ArchiveId) -> Result<(), CacheError> {
        let path = self.file(archive);
        let io = |error| CacheError::Io(path.clone(), error);
        let file = OpenOptions::new()
            .write(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path);
        match file {
            Ok(mut file) => {
                // A tmpfs writes in place. Should it fail, the removal still counts.
                drop(file.write_all(&[0; LARGEST + 16]));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            // A symbolic link or the like: removed below, not followed.
            Err(_) => {}
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io(error)),
            _ => Ok(()),
        }
    }

    fn file(&self, archive: ArchiveId) -> PathBuf {
        self.folder.join(format!("{archive}.key"))
    }

    /// The folder is a real one, ours alone, and in memory.
    fn check(&self) -> Result<(), CacheError> {
        let io = |error| CacheError::Io(self.folder.clone(), error);
        let unfit = |why| Err(CacheError::Unfit(self.folder.clone(), why));
        let found = fs::symlink_metadata(&self.folder).map_err(io)?;
        if !found.is_dir() {
            return unfit("it is not a folder");
        }
        if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o077 != 0 {
            return unfit("it is not private");
        }
        let system = rustix::fs::statfs(&self.folder).map_err(|error| io(error.into()))?;
        if i128::from(system.f_type) != TMPFS {
            return unfit("it is not in memory");
        }
        Ok(())
    }
}

/// CLOCK_BOOTTIME: goes on while the machine sleeps, and nobody can set it.
fn seconds_since_boot() -> u64 {
    u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ARCHIVE: ArchiveId = ArchiveId([7; 16]);

    /// /dev/shm is a tmpfs on every Linux with a C library.
    fn cache() -> (tempfile::TempDir, KeyCache) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let cache = KeyCache::at(&dir.path().join("nacre"));
        (dir, cache)
    }

    #[test]
    fn a_key_is_remembered_until_it_expires_or_is_forgotten() {
        let (_dir, cache) = cache();
        assert_eq!(cache.load(ARCHIVE), None);
        cache.store(ARCHIVE, b"master", 1).unwrap();
        cache.store(ARCHIVE, b"another", 1).unwrap();
        assert_eq!(**cache.load(ARCHIVE).unwrap(), *b"another");
        assert_eq!(cache.load(ArchiveId([8; 16])), None);
        cache.forget(ARCHIVE).unwrap();
        cache.forget(ARCHIVE).unwrap();
        assert_eq!(cache.load(ARCHIVE), None);
        cache
            .store_until(ARCHIVE, b"old", seconds_since_boot())
            .unwrap();
        assert_eq!(cache.load(ARCHIVE), None);
        assert!(!cache.file(ARCHIVE).exists());
    }

    #[test]
    fn what_others_could_have_put_there_is_not_taken() {
        let (_dir, cache) = cache();
        cache.store(ARCHIVE, b"master", 1).unwrap();
        let path = cache.file(ARCHIVE);
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&path, 0o644);
        assert_eq!(cache.load(ARCHIVE), None);
        set(&path, 0o600);
        set(&cache.folder, 0o770);
        assert_eq!(cache.load(ARCHIVE), None);
        assert!(cache.store(ARCHIVE, b"x", 1).is_err());
    }

    #[test]
    fn no_key_is_written_to_a_file_system_that_is_not_in_memory() {
        // Beside the test program, which is built on a disk.
        let program = std::env::current_exe().unwrap();
        let dir = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let kind = rustix::fs::statfs(dir.path()).unwrap().f_type;
        let cache = KeyCache::at(&dir.path().join("nacre"));
        let refused = cache.store(ARCHIVE, b"master", 1).is_err();
        assert_eq!(refused, i128::from(kind) != TMPFS);
        assert_eq!(cache.file(ARCHIVE).exists(), !refused);
    }
}
