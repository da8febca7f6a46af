//! What a restore into the folder needs before the file itself.

use std::path::Path;

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::joints::SourceError;
use crate::source::storage_error;

/// Makes the folders that lead to a volume, with owner and mode of the folder above them. Durable when it returns.
pub fn make_folders(root: &Path, path: &Path) -> Result<(), SourceError> {
    let Some(parent) = path.parent().filter(|parent| parent.starts_with(root)) else {
        return Ok(());
    };
    if parent == root {
        return Ok(());
    }
    let in_words = |error| storage_error(&parent.display().to_string(), error);
    match rustix::fs::stat(parent) {
        Ok(_) => return Ok(()),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(in_words(error)),
    }
    make_folders(root, parent)?;
    let above = parent.parent().unwrap_or(root);
    let like = rustix::fs::stat(above).map_err(in_words)?;
    match rustix::fs::mkdir(parent, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(error) => return Err(in_words(error)),
    }
    let (owner, group) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
    match rustix::fs::chown(parent, Some(owner), Some(group)) {
        Ok(()) | Err(Errno::PERM) => {}
        Err(error) => return Err(in_words(error)),
    }
    let mode = Mode::from_raw_mode(like.st_mode & 0o7777);
    rustix::fs::chmod(parent, mode).map_err(in_words)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = rustix::fs::open(above, flags, Mode::empty()).map_err(in_words)?;
    rustix::fs::fsync(&above).map_err(in_words)
}

/// Removes what restores of this volume left beside it when they were killed: `.NAME.nacre-<process>` of a process that is no more.
pub fn remove_left_overs(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return;
    };
    let front = format!(".{name}.nacre-");
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let process = file.to_str().and_then(|file| file.strip_prefix(&front));
        let Some(process) = process.and_then(|process| process.parse::<i32>().ok()) else {
            continue;
        };
        let gone = rustix::process::Pid::from_raw(process)
            .is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::SRCH));
        if gone {
            // Only space is at stake.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
