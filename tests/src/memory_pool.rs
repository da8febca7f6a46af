//! Local storage in memory that makes snapshots and knows what changed between them, in blocks of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre::joints::{
    Changes, Frozen, FrozenVolume, Harvest, SourceError, SourceErrorKind, VolumeNames, VolumeRange,
    VolumeSource,
};

/// A pool of volumes. Clones are the same pool.
#[derive(Clone)]
pub struct MemoryPool {
    /// Changes are known to blocks of this size, in bytes.
    block: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    volumes: BTreeMap<String, Live>,
    next: u64,
}

#[derive(Default)]
struct Live {
    content: Vec<u8>,
    /// Ranges ever written, in order of time.
    written: Vec<VolumeRange>,
    kept: Option<Kept>,
    /// Identities from which `monitor` has led on to the kept snapshot, with the length of `written` at their time.
    linked: BTreeMap<u64, usize>,
}

#[derive(Clone)]
struct Kept {
    identity: u64,
    content: Arc<Vec<u8>>,
    written: usize,
}

impl MemoryPool {
    /// An empty pool that knows changes to blocks of `block` bytes.
    pub fn new(block: u64) -> Self {
        Self {
            block,
            state: Arc::default(),
        }
    }

    /// The same pool, with snapshots numbered from here on: those of two pools are told apart, as those of real ones are.
    #[must_use]
    pub fn with_identities_from(self, first: u64) -> Self {
        self.lock().next = first;
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Live) -> T) -> T {
        change(self.lock().volumes.entry(name.to_owned()).or_default())
    }

    /// What the volume holds now.
    pub fn content(&self, name: &str) -> Vec<u8> {
        self.with(name, |live| live.content.clone())
    }

    /// Writes bytes; what lies behind the end is left out.
    pub fn write(&self, name: &str, offset: usize, bytes: &[u8]) {
        self.with(name, |live| {
            let end = (offset + bytes.len()).min(live.content.len());
            if let Some(room) = live.content.get_mut(offset..end) {
                let length = room.len();
                room.copy_from_slice(&bytes[..length]);
                live.written.push(range(offset, end));
            }
        });
    }

    /// Makes the volume larger, with zeros, or smaller. What is cut off has changed; what comes new has not, as on real pools.
    pub fn resize(&self, name: &str, size: usize) {
        self.with(name, |live| {
            if size < live.content.len() {
                live.written.push(range(size, live.content.len()));
            }
            live.content.resize(size, 0);
        });
    }

    /// Puts all of the content back as it is in the kept snapshot, so that the pool knows of no change since it: the blocks are shared again.
    pub fn revert(&self, name: &str) {
        self.with(name, |live| {
            if let Some(kept) = &live.kept {
                live.content = kept.content.to_vec();
                live.written.truncate(kept.written);
            }
        });
    }

    /// Takes the kept snapshot away, as a user with `lvremove` would.
    pub fn lose_snapshot(&self, name: &str) {
        self.with(name, |live| live.kept = None);
    }

    /// Writes into the kept snapshot behind everyone's back.
    pub fn spoil_snapshot(&self, name: &str, offset: usize) {
        self.with(name, |live| {
            if let Some(kept) = &mut live.kept
                && let Some(byte) = Arc::make_mut(&mut kept.content).get_mut(offset)
            {
                *byte ^= 0x55;
            }
        });
    }

    /// Whether a snapshot of the volume is kept.
    pub fn keeps(&self, name: &str) -> bool {
        self.with(name, |live| live.kept.is_some())
    }

    /// As [`nacre::joints::Pool::monitor`].
    pub fn monitor(&self, name: &str) -> Harvest {
        let identity = self.fresh();
        self.with(name, |live| {
            let fresh = live.snapshot(identity);
            let from = live.kept.replace(fresh);
            let Some(from) = from else {
                live.linked.clear();
                return Harvest::Began("no snapshot was here".to_owned());
            };
            live.linked.insert(from.identity, from.written);
            let changed = &live.written[from.written..];
            Harvest::Changed(changed.iter().map(|r| r.end - r.start).sum())
        })
    }

    fn fresh(&self) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        state.next
    }

    /// Freezes one volume.
    pub fn take(&self, name: &str) -> MemorySnapshot {
        let identity = self.fresh();
        MemorySnapshot {
            pool: self.clone(),
            name: name.to_owned(),
            taken: self.with(name, |live| live.snapshot(identity)),
            stop: Mutex::default(),
            bad: None,
        }
    }
}

impl Live {
    fn snapshot(&self, identity: u64) -> Kept {
        Kept {
            identity,
            content: Arc::new(self.content.clone()),
            written: self.written.len(),
        }
    }
}

impl VolumeSource for MemoryPool {
    fn list(&self) -> Result<Vec<String>, SourceError> {
        Ok(self.lock().volumes.keys().cloned().collect())
    }

    fn freeze(&self, names: &[VolumeNames]) -> Result<Frozen, SourceError> {
        let open = |name: &VolumeNames| {
            if self.lock().volumes.contains_key(&name.local) {
                Ok(Box::new(self.take(&name.local)) as Box<dyn FrozenVolume>)
            } else {
                let kind = SourceErrorKind::NotFound;
                Err(SourceError::new(kind, name.local.clone(), ""))
            }
        };
        Ok(names.iter().map(open).collect())
    }
}

/// A snapshot of a volume of a [`MemoryPool`].
pub struct MemorySnapshot {
    pool: MemoryPool,
    name: String,
    taken: Kept,
    stop: Mutex<Option<(usize, Arc<AtomicBool>)>>,
    bad: Option<usize>,
}

impl MemorySnapshot {
    /// Whoever reads the byte `at` gets an error: a bad block.
    #[must_use]
    pub fn breaks(self, at: usize) -> Self {
        Self {
            bad: Some(at),
            ..self
        }
    }

    /// Sets a flag as soon as something behind the byte `at` is read: the user presses Ctrl-C.
    #[must_use]
    pub fn stops(self, at: usize, flag: &Arc<AtomicBool>) -> Self {
        Self {
            stop: Mutex::new(Some((at, Arc::clone(flag)))),
            ..self
        }
    }
}

impl FrozenVolume for MemorySnapshot {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.taken.content.len() as u64
    }

    fn identity(&self) -> Vec<u8> {
        self.taken.identity.to_le_bytes().to_vec()
    }

    fn changes_since(&self, identity: &[u8]) -> Result<Changes, SourceError> {
        let from = self.pool.with(&self.name, |live| {
            let kept = live.kept.as_ref()?;
            if kept.identity.to_le_bytes() == identity {
                return Some(kept.written);
            }
            let linked = live.linked.iter();
            let mut linked = linked.filter(|(from, _)| from.to_le_bytes() == identity);
            linked.next().map(|(_, written)| *written)
        });
        let Some(from) = from else {
            let why = "its snapshot is not here any more".to_owned();
            return Ok(Changes::Everything(why));
        };
        let written = self.pool.with(&self.name, |live| {
            live.written[from..self.taken.written].to_vec()
        });
        let block = self.pool.block;
        let mut ranges: Vec<VolumeRange> = written
            .into_iter()
            .map(|range| VolumeRange {
                start: range.start / block * block,
                end: range.end.next_multiple_of(block),
            })
            .collect();
        ranges.sort();
        ranges.dedup_by(|next, last| {
            let joins = next.start <= last.end;
            if joins {
                last.end = last.end.max(next.end);
            }
            joins
        });
        Ok(Changes::Ranges(ranges))
    }

    fn read_before(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, SourceError> {
        let kept = self.pool.with(&self.name, |live| live.kept.clone());
        if let Some(kept) = &kept {
            read(&kept.content, offset, buffer);
        }
        Ok(kept.is_some())
    }

    fn next_data(&self, from: u64) -> Result<Option<VolumeRange>, SourceError> {
        let block = self.pool.block;
        let end = self.size();
        let mut at = from;
        while at < end {
            let next = (at / block + 1).saturating_mul(block).min(end);
            let part = index(at)..index(next);
            let zero = self
                .taken
                .content
                .get(part)
                .is_none_or(|part| part.iter().all(|b| *b == 0));
            if !zero {
                return Ok(Some(VolumeRange {
                    start: at,
                    end: next,
                }));
            }
            at = next;
        }
        Ok(None)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, flag)) = stop.as_ref()
            && index(offset) + buffer.len() > *at
        {
            flag.store(true, Ordering::Relaxed);
        }
        let asked = index(offset)..index(offset) + buffer.len();
        if self.bad.is_some_and(|bad| asked.contains(&bad)) {
            let kind = SourceErrorKind::Io;
            return Err(SourceError::new(kind, self.name.clone(), "a bad block"));
        }
        read(&self.taken.content, offset, buffer);
        Ok(())
    }

    fn snapshot(&self) -> String {
        format!("{}.{}", self.name, self.taken.identity)
    }

    fn committed(&mut self) -> Result<(), SourceError> {
        self.pool.with(&self.name, |live| {
            live.kept = Some(self.taken.clone());
            live.linked.clear();
        });
        Ok(())
    }
}

fn range(start: usize, end: usize) -> VolumeRange {
    VolumeRange {
        start: start as u64,
        end: end as u64,
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Fills `buffer` from `content`, with zeros behind its end.
fn read(content: &[u8], offset: u64, buffer: &mut [u8]) {
    let rest = content.get(index(offset)..).unwrap_or_default();
    let length = rest.len().min(buffer.len());
    let (front, behind) = buffer.split_at_mut(length);
    front.copy_from_slice(&rest[..length]);
    behind.fill(0);
}
