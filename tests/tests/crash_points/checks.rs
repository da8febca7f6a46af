//! Records a script and looks at every state that a power cut could have left.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nacre::archive::Archive;
use nacre::joints::Store;
use nacre_core::ids::Epoch;
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_tests::{
    CrashLog, Cut, Cuts, FaultyStore, LastWrite, MemoryState, MemoryStore, on_all_processors,
    recount,
};

use super::machine::{Machine, Who, clock, entropy};
use super::pool::{Pool, Volumes};
use super::scripts::{Change, Script};
use super::seen::Seen;
use super::start::{Make, Start};

/// What came of cuts at one end alone.
#[derive(Clone, Copy, Default)]
pub struct OneEnd {
    /// Points: places, times what may be lost there.
    pub points: usize,
    /// States among them that no cut at both ends leaves.
    pub new: usize,
}

impl OneEnd {
    pub fn add(&mut self, other: Self) {
        self.points += other.points;
        self.new += other.new;
    }
}

impl fmt::Display for OneEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} points, {} more states", self.points, self.new)
    }
}

/// A script that has been recorded, with every state in which a power cut could leave it.
pub struct Trial {
    script: &'static Script,
    pub steps: usize,
    pub cuts: Cuts,
    /// What each committed epoch shows.
    committed: BTreeMap<Epoch, Seen>,
    /// What local storage was at each note of the log.
    storage: Vec<Volumes>,
    who: Who,
    begun: Epoch,
    last: Epoch,
    /// Operations of the store that a power cut can hit.
    store_steps: u64,
    log: CrashLog,
    start: (MemoryStore, MemoryState, Volumes),
    /// What the command was repeated from, as far as it can make a difference.
    repeated: Mutex<HashSet<blake3::Hash>>,
}

/// Runs a script once, from its start to its end.
pub fn record(script: &'static Script, random: u64) -> Trial {
    let start = Start::new(script.make);
    let log = CrashLog::default();
    let who = script.keys.map_or(Who::Old, |change| change.openers().2);
    let memory = start.memory.reopened(LastWrite::Lost).recorded_by(&log);
    let store = FaultyStore::on(start.store.fork()).recorded_by(&log);
    let machine = Machine {
        store: Arc::new(store.clone()),
        pool: Pool::new(start.volumes.clone(), Arc::new(memory.clone()), Some(&log)),
        memory,
        entropy: entropy(2),
        who,
        dedup: true,
    };
    (script.run)(&machine).unwrap_or_else(|error| panic!("{}: {error}", script.name));
    let store_steps = store.steps();
    let mut committed = BTreeMap::from([(start.epoch, start.seen)]);
    for (epoch, store) in log.commits(&start.store) {
        // A machine that never saw the archive: nothing but the store says what is there.
        let fresh = Machine {
            who,
            ..Machine::on(&store, &MemoryState::new(), Volumes::new())
        };
        committed.insert(epoch, script.make.read(&fresh.open().unwrap()).unwrap());
    }
    let last = *committed.keys().next_back().unwrap();
    assert!(last > start.epoch, "{} changed nothing", script.name);
    // Unrecorded: it may go on with the archive.
    let memory = machine.memory.reopened(LastWrite::Lost);
    let after = Machine {
        who,
        ..Machine::on(&store.live().fork(), &memory, machine.pool.volumes())
    };
    (script.done)(&after, &committed[&start.epoch], &committed[&last]);
    Trial {
        script,
        steps: log.length(),
        cuts: log.cuts(&start.store, &start.memory, start.epoch, random),
        committed,
        storage: machine.pool.past(),
        who,
        begun: start.epoch,
        last,
        store_steps,
        log,
        start: (start.store, start.memory, start.volumes),
        repeated: Mutex::default(),
    }
}

impl Trial {
    /// Looks at all of them, on all processors. Into each repetition of the command `again` cuts are made in turn; how many these were is the
    /// answer.
    pub fn check_all(&self, again: usize) -> usize {
        let second = AtomicUsize::new(0);
        on_all_processors(&self.cuts.states, |at, cut| {
            if self.check(cut, &self.storage) {
                let more = self.check_twice(cut, at, again);
                second.fetch_add(more, Ordering::Relaxed);
            }
        });
        second.into_inner()
    }

    /// Only one end loses power. The store, at each of its operations: dom0 hears of it, does what it does then, and what it wrote is there. Or dom0, anywhere:
    /// the store has everything that it was given. What this adds to the states that were looked at before is looked at, too.
    pub fn check_one_end(&mut self, random: u64) -> [OneEnd; 2] {
        let mut cuts = std::mem::take(&mut self.cuts);
        let points = cuts.points;
        let mut store = Vec::new();
        for step in 0..self.store_steps {
            let (new, storage) = self.store_dies_at(step, random, &mut cuts);
            let storage = Arc::new(storage);
            store.extend(new.into_iter().map(|cut| (cut, Arc::clone(&storage))));
        }
        let of_store = cuts.points - points;
        cuts.points = points;
        let (start, memory, _) = &self.start;
        let (of_dom0, dom0) = self.log.dom0_cuts(start, memory, self.begun, &mut cuts);
        self.cuts = cuts;
        let storage = Arc::new(self.storage.clone());
        let dom0 = dom0.into_iter().map(|cut| (cut, Arc::clone(&storage)));
        [(of_store, store), (of_dom0, dom0.collect())].map(|(points, states)| {
            on_all_processors(&states, |_, (cut, storage)| {
                self.check(cut, storage);
            });
            OneEnd {
                points: usize::try_from(points).unwrap(),
                new: states.len(),
            }
        })
    }

    /// The new states when the store dies in one of its operations, and local storage over that run.
    fn store_dies_at(&self, step: u64, random: u64, known: &mut Cuts) -> (Vec<Cut>, Vec<Volumes>) {
        let (store, memory, volumes) = &self.start;
        let log = CrashLog::default();
        let memory = memory.reopened(LastWrite::Lost);
        let dying = FaultyStore::on(store.fork()).recorded_by(&log);
        let machine = Machine {
            store: Arc::new(dying.crash_at(step)),
            pool: Pool::new(volumes.clone(), Arc::new(memory.clone()), Some(&log)),
            memory,
            entropy: entropy(2),
            who: self.who,
            dedup: true,
        };
        let ended = (self.script.run)(&machine);
        let lived = machine.memory.reopened(LastWrite::Kept);
        let mut cuts = log.store_cuts(store, &lived, self.begun, random, known);
        for cut in &mut cuts {
            let said = ended.as_ref().err().map(ToString::to_string);
            cut.place = format!("the store dies in step {step} ({said:?}), {}", cut.place);
            let done = cut.acknowledged >= self.last;
            assert!(ended.is_err() || done, "{}", cut.place);
        }
        (cuts, machine.pool.past())
    }

    /// From how many states the command was repeated: those that differ in more than packs that no head names.
    pub fn repetitions(&self) -> usize {
        self.repeated.lock().unwrap().len()
    }

    /// What must be so after a cut, and again when the command was repeated. Returns whether it was.
    fn check(&self, cut: &Cut, storage: &[Volumes]) -> bool {
        let place = Place(format!("{}: {}", self.script.name, cut.place));
        if let Some(change) = self.script.keys {
            self.check_keys(change, cut);
        }
        let machine = self.machine(cut, storage, 3);
        let known = |epoch| self.committed.get(&epoch).cloned();
        let repeated = self.look(&machine, cut, &known);
        place.done();
        repeated
    }

    /// The power goes a second time while the command is repeated.
    fn check_twice(&self, cut: &Cut, at: usize, again: usize) -> usize {
        let log = CrashLog::default();
        let unwatched = self.machine(cut, &self.storage, 4);
        let memory = cut.state.reopened(LastWrite::Lost).recorded_by(&log);
        let storage = unwatched.pool.volumes();
        let machine = Machine {
            store: Arc::new(FaultyStore::on(cut.store.fork()).recorded_by(&log)),
            pool: Pool::new(storage, Arc::new(memory.clone()), Some(&log)),
            memory,
            ..unwatched
        };
        let place = Place(format!("{}: {}", self.script.name, cut.place));
        let begun = machine.open().unwrap().head().epoch;
        (self.script.run)(&machine).unwrap();
        place.done();
        let commits = log.commits(&cut.store);
        let storage = machine.pool.past();
        let cuts = log.cuts(&cut.store, &cut.state, cut.acknowledged, 4).states;
        // Others in every round, so that all kinds are met.
        let chosen = (0..again.min(cuts.len())).map(|n| &cuts[(at * 7 + n * 131) % cuts.len()]);
        chosen
            .map(|second| {
                let place = format!("{}: {}, then {}", self.script.name, cut.place, second.place);
                let place = Place(place);
                let machine = self.machine(second, &storage, 5);
                self.look(&machine, second, &|epoch| {
                    if epoch <= begun {
                        return self.committed.get(&epoch).cloned();
                    }
                    let (_, store) = commits.iter().find(|(committed, _)| *committed == epoch)?;
                    let fresh = Machine::on(store, &MemoryState::new(), Volumes::new());
                    let archive = fresh.open_as(self.who).unwrap();
                    Some(self.script.make.read(&archive).unwrap())
                });
                place.done();
            })
            .count()
    }

    /// The machine after a cut, with randomness that no run had yet.
    fn machine(&self, cut: &Cut, storage: &[Volumes], run: u64) -> Machine {
        let memory = cut.state.reopened(LastWrite::Lost);
        let storage = storage[cut.noted].clone();
        Machine {
            store: Arc::new(cut.store.fork()),
            pool: Pool::new(storage, Arc::new(memory.clone()), None),
            memory,
            entropy: entropy(run),
            who: self.who,
            dedup: true,
        }
    }

    fn look(
        &self,
        machine: &Machine,
        cut: &Cut,
        committed: &dyn Fn(Epoch) -> Option<Seen>,
    ) -> bool {
        let archive = machine.open().unwrap();
        let epoch = archive.head().epoch;
        assert!(epoch >= cut.acknowledged, "epoch {epoch} is too old");
        let found = self.script.make.read(&archive).unwrap();
        assert_eq!(Some(&found), committed(epoch).as_ref(), "epoch {epoch}");
        if self.script.make != Make::Damaged {
            recount(&archive);
        }
        let matters = self.what_matters(machine, &archive, cut);
        if !self.repeated.lock().unwrap().insert(matters) {
            return false;
        }
        drop(archive);
        (self.script.run)(machine).unwrap();
        let archive = machine.open().unwrap();
        if self.script.make != Make::Damaged {
            recount(&archive);
        }
        let now = self.script.make.read(&archive).unwrap();
        (self.script.done)(machine, &found, &now);
        if self.script.keys.is_some() {
            // The next commit removes what was left.
            let mut archive = machine.open().unwrap();
            archive.add_volumes(&["later"], "", &clock(40)).unwrap();
            assert_eq!(headers(machine.store.as_ref()), 2, "old headers are left");
        }
        true
    }

    /// What the next run of the command can meet: dom0's files, local storage, and all objects but packs that the head does not name. Of those
    /// nothing but their names is ever looked at, and only by the script that cleans them up.
    fn what_matters(&self, machine: &Machine, archive: &Archive, cut: &Cut) -> blake3::Hash {
        let mut named: BTreeSet<_> = archive.head().homes.iter().map(|home| home.name).collect();
        archive
            .each_pack(|_, record| {
                named.insert(record.name);
                Ok(())
            })
            .unwrap();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&cut.noted.to_le_bytes());
        for (name, bytes) in machine.memory.files() {
            hasher.update(name.as_bytes());
            hasher.update(blake3::hash(&bytes).as_bytes());
        }
        for class in [ObjectClass::Header, ObjectClass::Head, ObjectClass::Pack] {
            let mut there = Vec::new();
            let mut each = |name, size| there.push((name, size));
            machine.store.list(class, &mut each).unwrap();
            for (name, size) in there {
                let orphan = matches!(name, ObjectName::Pack(pack) if !named.contains(&pack));
                if orphan && self.script.name != "clean" {
                    continue;
                }
                hasher.update(name.to_string().as_bytes());
                let size = u32::try_from(size).unwrap();
                let bytes = machine.store.get_whole(name, size).unwrap().unwrap();
                hasher.update(blake3::hash(&bytes).as_bytes());
            }
        }
        hasher.finalize()
    }

    /// The old keys open the archive, or the new ones do; those that an acknowledged change has removed do not.
    fn check_keys(&self, change: Change, cut: &Cut) {
        let (before, after, _) = change.openers();
        let opens = |who: &Who| {
            let store: MemoryStore = cut.store.fork();
            let memory = cut.state.reopened(LastWrite::Lost);
            let machine = Machine::on(&store, &memory, Volumes::new());
            machine.open_as(*who).is_ok()
        };
        let done = cut.acknowledged >= self.last;
        assert!(after.iter().all(opens) || !done && before.iter().all(opens));
        if done {
            let gone = before.iter().filter(|who| !after.contains(who));
            for who in gone {
                assert!(!opens(who), "{who:?} opens it still");
            }
        }
    }
}

fn headers(store: &dyn Store) -> usize {
    let mut headers = 0;
    store
        .list(ObjectClass::Header, &mut |name, _| {
            headers += usize::from(matches!(name, ObjectName::Header(..)));
        })
        .unwrap();
    headers
}

/// Says where it was, if what is looked at there panics.
struct Place(String);

impl Place {
    fn done(mut self) {
        self.0.clear();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was {}", self.0);
        }
    }
}
