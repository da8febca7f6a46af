//! Every state in which a power cut could leave a store and dom0's own files, from one recorded run.
//!
//! [`FaultyStore`](crate::FaultyStore) and [`MemoryState`] write what is done to them into one log, in one order. A *point* is a place between two
//! entries of it, together with what the cut does to whatever no barrier has made durable yet. Nothing is run again to find what is left there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre_core::ids::Epoch;
use nacre_core::object_name::ObjectName;

use crate::faulty_store::{Change, Fate, Random, apply};
use crate::memory_store::Objects;
use crate::{MemoryState, MemoryStore};

/// So many combinations of fates are all tried; of more of them, a choice.
const ALL_COMBINATIONS: usize = 450;
/// Open changes of which each gets a fate of its own, at most.
const SINGLED_OUT: usize = 12;

/// A log. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct CrashLog {
    events: Arc<Mutex<Vec<Event>>>,
}

#[derive(Clone, Debug)]
enum Event {
    Changed(Change),
    Barrier,
    Renamed(String, Option<Vec<u8>>),
    Synced,
    Noted(usize),
}

/// What is left after a power cut.
pub struct Cut {
    /// The store.
    pub store: MemoryStore,
    /// dom0's files.
    pub state: MemoryState,
    /// The newest head that a barrier had made durable before.
    pub acknowledged: Epoch,
    /// What was noted last.
    pub noted: usize,
    /// Where the power went, and what it took along.
    pub place: String,
}

/// The result of an enumeration.
#[derive(Default)]
pub struct Cuts {
    /// Points tried: places in the log, times what may be lost there.
    pub points: u64,
    /// The different ones among the states that they leave.
    pub states: Vec<Cut>,
    seen: BTreeSet<[u8; 32]>,
}

impl CrashLog {
    pub(crate) fn changed(&self, changes: &[Change]) {
        let changes = changes.iter().cloned().map(Event::Changed);
        self.events().extend(changes);
    }

    pub(crate) fn barrier(&self) {
        self.events().push(Event::Barrier);
    }

    pub(crate) fn renamed(&self, name: &str, content: Option<&[u8]>) {
        let renamed = Event::Renamed(name.to_owned(), content.map(<[u8]>::to_vec));
        self.events().push(renamed);
    }

    pub(crate) fn synced(&self) {
        self.events().push(Event::Synced);
    }

    /// Something else has happened that does not get lost, of which the test keeps a list: local storage is in its state number `number` now.
    pub fn note(&self, number: usize) {
        self.events().push(Event::Noted(number));
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries there are.
    pub fn length(&self) -> usize {
        self.events().len()
    }

    /// Every head that was put, and the store as it was then.
    pub fn commits(&self, start: &MemoryStore) -> Vec<(Epoch, MemoryStore)> {
        let mut live = start.lock().clone();
        let mut commits = Vec::new();
        for event in self.events().iter() {
            let Event::Changed(change) = event else {
                continue;
            };
            apply(&mut live, change, Fate::Kept, &mut Random(0));
            if let Change::Put(ObjectName::Head(epoch), _) = change {
                commits.push((*epoch, start.holding(live.clone())));
            }
        }
        commits
    }

    /// Enumerates. The log began when the store and the files were as in `store` and `state`, with `begun` as the newest head. With many open
    /// changes `random` further choices are tried at each place.
    pub fn cuts(
        &self,
        store: &MemoryStore,
        state: &MemoryState,
        begun: Epoch,
        random: u64,
    ) -> Cuts {
        let events = self.events().clone();
        let mut at = Replay::of(&events, store, state, begun);
        let mut cuts = Cuts::default();
        for place in 0..=events.len() {
            at.cut(place, store, random, &mut cuts);
            if let Some(event) = events.get(place) {
                at.advance(event);
            }
        }
        cuts
    }

    /// Only the store lost power, at the end of the log; dom0 lived on, and its files in the end are those of `lived`. The states that `known`
    /// has already are counted, and left out.
    pub fn store_cuts(
        &self,
        store: &MemoryStore,
        lived: &MemoryState,
        begun: Epoch,
        random: u64,
        known: &mut Cuts,
    ) -> Vec<Cut> {
        let events = self.events().clone();
        let mut at = Replay::of(&events, store, lived, begun);
        for event in &events {
            at.advance(event);
        }
        at.files = lived.files();
        at.renamed = None;
        let mut cuts = Cuts {
            seen: std::mem::take(&mut known.seen),
            ..Cuts::default()
        };
        at.cut(events.len(), store, random, &mut cuts);
        known.seen = cuts.seen;
        known.points += cuts.points;
        cuts.states
    }

    /// Only dom0 lost power, anywhere: of its files what was synced is there, with or without the last one; the store has everything that it was
    /// given. How many such states there are, and those of them that `known` does not have.
    pub fn dom0_cuts(
        &self,
        store: &MemoryStore,
        state: &MemoryState,
        begun: Epoch,
        known: &mut Cuts,
    ) -> (u64, Vec<Cut>) {
        let events = self.events().clone();
        let mut at = Replay::of(&events, store, state, begun);
        let mut cuts = Cuts {
            seen: std::mem::take(&mut known.seen),
            ..Cuts::default()
        };
        for place in 0..=events.len() {
            let all = Loss::Chosen(vec![Fate::Kept; at.pending.len()]);
            at.cut_with(place, store, &[all], &mut cuts);
            if let Some(event) = events.get(place) {
                at.advance(event);
            }
        }
        known.seen = cuts.seen;
        (cuts.points, cuts.states)
    }
}

/// A place in the log.
struct Replay {
    durable: Objects,
    pending: Vec<Change>,
    files: BTreeMap<String, Vec<u8>>,
    renamed: Option<(String, Option<Vec<u8>>)>,
    put: Epoch,
    acknowledged: Epoch,
    noted: usize,
    /// Hashes of the objects that were there at the start or were put, by their place in memory: start and log hold on to them.
    hashes: BTreeMap<usize, blake3::Hash>,
}

/// What a cut does with the open changes.
enum Loss {
    Chosen(Vec<Fate>),
    /// In another order, too.
    Random(u64),
}

impl Replay {
    /// At the beginning of a log.
    fn of(events: &[Event], store: &MemoryStore, state: &MemoryState, begun: Epoch) -> Self {
        let start = store.lock().clone();
        let put = events.iter().filter_map(|event| match event {
            Event::Changed(Change::Put(_, bytes)) => Some(bytes),
            _ => None,
        });
        let hashed = |bytes: &Arc<Vec<u8>>| (Arc::as_ptr(bytes) as usize, blake3::hash(bytes));
        let hashes = start.values().chain(put).map(hashed).collect();
        Self {
            durable: start,
            pending: Vec::new(),
            files: state.files(),
            renamed: None,
            put: begun,
            acknowledged: begun,
            noted: 0,
            hashes,
        }
    }

    fn advance(&mut self, event: &Event) {
        match event {
            Event::Changed(change) => {
                if let Change::Put(ObjectName::Head(epoch), _) = change {
                    self.put = self.put.max(*epoch);
                }
                self.pending.push(change.clone());
            }
            Event::Barrier => {
                for change in self.pending.drain(..) {
                    apply(&mut self.durable, &change, Fate::Kept, &mut Random(0));
                }
                self.acknowledged = self.put;
            }
            Event::Renamed(name, content) => self.renamed = Some((name.clone(), content.clone())),
            Event::Synced => {
                if let Some(change) = self.renamed.take() {
                    set(&mut self.files, change);
                }
            }
            Event::Noted(number) => self.noted = *number,
        }
    }

    fn cut(&self, place: usize, make: &MemoryStore, random: u64, cuts: &mut Cuts) {
        let losses = losses(&self.pending, random, place as u64);
        self.cut_with(place, make, &losses, cuts);
    }

    fn cut_with(&self, place: usize, make: &MemoryStore, losses: &[Loss], cuts: &mut Cuts) {
        let mut memories = vec![("", self.files.clone())];
        if let Some(change) = &self.renamed {
            let mut files = self.files.clone();
            set(&mut files, change.clone());
            memories.push((", its last file kept", files));
        }
        for loss in losses {
            let left = self.left(loss, place as u64);
            let hash = self.hash(&left);
            for (what, files) in &memories {
                cuts.points += 1;
                if !cuts
                    .seen
                    .insert(key(&hash, files, self.acknowledged, self.noted))
                {
                    continue;
                }
                let loss = match loss {
                    Loss::Chosen(fates) => format!("{fates:?}"),
                    Loss::Random(seed) => format!("seed {seed}"),
                };
                cuts.states.push(Cut {
                    store: make.holding(left.clone()),
                    state: MemoryState::holding(files.clone()),
                    acknowledged: self.acknowledged,
                    noted: self.noted,
                    place: format!("cut at {place}, {loss}{what}"),
                });
            }
        }
    }

    fn left(&self, loss: &Loss, place: u64) -> Objects {
        let mut left = self.durable.clone();
        let (mut random, mut changes) = match loss {
            Loss::Chosen(fates) => {
                let changes = self.pending.iter().zip(fates.iter().copied());
                (Random(place), changes.collect::<Vec<_>>())
            }
            Loss::Random(seed) => {
                let mut random = Random(*seed);
                let changes = self.pending.iter().map(|change| (change, random.fate()));
                (Random(!*seed), changes.collect())
            }
        };
        if let Loss::Random(_) = loss {
            random.shuffle(&mut changes);
        }
        for (change, fate) in changes {
            apply(&mut left, change, fate, &mut random);
        }
        left
    }

    fn hash(&self, objects: &Objects) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (name, bytes) in objects {
            let known = self.hashes.get(&(Arc::as_ptr(bytes) as usize));
            let hash = known.copied().unwrap_or_else(|| blake3::hash(bytes));
            hasher.update(name.to_string().as_bytes());
            hasher.update(hash.as_bytes());
        }
        hasher.finalize()
    }
}

fn key(
    store: &blake3::Hash,
    files: &BTreeMap<String, Vec<u8>>,
    acknowledged: Epoch,
    noted: usize,
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(store.as_bytes());
    hasher.update(&noted.to_le_bytes());
    hasher.update(&acknowledged.0.to_le_bytes());
    for (name, bytes) in files {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    *hasher.finalize().as_bytes()
}

fn set(files: &mut BTreeMap<String, Vec<u8>>, (name, content): (String, Option<Vec<u8>>)) {
    match content {
        Some(content) => files.insert(name, content),
        None => files.remove(&name),
    };
}

/// What may become of a new object. The first two are also what may become of other changes.
const PUT: [Fate; 6] = [
    Fate::Dropped,
    Fate::Kept,
    Fate::Empty,
    Fate::Short,
    Fate::Blank,
    Fate::Holes,
];

/// What may become of open changes: with few of them everything, with many each one alone lost, kept or torn, every beginning of the row, and
/// some random choices in random orders.
fn losses(pending: &[Change], random: u64, place: u64) -> Vec<Loss> {
    let count = pending.len();
    let fates = |change: &Change| match change {
        Change::Put(..) => &PUT[..],
        Change::Delete(_) | Change::Punch(..) => &PUT[..2],
    };
    let combinations = pending
        .iter()
        .try_fold(1_usize, |all, change| all.checked_mul(fates(change).len()));
    let mut all: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut losses = Vec::new();
    let mut add = |fates: Vec<Fate>| {
        if all.insert(fates.iter().map(|fate| *fate as u8).collect()) {
            losses.push(Loss::Chosen(fates));
        }
    };
    if combinations.is_some_and(|all| all <= ALL_COMBINATIONS) {
        let mut rows = vec![Vec::new()];
        for change in pending {
            let longer = |row: &Vec<Fate>| {
                let row = row.clone();
                let with = move |fate: &Fate| [&row[..], &[*fate]].concat();
                fates(change).iter().map(with).collect::<Vec<_>>()
            };
            rows = rows.iter().flat_map(longer).collect();
        }
        rows.into_iter().for_each(add);
        return losses;
    }
    add(vec![Fate::Dropped; count]);
    add(vec![Fate::Kept; count]);
    for at in (0..count).step_by(count.div_ceil(SINGLED_OUT)) {
        for rest in [Fate::Kept, Fate::Dropped] {
            for one in fates(&pending[at]) {
                let mut row = vec![rest; count];
                row[at] = *one;
                add(row);
            }
        }
        let mut beginning = vec![Fate::Kept; count];
        beginning[at..].fill(Fate::Dropped);
        add(beginning);
    }
    losses.extend((0..random).map(|seed| Loss::Random(2 + seed + (place << 16))));
    losses
}
