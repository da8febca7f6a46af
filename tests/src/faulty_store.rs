//! A store that loses power: everything after the last barrier may be dropped, torn or reordered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre::joints::{
    ByteRange, Capabilities, CopyPiece, PendingPut, PutOutcome, PutStream, Store, StoreError,
    StoreErrorKind,
};
use nacre_core::object_name::{ObjectClass, ObjectName};

use crate::crash_log::CrashLog;
use crate::memory_store::{Answered, MemoryStore, Objects};

/// A change since the last barrier, of which a power cut may leave anything.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(ObjectName, Arc<Vec<u8>>),
    Delete(ObjectName),
    Punch(ObjectName, ByteRange),
}

/// A memory store with a power switch.
///
/// *Steps* are the operations that change something or make it durable: finished puts, copies, deletes, punches, barriers.
/// They are counted from 0. A test runs a script once to learn the number of steps, then once for each step with
/// `crash_at(step)`, and looks at what `crash(seed)` left:
///
/// ```text
/// for step in 0..steps {
///     let store = FaultyStore::on(start.fork()).crash_at(step);
///     let acknowledged = script(&store);          // ends with an error of kind `Died`
///     for seed in 0..8 {
///         reopen(store.crash(seed), acknowledged);
///     }
/// }
/// ```
///
/// Clones share everything: give one away and keep one to pull the plug.
#[derive(Clone)]
pub struct FaultyStore {
    live: MemoryStore,
    state: Arc<Mutex<State>>,
    log: Option<CrashLog>,
}

struct State {
    /// What the last barrier made durable.
    durable: Objects,
    /// What has changed since.
    journal: Vec<Change>,
    steps: u64,
    crash_at: Option<u64>,
    crashed: bool,
    failures: BTreeMap<u64, StoreErrorKind>,
}

impl FaultyStore {
    /// Everything in `start` is durable.
    pub fn on(start: MemoryStore) -> Self {
        let durable = start.lock().clone();
        Self {
            live: start,
            state: Arc::new(Mutex::new(State {
                durable,
                journal: Vec::new(),
                steps: 0,
                crash_at: None,
                crashed: false,
                failures: BTreeMap::new(),
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

    /// The power fails during this step: it is carried out as far as the power cut lets it, and never answered. All
    /// later calls fail, too.
    #[must_use]
    pub fn crash_at(self, step: u64) -> Self {
        self.state().crash_at = Some(step);
        self
    }

    /// This step fails with an error and changes nothing; later ones work.
    #[must_use]
    pub fn fail_at(self, step: u64, kind: StoreErrorKind) -> Self {
        self.state().failures.insert(step, kind);
        self
    }

    /// The power never failed here: it was the other end that died. What was open still is.
    pub fn go_on(&self) {
        let mut state = self.state();
        state.crash_at = None;
        state.crashed = false;
        state.failures.clear();
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Whether the step of `crash_at` has been reached.
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// What lies there if the power fails now: what was durable at the last barrier, and of the changes since a subset
    /// chosen by `seed`, in an order chosen by `seed`, new objects perhaps torn. Seed 0 drops them all, seed 1 keeps them
    /// all.
    pub fn crash(&self, seed: u64) -> MemoryStore {
        let state = self.state();
        let mut random = Random(seed);
        let mut changes = state.journal.clone();
        if seed > 1 {
            random.shuffle(&mut changes);
        }
        let mut left = state.durable.clone();
        for change in changes {
            let fate = match seed {
                0 => Fate::Dropped,
                1 => Fate::Kept,
                _ => random.fate(),
            };
            apply(&mut left, &change, fate, &mut random);
        }
        drop(state);
        self.live.holding(left)
    }

    /// The store as those see it who use it now.
    pub fn live(&self) -> &MemoryStore {
        &self.live
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads work until the power fails.
    fn check(&self) -> Result<(), StoreError> {
        if self.has_crashed() {
            return Err(dead());
        }
        Ok(())
    }

    /// Takes a step: `act` changes the live store and says what has changed.
    fn step<T>(
        &self,
        object: Option<ObjectName>,
        act: impl FnOnce(&MemoryStore) -> Result<(T, Vec<Change>), StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.state();
        let step = state.begin(object)?;
        let (answer, changes) = act(&self.live)?;
        if let Some(log) = &self.log {
            log.changed(&changes);
        }
        state.journal.extend(changes);
        state.end(step)?;
        Ok(answer)
    }
}

impl State {
    fn begin(&mut self, object: Option<ObjectName>) -> Result<u64, StoreError> {
        if self.crashed {
            return Err(dead());
        }
        let step = self.steps;
        self.steps += 1;
        match self.failures.get(&step) {
            Some(kind) => Err(StoreError::new(*kind, object, "as the test ordered")),
            None => Ok(step),
        }
    }

    fn end(&mut self, step: u64) -> Result<(), StoreError> {
        self.crashed = self.crash_at == Some(step);
        if self.crashed {
            return Err(dead());
        }
        Ok(())
    }
}

fn dead() -> StoreError {
    StoreError::new(StoreErrorKind::Died, None, "the power failed")
}

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Dropped,
    Kept,
    /// In any way.
    Torn,
    /// The name is there, and no byte.
    Empty,
    /// It ends somewhere.
    Short,
    /// As long as it was, and nothing but zeros.
    Blank,
    /// Some sectors are zeros.
    Holes,
}

pub(crate) fn apply(objects: &mut Objects, change: &Change, fate: Fate, random: &mut Random) {
    match (change, fate) {
        (_, Fate::Dropped) => {}
        (Change::Put(name, bytes), Fate::Kept) => {
            objects.insert(*name, bytes.clone());
        }
        (Change::Put(name, bytes), fate) => {
            objects.insert(*name, Arc::new(random.tear(bytes, fate)));
        }
        (Change::Delete(name), _) => {
            objects.remove(name);
        }
        (Change::Punch(name, range), _) => {
            if let Some(object) = objects.get_mut(name) {
                let bytes: &mut Vec<u8> = Arc::make_mut(object);
                crate::memory_store::fill_hole(bytes, *range);
            }
        }
    }
}

/// Small, seeded, and the same for ever (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`; 0 where there is nothing below.
    fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u64;
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    pub(crate) fn fate(&mut self) -> Fate {
        match self.below(5) {
            0 | 1 => Fate::Dropped,
            2 | 3 => Fate::Kept,
            _ => Fate::Torn,
        }
    }

    /// A file whose blocks did not all reach the disk: cut short, or with sectors of zeros.
    fn tear(&mut self, bytes: &[u8], fate: Fate) -> Vec<u8> {
        const SECTOR: usize = 512;
        let mut torn = bytes.to_vec();
        match fate {
            Fate::Empty => torn.clear(),
            Fate::Blank => torn.fill(0),
            Fate::Torn if self.below(2) == 0 => torn.truncate(self.below(bytes.len())),
            Fate::Short => torn.truncate(self.below(bytes.len())),
            _ => {
                for sector in torn.chunks_mut(SECTOR) {
                    if self.below(3) == 0 {
                        sector.fill(0);
                    }
                }
            }
        }
        torn
    }
}

struct FaultyPut<'a> {
    store: &'a FaultyStore,
    name: ObjectName,
    bytes: Vec<u8>,
}

impl PutStream for FaultyPut<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.check()?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn PendingPut>, StoreError> {
        let (name, bytes) = (self.name, self.bytes);
        let outcome = self.store.step(Some(name), |live| {
            let outcome = live.put_whole(name, &bytes)?;
            Ok((outcome, created(outcome, name, bytes)))
        });
        Ok(Box::new(Answered(outcome)))
    }
}

fn created(outcome: PutOutcome, name: ObjectName, bytes: Vec<u8>) -> Vec<Change> {
    match outcome {
        PutOutcome::Created => vec![Change::Put(name, Arc::new(bytes))],
        PutOutcome::Exists => Vec::new(),
    }
}

impl Store for FaultyStore {
    fn capabilities(&self) -> Capabilities {
        self.live.capabilities()
    }

    fn put_new(&self, name: ObjectName) -> Result<Box<dyn PutStream + '_>, StoreError> {
        self.check()?;
        Ok(Box::new(FaultyPut {
            store: self,
            name,
            bytes: Vec::new(),
        }))
    }

    fn get(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.check()?;
        self.live.get(name, ranges)
    }

    fn stat(&self, name: ObjectName) -> Result<Option<u64>, StoreError> {
        self.check()?;
        self.live.stat(name)
    }

    fn list(
        &self,
        class: ObjectClass,
        each: &mut dyn FnMut(ObjectName, u64),
    ) -> Result<(), StoreError> {
        self.check()?;
        self.live.list(class, each)
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.step(names.first().copied(), |live| {
            live.delete(names)?;
            let changes = names.iter().map(|name| Change::Delete(*name)).collect();
            Ok(((), changes))
        })
    }

    fn punch(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<(), StoreError> {
        self.step(Some(name), |live| {
            live.punch(name, ranges)?;
            let changes = ranges.iter().map(|range| Change::Punch(name, *range));
            Ok(((), changes.collect()))
        })
    }

    fn copy(&self, name: ObjectName, pieces: &[CopyPiece]) -> Result<PutOutcome, StoreError> {
        self.step(Some(name), |live| {
            let outcome = live.copy(name, pieces)?;
            let bytes = live.lock().get(&name).map(|bytes| bytes.to_vec());
            Ok((outcome, created(outcome, name, bytes.unwrap_or_default())))
        })
    }

    fn barrier(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let step = state.begin(None)?;
        state.end(step)?;
        if let Some(log) = &self.log {
            log.barrier();
        }
        state.durable = self.live.lock().clone();
        state.journal.clear();
        Ok(())
    }

    fn free_space(&self) -> Result<u64, StoreError> {
        self.check()?;
        self.live.free_space()
    }
}
