//! A power cut at every step of what forgets and frees: what is found afterwards is a committed state, not older than the last one that this
//! machine knows, in which everything reads back and is counted right; and the command can be given again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nacre::archive::{Archive, Forgotten, Result};
use nacre::backup::{Surroundings, send};
use nacre::joints::{Capabilities, Clock, FrozenVolume, StateDir, Store};
use nacre::maintain::deduplicate;
use nacre_core::ids::{PackName, SessionSeq};
use nacre_core::object_name::ObjectName;
use nacre_tests::lab_image::Random;
use nacre_tests::{
    FaultyStore, LastWrite, MemoryArchive, MemoryPool, MemoryState, MemoryStore, RecordingMonitor,
    SimulatedClock,
};

use super::{CHUNK, noise, options, policy, recount};

/// What the sessions of each volume read as.
type Contents = BTreeMap<(&'static str, SessionSeq), Vec<u8>>;

const VOLUMES: [&str; 2] = ["a", "b"];

/// What the volume `a` is called after the script that renames it.
const RENAMED: &str = "renamed";

/// Where every script begins: two volumes, some sessions, an unfinished one, small packs.
struct Start {
    archive: MemoryArchive,
    pool: MemoryPool,
    state: MemoryState,
    contents: Contents,
}

impl Start {
    fn new(punch: bool) -> Self {
        let capabilities = Capabilities {
            punch,
            ..Capabilities::default()
        };
        let archive = MemoryArchive::on(MemoryStore::with_capabilities(capabilities), 16);
        let pool = MemoryPool::new(4096);
        let mut random = Random::new(3, "crashes");
        for name in VOLUMES {
            pool.resize(name, 4 * CHUNK);
            pool.write(name, 0, &noise(&mut random, 4 * CHUNK));
        }
        for round in 0..4 {
            for name in VOLUMES {
                // Some chunks are there twice.
                let (one, other) = (noise(&mut random, CHUNK), noise(&mut random, CHUNK));
                pool.write(name, 0, &one);
                let other = if name == "a" { &one } else { &other };
                pool.write(name, (round % 3 + 1) * CHUNK, other);
            }
            let stop = Arc::new(AtomicBool::new(false));
            let volumes = VOLUMES.map(|name| {
                let snapshot = pool.take(name);
                let cut = round == 3 && name == "b";
                let snapshot = if cut {
                    snapshot.stops(1, &stop)
                } else {
                    snapshot
                };
                Box::new(snapshot) as Box<dyn FrozenVolume>
            });
            archive.send(volumes.into(), &options(1), &stop);
        }
        let mut start = Self {
            archive,
            pool,
            state: MemoryState::new(),
            contents: Contents::new(),
        };
        // Opened once on this machine, so that it has an anchor.
        let store = start.archive.store.inner().fork();
        start.open(store.clone(), start.state.clone()).unwrap();
        start.contents = start.read(&store, &start.state);
        start
    }

    fn open(&self, store: impl Store + 'static, state: MemoryState) -> Result<Archive> {
        let state: Arc<dyn StateDir> = Arc::new(state);
        self.archive.open_on(Arc::new(store), &state)
    }

    fn read(&self, store: &MemoryStore, state: &MemoryState) -> Contents {
        let seen = self
            .archive
            .seen_from(store.clone(), Arc::new(state.clone()));
        // What was renamed still counts as what it was.
        let names = [("a", "a"), (RENAMED, "a"), ("b", "b")];
        let all = names.iter().flat_map(|(name, was)| {
            let sessions = seen.sessions_of(name).into_iter();
            sessions.map(move |(seq, _, content)| ((*was, seq), content))
        });
        all.collect()
    }
}

/// What a command does with an opened archive.
type Script = fn(&Start, Archive) -> Result<()>;

fn clock() -> SimulatedClock {
    SimulatedClock::at(1_900_000_000)
}

fn prune(_: &Start, mut archive: Archive) -> Result<()> {
    let sessions = archive.sessions()?;
    let mut forgotten = Forgotten::new();
    for volume in &archive.head().volumes {
        let all: Vec<SessionSeq> = sessions.of_volume(volume.id).map(|(seq, ..)| seq).collect();
        for seq in all.iter().rev().skip(2) {
            forgotten.entry(*seq).or_default().insert(volume.id);
        }
    }
    if !forgotten.is_empty() {
        archive.prune(&forgotten, &clock())?;
    }
    archive.free()?;
    let moves = archive.plan_moves(&policy())?;
    archive.compact(&moves, &clock())?;
    archive.add_volumes(&[&format!("v{}", archive.head().epoch)], "", &clock())
}

fn delete(_: &Start, mut archive: Archive) -> Result<()> {
    if archive.head().volume("a").is_some() {
        archive.delete_volume("a", &clock())?;
    }
    archive.free().map(|_| ())
}

fn rename(_: &Start, mut archive: Archive) -> Result<()> {
    if archive.head().volume("a").is_some() {
        archive.rename_volume("a", RENAMED, &clock())?;
    }
    archive.free().map(|_| ())
}

fn share(_: &Start, mut archive: Archive) -> Result<()> {
    let all: Vec<_> = archive
        .head()
        .volumes
        .iter()
        .map(|volume| volume.id)
        .collect();
    let stop = AtomicBool::new(false);
    deduplicate(&mut archive, &all, false, &clock(), &stop).map(|_| ())
}

fn resume(start: &Start, archive: Archive) -> Result<()> {
    send_all(start, archive, &["b"])
}

fn send_both(start: &Start, archive: Archive) -> Result<()> {
    send_all(start, archive, &VOLUMES)
}

fn send_all(start: &Start, mut archive: Archive, names: &[&str]) -> Result<()> {
    let frozen = |name: &&str| Box::new(start.pool.take(name)) as Box<dyn FrozenVolume>;
    let mut volumes: Vec<_> = names.iter().map(frozen).collect();
    let monitor = RecordingMonitor::new();
    let clock: &dyn Clock = &clock();
    let around = Surroundings {
        clock,
        monitor: &monitor,
        stop: &AtomicBool::new(false),
    };
    send(&mut archive, &mut volumes, &options(1), &around)?;
    archive.free().map(|_| ())
}

fn clean(_: &Start, mut archive: Archive) -> Result<()> {
    let orphan = ObjectName::Pack(PackName([0xab; 16]));
    archive.store().put_whole(orphan, &[7; 9000])?;
    let orphans = archive.orphans()?;
    archive.give_up_orphans(&orphans, &clock())?;
    archive.free().map(|_| ())
}

/// What must be so after a power cut, and again after the command was repeated.
fn holds(start: &Start, script: Script, left: &MemoryStore, state: &MemoryState, place: &str) {
    let acknowledged = epoch_remembered(start, state);
    let archive = start.open(left.clone(), state.clone());
    let archive = archive.unwrap_or_else(|error| panic!("{place}: {error}"));
    assert!(archive.head().epoch.0 >= acknowledged, "{place}");
    recount::recount(&archive);
    check_contents(start, left, state, place);
    let again = script(start, archive);
    again.unwrap_or_else(|error| panic!("{place}, given again: {error}"));
    recount::recount(&start.open(left.clone(), state.clone()).unwrap());
    check_contents(start, left, state, place);
}

fn check_contents(start: &Start, left: &MemoryStore, state: &MemoryState, place: &str) {
    let found = start.read(left, state);
    // No script forgets the newest two sessions of `b`, but a finished one takes the place of the unfinished newest.
    let of_b = start.contents.keys().filter(|(name, _)| *name == "b");
    let kept = of_b.rev().nth(1).unwrap();
    assert!(found.contains_key(kept), "{place}: {kept:?} is gone");
    for (key, content) in found {
        // A session that the script made holds what the storage holds now, or a part of it.
        if let Some(before) = start.contents.get(&key) {
            assert!(*before == content, "{place}: {key:?}");
        }
    }
}

fn epoch_remembered(_: &Start, state: &MemoryState) -> u64 {
    let bytes = state.read("anchor", 4096).unwrap().unwrap();
    nacre_core::freshness::Anchor::parse(&bytes)
        .unwrap()
        .epoch
        .0
}

/// Cuts the power at every step of a script, in the store and in dom0's own memory. Returns the number of states looked at.
fn enumerate(name: &str, start: &Start, script: Script, seeds: u64) -> u64 {
    let fork = || start.archive.store.inner().fork();
    let machine = || start.state.reopened(LastWrite::Lost);
    let (whole, memory) = (FaultyStore::on(fork()), machine());
    let begun = memory.steps();
    script(start, start.open(whole.clone(), memory.clone()).unwrap()).unwrap();
    let mut points = 0;
    for step in 0..whole.steps() {
        let (store, state) = (FaultyStore::on(fork()).crash_at(step), machine());
        let opened = start.open(store.clone(), state.clone()).unwrap();
        assert!(script(start, opened).is_err(), "{name} step {step}");
        for seed in 0..seeds {
            // 0 drops all, 1 keeps all; the others are to do something else at every step.
            let seed = if seed < 2 { seed } else { seed + step * seeds };
            let place = format!("{name}, step {step} of the store, seed {seed}");
            let state = state.reopened(LastWrite::Kept);
            holds(start, script, &store.crash(seed), &state, &place);
            points += 1;
        }
    }
    for step in 0..memory.steps() - begun {
        let (store, state) = (FaultyStore::on(fork()), machine());
        let opened = start.open(store.clone(), state.clone()).unwrap();
        state.cut_after(step);
        assert!(script(start, opened).is_err(), "{name} step {step}");
        for (seed, last) in [
            (0, LastWrite::Lost),
            (1, LastWrite::Kept),
            (2, LastWrite::Kept),
        ] {
            let place = format!("{name}, step {step} of the memory, seed {seed}");
            let state = state.reopened(last);
            holds(start, script, &store.crash(seed), &state, &place);
            points += 1;
        }
    }
    points
}

#[test]
fn a_power_cut_at_any_step_of_forgetting_and_freeing_loses_nothing() {
    let seeds = std::env::var("NACRE_ROUNDS").ok();
    let seeds = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(5);
    let scripts: [(&str, bool, Script); 9] = [
        ("prune with punch", true, prune),
        ("prune with compaction", false, prune),
        ("delete with punch", true, delete),
        ("delete", false, delete),
        ("resumed send", true, resume),
        ("clean", true, clean),
        ("send", true, send_both),
        ("rename", true, rename),
        ("deduplicate", true, share),
    ];
    let mut all = 0;
    for (name, punch, script) in scripts {
        let start = Start::new(punch);
        let points = enumerate(name, &start, script, seeds);
        assert!(points > 0, "{name} changed nothing");
        println!("{points} states after a power cut in: {name}");
        all += points;
    }
    println!("{all} states after power cuts");
}
