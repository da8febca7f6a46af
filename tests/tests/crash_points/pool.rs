//! Local storage whose snapshots and links outlive a power cut as on real pools: a snapshot is durable when it is taken, and goes only after the
//! link from it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre::joints::{Changes, FrozenVolume, Ranges, SourceError, StateDir, VolumeRange};
use nacre::source::Links;
use nacre_tests::CrashLog;

/// What lies in the storage.
pub type Volumes = BTreeMap<String, Local>;

/// One volume.
#[derive(Clone, Default)]
pub struct Local {
    content: Vec<u8>,
    /// Ranges ever written, in order of time.
    written: Vec<VolumeRange>,
    snapshots: Vec<Snapshot>,
}

#[derive(Clone)]
struct Snapshot {
    identity: u64,
    content: Arc<Vec<u8>>,
    written: usize,
}

/// The pool. Clones are the same one.
#[derive(Clone)]
pub struct Pool {
    state: Arc<Mutex<State>>,
    links: Links,
    log: Option<CrashLog>,
}

#[derive(Default)]
struct State {
    volumes: Volumes,
    /// Every state it was in, while there is a log.
    past: Vec<Volumes>,
}

impl Pool {
    /// A pool that holds something, with links in dom0's own memory. What happens to it is noted in a log, if there is one.
    pub fn new(volumes: Volumes, memory: Arc<dyn StateDir>, log: Option<&CrashLog>) -> Self {
        let past = vec![volumes.clone()];
        Self {
            state: Arc::new(Mutex::new(State { volumes, past })),
            links: Links::new(memory),
            log: log.cloned(),
        }
    }

    /// Every state it was in, in the order of the notes in the log.
    pub fn past(&self) -> Vec<Volumes> {
        self.lock().past.clone()
    }

    /// What lies there now.
    pub fn volumes(&self) -> Volumes {
        self.lock().volumes.clone()
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        let volume = state.volumes.get(name);
        volume
            .map(|volume| volume.content.clone())
            .unwrap_or_default()
    }

    pub fn write(&self, name: &str, offset: usize, bytes: &[u8]) {
        self.change(name, |volume| {
            let end = offset + bytes.len();
            if volume.content.len() < end {
                volume.content.resize(end, 0);
            }
            volume.content[offset..end].copy_from_slice(bytes);
            volume.written.push(VolumeRange {
                start: offset as u64,
                end: end as u64,
            });
        });
    }

    /// Takes a snapshot. Those that nobody keeps are removed by the next `monitor` or commit.
    pub fn take(&self, name: &str) -> Frozen {
        let snapshot = self.change(name, |volume| {
            let newest = volume.snapshots.iter().map(|s| s.identity).max();
            let snapshot = Snapshot {
                identity: newest.unwrap_or(0) + 1,
                content: Arc::new(volume.content.clone()),
                written: volume.written.len(),
            };
            volume.snapshots.push(snapshot.clone());
            snapshot
        });
        Frozen {
            pool: self.clone(),
            name: name.to_owned(),
            snapshot,
            before: Mutex::default(),
            stop: None,
        }
    }

    /// What `monitor` does: a fresh snapshot, links from every older one, and only then those go.
    pub fn monitor(&self, name: &str) -> Result<(), SourceError> {
        let fresh = self.take(name).snapshot;
        let (older, written) = {
            let state = self.lock();
            let volume = &state.volumes[name];
            let older = volume.snapshots.iter();
            let older = older.filter(|old| old.identity != fresh.identity);
            (
                older.cloned().collect::<Vec<_>>(),
                volume.written[..fresh.written].to_vec(),
            )
        };
        for old in older {
            let (from, to) = (old.identity.to_le_bytes(), fresh.identity.to_le_bytes());
            let changed = Ranges::of(&written[old.written..]);
            self.links.record(name, &from, &to, changed.as_slice())?;
        }
        self.keep_only(name, fresh.identity);
        Ok(())
    }

    fn keep_only(&self, name: &str, identity: u64) {
        self.change(name, |volume| {
            volume.snapshots.retain(|old| old.identity >= identity);
        });
    }

    fn change<T>(&self, name: &str, change: impl FnOnce(&mut Local) -> T) -> T {
        let mut state = self.lock();
        let value = change(state.volumes.entry(name.to_owned()).or_default());
        if let Some(log) = &self.log {
            let now = state.volumes.clone();
            log.note(state.past.len());
            state.past.push(now);
        }
        value
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A volume at the moment of its snapshot.
pub struct Frozen {
    pool: Pool,
    name: String,
    snapshot: Snapshot,
    before: Mutex<Option<Snapshot>>,
    stop: Option<Arc<AtomicBool>>,
}

impl Frozen {
    /// Sets a flag as soon as it is read: the user presses Ctrl-C.
    pub fn stops(self, flag: &Arc<AtomicBool>) -> Self {
        Self {
            stop: Some(Arc::clone(flag)),
            ..self
        }
    }
}

impl FrozenVolume for Frozen {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.snapshot.content.len() as u64
    }

    fn identity(&self) -> Vec<u8> {
        self.snapshot.identity.to_le_bytes().to_vec()
    }

    fn changes_since(&self, identity: &[u8]) -> Result<Changes, SourceError> {
        let (older, written) = {
            let state = self.pool.lock();
            let volume = &state.volumes[&self.name];
            let older = volume.snapshots.iter();
            let older = older.filter(|old| old.identity < self.snapshot.identity);
            let written = volume.written[..self.snapshot.written].to_vec();
            (older.cloned().collect::<Vec<_>>(), written)
        };
        for old in older {
            let here = old.identity.to_le_bytes();
            let links = self.pool.links.between(&self.name, identity, &here)?;
            if let Some(linked) = links {
                let since = Ranges::of(&written[old.written..]);
                let all = Ranges::of(&linked).union(&since).into_vec();
                *self.before.lock().unwrap() = Some(old);
                return Ok(Changes::Ranges(all));
            }
        }
        let why = "no snapshot leads to that one".to_owned();
        Ok(Changes::Everything(why))
    }

    fn read_before(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, SourceError> {
        let before = self.before.lock().unwrap();
        if let Some(before) = before.as_ref() {
            read(&before.content, offset, buffer);
        }
        Ok(before.is_some())
    }

    fn next_data(&self, from: u64) -> Result<Option<VolumeRange>, SourceError> {
        let end = self.size();
        Ok((from < end).then_some(VolumeRange { start: from, end }))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        if let Some(stop) = &self.stop {
            stop.store(true, Ordering::Relaxed);
        }
        read(&self.snapshot.content, offset, buffer);
        Ok(())
    }

    fn snapshot(&self) -> String {
        format!("{}.{}", self.name, self.snapshot.identity)
    }

    fn committed(&mut self) -> Result<(), SourceError> {
        self.pool.keep_only(&self.name, self.snapshot.identity);
        self.pool.links.forget(&self.name)
    }
}

fn read(content: &[u8], offset: u64, buffer: &mut [u8]) {
    let start = usize::try_from(offset).unwrap().min(content.len());
    let end = (start + buffer.len()).min(content.len());
    buffer.fill(0);
    buffer[..end - start].copy_from_slice(&content[start..end]);
}
