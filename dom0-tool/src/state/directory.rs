//! Small files that are replaced whole.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

use super::{io_error, lock};
use crate::joints::{StateDir, StateError, StateErrorKind, StateLock};

/// The file that carries the lock.
const LOCK: &str = "lock";
/// The file that carries the lock for a short turn; no name of the scheme begins so.
const TURN: &str = ".turn";
/// How the names of files begin that are not complete yet; no name of the scheme begins so.
const UNFINISHED: &str = ".new-";

/// A directory of mode 0700 with files of mode 0600.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    count: AtomicU64,
}

impl Directory {
    /// Opens the directory, and makes it first, with its parents, where it is not there. All made are durable.
    pub fn create(path: &Path) -> Result<Self, StateError> {
        make(path)?;
        Self::open(path)?.ok_or_else(|| {
            StateError::new(
                StateErrorKind::Io,
                path.display().to_string(),
                "it went away again",
            )
        })
    }

    /// Opens the directory, or `None` where it is not there: this machine has not seen that archive.
    pub fn open(path: &Path) -> Result<Option<Self>, StateError> {
        let place = path.display().to_string();
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(place, &error)),
        };
        let unsafe_because = |why: &str| Err(StateError::new(StateErrorKind::Unsafe, &place, why));
        if !found.is_dir() {
            return unsafe_because("it is not a folder");
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return unsafe_because("it belongs to another user");
        }
        if found.mode() & 0o077 != 0 {
            return unsafe_because("others may enter it");
        }
        Ok(Some(Self {
            path: path.to_owned(),
            count: AtomicU64::new(0),
        }))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory with all that is in it. A crash in the middle leaves some of it.
    pub fn remove_whole(self) -> Result<(), StateError> {
        let place = || self.path.display().to_string();
        fs::remove_dir_all(&self.path).map_err(|error| io_error(place(), &error))?;
        self.path.parent().map_or(Ok(()), sync_dir)
    }

    fn file(&self, name: &str) -> Result<PathBuf, StateError> {
        if is_name(name) {
            return Ok(self.path.join(name));
        }
        Err(StateError::new(
            StateErrorKind::BadName,
            format!("{name:?}"),
            "",
        ))
    }

    /// After this, names made or removed in the directory survive a power cut.
    fn sync(&self) -> Result<(), StateError> {
        sync_dir(&self.path)
    }

    fn names(&self) -> Result<Vec<OsString>, StateError> {
        let place = || self.path.display().to_string();
        let entries = fs::read_dir(&self.path).map_err(|error| io_error(place(), &error))?;
        entries
            .map(|entry| {
                Ok(entry
                    .map_err(|error| io_error(place(), &error))?
                    .file_name())
            })
            .collect()
    }

    /// Removes what interrupted replacements left. Only the holder of the lock may do so; those who read replace files, too, so what belongs to a process that
    /// lives stays.
    fn clean(&self) -> Result<(), StateError> {
        for name in self.names()? {
            let unfinished = name.to_str().and_then(|name| name.strip_prefix(UNFINISHED));
            if unfinished.is_some_and(|rest| !is_alive(rest)) {
                remove_file(&self.path.join(name))?;
            }
        }
        Ok(())
    }
}

impl StateDir for Directory {
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name)?;
        let place = || path.display().to_string();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(place(), &error)),
        };
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(|error| io_error(place(), &error))?;
        if bytes.len() > limit {
            return Err(StateError::new(
                StateErrorKind::TooLarge,
                place(),
                format!("more than {limit} bytes"),
            ));
        }
        Ok(Some(bytes))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.file(name)?;
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let unfinished = self
            .path
            .join(format!("{UNFINISHED}{name}-{}-{count}", std::process::id()));
        let written = write_synced(&unfinished, bytes)
            // A crash before the rename leaves the old file and a leftover; after it, the new one or still the old.
            .and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            // The leftover may be what fills the disk.
            drop(fs::remove_file(&unfinished));
            return Err(io_error(path.display().to_string(), &error));
        }
        // From here on it is the new one.
        self.sync()
    }

    fn list(&self) -> Result<Vec<String>, StateError> {
        let mut names: Vec<String> = self
            .names()?
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .filter(|name| is_name(name))
            .collect();
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), StateError> {
        remove_file(&self.file(name)?)?;
        self.sync()
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn StateLock>, StateError> {
        let lock = lock::take(&self.path.join(LOCK), purpose)?;
        self.clean()?;
        Ok(Box::new(lock))
    }

    fn turn(&self) -> Result<Box<dyn StateLock>, StateError> {
        Ok(Box::new(lock::wait(&self.path.join(TURN))?))
    }
}

/// Whether the process that an unfinished file belongs to lives: it is the last number but one in the name.
fn is_alive(unfinished: &str) -> bool {
    let process = unfinished.rsplit('-').nth(1);
    let process = process.and_then(|number| number.parse().ok());
    let process = process.and_then(rustix::process::Pid::from_raw);
    process.is_some_and(|process| {
        !matches!(
            rustix::process::test_kill_process(process),
            Err(rustix::io::Errno::SRCH)
        )
    })
}

/// `[a-z0-9][a-z0-9._-]{0,63}`, and not the lock's.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name != LOCK
        && name.len() <= 64
        && name.bytes().next().is_some_and(plain)
        && name
            .bytes()
            .all(|byte| plain(byte) || b"._-".contains(&byte))
}

/// A new file whose content survives a power cut (its name does not yet).
fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove_file(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(io_error(path.display().to_string(), &error))
        }
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> Result<(), StateError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| io_error(path.display().to_string(), &error))
}

/// Makes a directory and the parents that are missing, each durable in its own parent.
fn make(path: &Path) -> Result<(), StateError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(io_error(path.display().to_string(), &error))
        }
        _ => sync_dir(parent),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fresh() -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let state = Directory::create(&dir.path().join("a/b")).unwrap();
        (dir, state)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn files_are_replaced_whole_and_private() {
        let (_dir, state) = fresh();
        assert_eq!(state.read("anchor", 10).unwrap(), None);
        state.replace("anchor", b"one").unwrap();
        state.replace("anchor", b"two").unwrap();
        state.replace("pin.nas", b"").unwrap();
        assert_eq!(state.read("anchor", 3).unwrap().unwrap(), b"two");
        assert_eq!(
            state.read("anchor", 2).unwrap_err().kind,
            StateErrorKind::TooLarge
        );
        assert_eq!(state.list().unwrap(), ["anchor", "pin.nas"]);
        assert_eq!(mode(&state.path.join("anchor")), 0o600);
        assert_eq!(mode(&state.path), 0o700);
        state.remove("anchor").unwrap();
        state.remove("anchor").unwrap();
        assert_eq!(state.list().unwrap(), ["pin.nas"]);
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        let (_dir, state) = fresh();
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "lock",
            ".new-a",
            "A",
            "a\n",
            &"x".repeat(65),
        ] {
            let kind = state.replace(name, b"x").unwrap_err().kind;
            assert_eq!(kind, StateErrorKind::BadName, "{name}");
        }
    }

    #[test]
    fn a_second_writer_is_told_who_is_first() {
        let (_dir, state) = fresh();
        let lock = state.lock("send").unwrap();
        let Err(error) = state.lock("prune") else {
            panic!("two writers at once");
        };
        assert_eq!(error.kind, StateErrorKind::Busy);
        let me = format!("process {}, send", std::process::id());
        assert!(error.to_string().contains(&me), "{error}");
        drop(lock);
        assert!(state.lock("prune").is_ok());
    }

    #[test]
    fn turns_come_one_after_another_and_have_nothing_to_do_with_the_lock() {
        let (_dir, state) = fresh();
        let _lock = state.lock("send").unwrap();
        let count = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _turn = state.turn().unwrap();
                        let seen = count.load(Ordering::Relaxed);
                        std::thread::yield_now();
                        count.store(seen + 1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 8 * 50);
        assert!(state.list().unwrap().is_empty());
    }

    #[test]
    fn leftovers_of_a_crash_are_not_listed_and_go_with_the_next_lock() {
        let (_dir, state) = fresh();
        // No process has such a number; the other one is being written just now.
        let leftover = state.path.join(format!(".new-anchor-{}-0", i32::MAX));
        let written = state
            .path
            .join(format!(".new-a-b-{}-7", std::process::id()));
        for file in [&leftover, &written] {
            fs::write(file, b"half").unwrap();
        }
        assert!(state.list().unwrap().is_empty());
        drop(state.lock("send").unwrap());
        assert!(!leftover.exists());
        assert!(written.exists());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let (_dir, state) = fresh();
        fs::set_permissions(&state.path, fs::Permissions::from_mode(0o750)).unwrap();
        let error = Directory::open(&state.path).unwrap_err();
        assert_eq!(error.kind, StateErrorKind::Unsafe);
        assert!(Directory::open(&state.path.join("no")).unwrap().is_none());
    }
}
