//! One writer per archive on this machine.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::io_error;
use crate::joints::sanitise::sanitise;
use crate::joints::{StateError, StateErrorKind, StateLock};

/// An flock on an open file: the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl StateLock for FileLock {}

/// Takes the lock, or says who has it. The file stays for ever; only the flock on it counts.
pub fn take(path: &Path, purpose: &str) -> Result<FileLock, StateError> {
    let place = path.display().to_string();
    let mut file = open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(StateError::new(StateErrorKind::Busy, place, holder(&file)));
        }
        Err(error) => return Err(io_error(place, &error.into())),
    }
    // For people only, so a failure to write it is no failure to lock.
    let note = format!("process {}, {purpose}", std::process::id());
    let noted = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(note.as_bytes()));
    drop(noted);
    Ok(FileLock { _file: file })
}

/// Takes the lock as soon as it is free. For moments only: nobody is told who has it.
pub fn wait(path: &Path) -> Result<FileLock, StateError> {
    let file = open(path)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(FileLock { _file: file }),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io_error(path.display().to_string(), &error.into())),
        }
    }
}

/// A file for a lock: made where it is not there, for its owner alone, and no link is followed.
pub(super) fn open(path: &Path) -> Result<File, StateError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|error| io_error(path.display().to_string(), &error))
}

fn holder(file: &File) -> String {
    let mut note = Vec::new();
    match file.take(200).read_to_end(&mut note) {
        Ok(1..) => sanitise(&note, 100),
        _ => "it does not say which".to_owned(),
    }
}
