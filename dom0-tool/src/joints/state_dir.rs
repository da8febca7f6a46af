//! dom0's own files about one archive: the anchor, the last head, pins, links, caches (DESIGN 4.6).

use std::fmt;

/// Held while one process may change an archive; released by dropping it, and by the kernel if the process dies.
pub trait StateLock: Send + Sync {}

/// A directory of small named files. Names are `[a-z0-9][a-z0-9._-]{0,63}`; all others are an error.
pub trait StateDir: Send + Sync {
    /// The whole file, or `None` when it is not there. A file of more than `limit` bytes is an error.
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StateError>;

    /// Puts `bytes` in the place of whatever the file held. When it returns, the new content survives a power cut;
    /// a crash before that leaves the old content or the new one whole, never a mixture.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError>;

    /// The names of all files, sorted. Leftovers of interrupted replacements are not among them.
    fn list(&self) -> Result<Vec<String>, StateError>;

    /// Removes a file, durably; one that is not there is no error.
    fn remove(&self, name: &str) -> Result<(), StateError>;

    /// Keeps other writers of this archive out. Does not wait: if another holds it, the error says who.
    /// `purpose` is what those others are told (`send`).
    fn lock(&self, purpose: &str) -> Result<Box<dyn StateLock>, StateError>;

    /// Waits for a short turn: what belongs together is read and changed in one, so that commands that run at once, also those that take no lock, do not
    /// undo what the other has written.
    fn turn(&self) -> Result<Box<dyn StateLock>, StateError>;
}

/// What went wrong, so that callers can tell the cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateErrorKind {
    /// Another process holds the lock.
    Busy,
    /// The name is outside the scheme.
    BadName,
    /// The file is larger than it may be.
    TooLarge,
    /// Owner or mode let others read or write it.
    Unsafe,
    /// The disk is full.
    NoSpace,
    /// Anything else that the kernel reported.
    Io,
}

/// An error about dom0's own files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError {
    /// The case.
    pub kind: StateErrorKind,
    /// The file or directory it is about.
    pub place: String,
    /// What is known beyond the kind.
    pub detail: String,
}

impl StateError {
    /// Makes an error.
    pub fn new(kind: StateErrorKind, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            place: place.into(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            place,
            detail,
        } = self;
        match kind {
            StateErrorKind::Busy => write!(
                f,
                "another nacre works on this archive ({detail}); wait until it is done ({place})"
            ),
            StateErrorKind::BadName => write!(f, "{place} is no name for a state file"),
            StateErrorKind::TooLarge => write!(
                f,
                "{place} is larger than it can rightly be ({detail}); move it away and run the command again"
            ),
            StateErrorKind::Unsafe => write!(
                f,
                "{place} is not private ({detail}); make it belong to you alone, with mode 0700"
            ),
            StateErrorKind::NoSpace => write!(
                f,
                "no space left for {place} ({detail}); free some, or give another folder with --meta-dir"
            ),
            StateErrorKind::Io => write!(f, "{place} cannot be used ({detail})"),
        }
    }
}

impl std::error::Error for StateError {}
