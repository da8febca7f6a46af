//! dom0's own files in memory, with power cuts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre::joints::{StateDir, StateError, StateErrorKind, StateLock};

use crate::crash_log::CrashLog;

/// What a power cut did with the write it fell into: both are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWrite {
    /// The old content is there.
    Lost,
    /// The new content is there, although nobody was told so.
    Kept,
}

/// A directory in memory. Clones are the same directory.
///
/// A replacement or removal has two steps, the rename and the sync of the directory. Between them its outcome is open.
#[derive(Clone, Debug, Default)]
pub struct MemoryState {
    inner: Arc<Mutex<Inner>>,
    log: Option<CrashLog>,
}

#[derive(Debug, Default)]
struct Inner {
    durable: BTreeMap<String, Vec<u8>>,
    /// Renamed, and not yet synced: the name and its new content, or its removal.
    open: Option<(String, Option<Vec<u8>>)>,
    /// Steps until the power goes; `None` is never.
    steps_left: Option<u64>,
    steps: u64,
    holder: Option<String>,
}

impl MemoryState {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the power go after so many further steps: they succeed, everything later is an error.
    pub fn cut_after(&self, steps: u64) {
        self.inner().steps_left = Some(steps);
    }

    /// Steps done so far, to enumerate all places where the power can go.
    pub fn steps(&self) -> u64 {
        self.inner().steps
    }

    /// What is there after the power cut (or now, when there was none); the lock is free, the power stays.
    #[must_use]
    pub fn reopened(&self, last: LastWrite) -> Self {
        let inner = self.inner();
        let mut durable = inner.durable.clone();
        if let (LastWrite::Kept, Some((name, content))) = (last, inner.open.clone()) {
            set(&mut durable, name, content);
        }
        Self {
            inner: Arc::new(Mutex::new(Inner {
                durable,
                ..Inner::default()
            })),
            log: None,
        }
    }

    /// Everything that happens to it is written down.
    #[must_use]
    pub fn recorded_by(self, log: &CrashLog) -> Self {
        Self {
            log: Some(log.clone()),
            ..self
        }
    }

    /// A directory that holds these files.
    pub fn holding(files: BTreeMap<String, Vec<u8>>) -> Self {
        let state = Self::new();
        state.inner().durable = files;
        state
    }

    /// All files.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.inner().durable.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, name: &str, content: Option<Vec<u8>>) -> Result<(), StateError> {
        let mut inner = self.inner();
        inner.step(name)?;
        if let Some(log) = &self.log {
            log.renamed(name, content.as_deref());
        }
        inner.open = Some((name.to_owned(), content));
        inner.step(name)?;
        if let Some(log) = &self.log {
            log.synced();
        }
        if let Some((name, content)) = inner.open.take() {
            set(&mut inner.durable, name, content);
        }
        Ok(())
    }
}

impl Inner {
    fn power(&self, place: &str) -> Result<(), StateError> {
        if self.steps_left == Some(0) {
            return Err(StateError::new(StateErrorKind::Io, place, "power cut"));
        }
        Ok(())
    }

    fn step(&mut self, place: &str) -> Result<(), StateError> {
        self.power(place)?;
        self.steps_left = self.steps_left.map(|left| left - 1);
        self.steps += 1;
        Ok(())
    }
}

fn set(files: &mut BTreeMap<String, Vec<u8>>, name: String, content: Option<Vec<u8>>) {
    match content {
        Some(content) => files.insert(name, content),
        None => files.remove(&name),
    };
}

fn checked(name: &str) -> Result<(), StateError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let rest = |byte: u8| plain(byte) || b"._-".contains(&byte);
    let first = name.bytes().next().is_some_and(plain);
    if name != "lock" && name.len() <= 64 && first && name.bytes().all(rest) {
        return Ok(());
    }
    Err(StateError::new(StateErrorKind::BadName, name, ""))
}

/// Keeps nobody out.
struct NoLock;

impl StateLock for NoLock {}

/// Frees the lock when it is dropped.
struct MemoryLock(MemoryState);

impl StateLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.inner().holder = None;
    }
}

impl StateDir for MemoryState {
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StateError> {
        checked(name)?;
        let inner = self.inner();
        inner.power(name)?;
        match inner.durable.get(name) {
            Some(content) if content.len() > limit => Err(StateError::new(
                StateErrorKind::TooLarge,
                name,
                format!("more than {limit} bytes"),
            )),
            content => Ok(content.cloned()),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        checked(name)?;
        self.change(name, Some(bytes.to_vec()))
    }

    fn list(&self) -> Result<Vec<String>, StateError> {
        let inner = self.inner();
        inner.power("list")?;
        Ok(inner.durable.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> Result<(), StateError> {
        checked(name)?;
        self.change(name, None)
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn StateLock>, StateError> {
        let mut inner = self.inner();
        inner.power("lock")?;
        if let Some(holder) = &inner.holder {
            return Err(StateError::new(StateErrorKind::Busy, "lock", holder));
        }
        inner.holder = Some(purpose.to_owned());
        Ok(Box::new(MemoryLock(self.clone())))
    }

    fn turn(&self) -> Result<Box<dyn StateLock>, StateError> {
        // Tests in memory take turns by themselves.
        Ok(Box::new(NoLock))
    }
}
