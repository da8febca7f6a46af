//! What forgetting costs in archives of different size and age: it grows with what is forgotten, and with nothing else (DESIGN 1, promise 3).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nacre::archive::Forgotten;
use nacre::joints::FrozenVolume;
use nacre_core::ids::SessionSeq;
use nacre_core::pack::MovePolicy;
use nacre_tests::lab_image::Random;
use nacre_tests::{MemoryArchive, MemoryPool, MemoryState, Record};

use super::{CHUNK, noise, options};

/// Chunks of each volume; each session changes two of them.
const CHUNKS: usize = 40;

/// Whether a run sends every volume, or each volume is sent by a run of its own.
#[derive(Clone, Copy, Debug)]
enum Runs {
    Together,
    Apart,
}

/// An archive with so many volumes and sessions of each.
fn grown(volumes: usize, sessions: usize, runs: Runs) -> MemoryArchive {
    let archive = MemoryArchive::new(16);
    let pool = MemoryPool::new(4096);
    let mut random = Random::new(11, "growth");
    let names: Vec<String> = (0..volumes).map(|number| format!("v{number:03}")).collect();
    for name in &names {
        pool.resize(name, CHUNKS * CHUNK);
    }
    let stop = AtomicBool::new(false);
    for day in 0..sessions {
        let mut frozen: Vec<Box<dyn FrozenVolume>> = Vec::new();
        for name in &names {
            for changed in [CHUNKS / 2, (7 * day) % CHUNKS] {
                // One block of each chunk is enough to make it another one.
                pool.write(name, changed * CHUNK, &noise(&mut random, 4096));
            }
            frozen.push(Box::new(pool.take(name)));
            if matches!(runs, Runs::Apart) {
                archive.send(std::mem::take(&mut frozen), &options(1 << 40), &stop);
            }
        }
        if !frozen.is_empty() {
            archive.send(frozen, &options(1 << 40), &stop);
        }
    }
    archive
}

/// What `prune` does to the session in the middle of the first volume, as a new process, and what it asked the store for.
fn prune_one(archive: &MemoryArchive) -> Record {
    archive.store.reset();
    let mut opened = archive.open();
    let volume = opened.head().volume("v000").unwrap().id;
    let sessions = opened.sessions().unwrap();
    let all: Vec<SessionSeq> = sessions.of_volume(volume).map(|(seq, ..)| seq).collect();
    let forgotten = Forgotten::from([(all[all.len() / 2], BTreeSet::from([volume]))]);
    opened.prune(&forgotten, &archive.clock).unwrap();
    opened.free().unwrap();
    let moves = opened.plan_moves(&MovePolicy::default()).unwrap();
    opened.compact(&moves, &archive.clock).unwrap();
    archive.store.reset()
}

/// Full nodes on the way down a tree that the small archive does not have, and the end of a larger index pack.
const FULL_NODES: u64 = 96 << 10;

#[test]
fn pruning_a_session_asks_the_store_for_as_much_in_a_large_archive_as_in_a_small_one() {
    for runs in [Runs::Together, Runs::Apart] {
        let [small, large] = [(1, 10), (20, 20)].map(|(volumes, sessions)| {
            let archive = grown(volumes, sessions, runs);
            // The first time also puts the small packs of all these runs together, and the second what the first left sparse.
            prune_one(&archive);
            prune_one(&archive);
            prune_one(&archive)
        });
        let told = [&small, &large].map(|record| {
            let Record {
                calls,
                received,
                sent,
                ..
            } = record;
            format!(
                "{} calls, {received} bytes received, {sent} sent",
                calls.len()
            )
        });
        println!("{runs:?}: {}; {}", told[0], told[1]);
        assert!(
            large.calls.len() <= 2 * small.calls.len(),
            "{told:?} {:#?}",
            large.calls
        );
        assert!(large.round_trips <= 2 * small.round_trips, "{told:?}");
        assert!(
            large.received <= 2 * small.received + FULL_NODES,
            "{told:?}"
        );
        assert!(large.sent <= 2 * small.sent + FULL_NODES, "{told:?}");
    }
}

#[test]
fn sessions_are_read_from_the_store_once_and_what_is_kept_of_them_is_never_believed_wrongly() {
    let archive = grown(3, 70, Runs::Together);
    let read = |archive: &MemoryArchive| {
        let opened = archive.open();
        archive.store.reset();
        let sessions: Vec<_> = opened
            .sessions()
            .unwrap()
            .iter()
            .map(|(seq, session)| (seq, session.clone()))
            .collect();
        (archive.store.reset().calls.len(), sessions)
    };
    let (_, sessions) = read(&archive);
    assert_eq!(read(&archive), (0, sessions.clone()));
    let kept: Vec<String> = archive.state.list().unwrap();
    let kept: Vec<&String> = kept
        .iter()
        .filter(|name| name.starts_with("cache-sessions-"))
        .collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    // Files that are altered, cut, exchanged or gone cost time only.
    let bytes: Vec<Vec<u8>> = kept
        .iter()
        .map(|name| archive.state.read(name, 1 << 24).unwrap().unwrap())
        .collect();
    for at in (0..bytes[0].len()).step_by(97) {
        let mut altered = bytes[0].clone();
        altered[at] ^= 1;
        archive.state.replace(kept[0], &altered).unwrap();
        assert_eq!(read(&archive).1, sessions, "byte {at}");
        archive.state.replace(kept[0], &altered[..at]).unwrap();
        assert_eq!(read(&archive).1, sessions, "cut at {at}");
    }
    archive.state.replace(kept[0], &bytes[1]).unwrap();
    archive.state.remove(kept[1]).unwrap();
    assert_eq!(read(&archive).1, sessions);
    // A machine without them asks the store for all of it.
    let elsewhere = archive.seen_from(archive.store.inner().clone(), Arc::new(MemoryState::new()));
    assert_eq!(read(&elsewhere).1, sessions);
}
