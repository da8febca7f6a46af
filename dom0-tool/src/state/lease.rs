//! What several runs of this machine use at the same time, and the last of them puts away.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{io_error, lock};
use crate::joints::StateError;

/// Longest record.
const LIMIT: u64 = 4096;

/// A part in the use of something, held until it is dropped or the process ends, however it ends. Beside it stands a short record, which
/// outlives the processes: it may be any bytes of any time, and whoever reads it checks it against what it speaks of.
#[derive(Debug)]
pub struct Lease {
    file: File,
    place: String,
}

impl Lease {
    /// Takes part; waits while the last one is putting away, which is no longer than a few calls of qubesd.
    pub fn take(path: &Path) -> Result<Self, StateError> {
        let place = path.display().to_string();
        let file = lock::open(path)?;
        flock(&file, FlockOperation::LockShared)
            .map_err(|error| io_error(&place, &error.into()))?;
        Ok(Self { file, place })
    }

    /// Whether nobody else takes part. Then it is exclusive from here on, and nobody can join until it is dropped. Otherwise this
    /// part is over.
    pub fn is_last(&self) -> Result<bool, StateError> {
        // Of two that ask at the same instant at least one is told that it is the last: the kernel takes the old lock away before it
        // tries for the new one (flock(2)).
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(io_error(&self.place, &error.into())),
        }
    }

    /// The record; empty where there is none.
    pub fn record(&self) -> Result<String, StateError> {
        let mut bytes = Vec::new();
        (&self.file)
            .rewind()
            .and_then(|()| (&self.file).take(LIMIT).read_to_end(&mut bytes))
            .map_err(|error| io_error(&self.place, &error))?;
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }

    /// Changes the record, one process at a time. A crash may leave half of it.
    pub fn change(&self, change: impl FnOnce(&str) -> String) -> Result<(), StateError> {
        // Another kind of lock than the lease's own: the two do not see each other (flock(2), fcntl(2)).
        let turn = |operation| {
            rustix::fs::fcntl_lock(&self.file, operation)
                .map_err(|error| io_error(&self.place, &error.into()))
        };
        turn(FlockOperation::LockExclusive)?;
        let changed = self.record().and_then(|old| {
            let new = change(&old);
            if new == old { Ok(()) } else { self.write(&new) }
        });
        turn(FlockOperation::Unlock)?;
        changed
    }

    fn write(&self, record: &str) -> Result<(), StateError> {
        let written = self
            .file
            .set_len(0)
            .and_then(|()| (&self.file).rewind())
            .and_then(|()| (&self.file).write_all(record.as_bytes()));
        written.map_err(|error| io_error(&self.place, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_one_puts_away_and_nobody_joins_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault");
        let (one, two) = (Lease::take(&path).unwrap(), Lease::take(&path).unwrap());
        one.change(|old| format!("{old}started 1\n")).unwrap();
        assert_eq!(two.record().unwrap(), "started 1\n");
        assert!(!one.is_last().unwrap());
        drop(one);
        assert!(two.is_last().unwrap());
        let late = File::open(&path).unwrap();
        assert!(flock(&late, FlockOperation::NonBlockingLockShared).is_err());
        two.change(|_| String::new()).unwrap();
        drop(two);
        assert_eq!(Lease::take(&path).unwrap().record().unwrap(), "");
    }
}
