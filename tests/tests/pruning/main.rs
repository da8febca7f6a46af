//! Forgetting sessions and freeing what only they needed (DESIGN 4.2, 4.4, 4.5).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod growth;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nacre::archive::{Archive, Forgotten};
use nacre::backup::SendOptions;
use nacre::joints::{Capabilities, FrozenVolume, Store};
use nacre_core::ids::SessionSeq;
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_core::pack::{MovePolicy, PackKind, PackState};
use nacre_tests::lab_image::Random;
use nacre_tests::{Call, MemoryArchive, MemoryPool, MemoryStore, recount};

const CHUNK: usize = 64 << 10;
const VOLUMES: [&str; 3] = ["a", "b", "c"];

fn options(checkpoint: u64) -> SendOptions {
    SendOptions {
        threads: 1,
        checkpoint_bytes: checkpoint,
        checkpoint_time: Duration::from_secs(3600),
        ..SendOptions::default()
    }
}

/// Small packs, so that small archives have something to compact.
fn policy() -> MovePolicy {
    MovePolicy {
        small: 64 << 10,
        small_packs: 6,
        target: 1 << 20,
        ..MovePolicy::default()
    }
}

fn noise(random: &mut Random, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

fn below(random: &mut Random, limit: usize) -> usize {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    usize::try_from(u64::from_le_bytes(bytes) % limit.max(1) as u64).unwrap()
}

/// An archive, storage that is sent to it, and what each session of each volume must read as.
struct Desk {
    archive: MemoryArchive,
    pool: MemoryPool,
    model: BTreeMap<&'static str, BTreeMap<SessionSeq, Vec<u8>>>,
}

impl Desk {
    fn new(punch: bool) -> Self {
        let capabilities = Capabilities {
            punch,
            ..Capabilities::default()
        };
        Self {
            archive: MemoryArchive::on(MemoryStore::with_capabilities(capabilities), 16),
            pool: MemoryPool::new(4096),
            model: BTreeMap::new(),
        }
    }

    fn change(&self, random: &mut Random, volume: &str) {
        if self.pool.content(volume).is_empty() || below(random, 10) == 0 {
            self.pool
                .resize(volume, (1 + below(random, 12)) * CHUNK + 500);
        }
        for _ in 0..=below(random, 4) {
            let size = self.pool.content(volume).len();
            let at = below(random, size);
            let length = [100, CHUNK, 3 * CHUNK][below(random, 3)].min(size - at);
            let bytes = match below(random, 4) {
                0 => vec![0; length],
                _ => noise(random, length),
            };
            self.pool.write(volume, at, &bytes);
        }
    }

    fn send(&mut self, random: &mut Random, volumes: &[&'static str]) {
        let stop = Arc::new(AtomicBool::new(false));
        let frozen = volumes.iter().map(|name| {
            let snapshot = self.pool.take(name);
            let snapshot = match below(random, 5) {
                0 => snapshot.stops(below(random, 8) * CHUNK, &stop),
                _ => snapshot,
            };
            Box::new(snapshot) as Box<dyn FrozenVolume>
        });
        let frozen = frozen.collect();
        let checkpoint = [50_000, 300_000, 1 << 30][below(random, 3)];
        self.archive.send(frozen, &options(checkpoint), &stop);
        for name in volumes {
            self.learn(name);
        }
    }

    /// Takes into the model what the newest sessions of a volume say: a finished one must be what was sent.
    fn learn(&mut self, name: &'static str) {
        let all = self.archive.sessions_of(name);
        let known = self.model.entry(name).or_default();
        let there: BTreeSet<SessionSeq> = all.iter().map(|(seq, ..)| *seq).collect();
        known.retain(|seq, _| there.contains(seq));
        for (seq, finished, content) in all {
            match known.get(&seq) {
                Some(before) if finished => assert!(*before == content, "{name} {seq}"),
                _ => {
                    if finished {
                        assert!(content == self.pool.content(name), "{name} {seq}");
                    }
                    known.insert(seq, content);
                }
            }
        }
    }

    fn prune(&mut self, random: &mut Random) {
        let mut forgotten = Forgotten::new();
        let archive = self.archive.open();
        for (name, sessions) in &mut self.model {
            let Some(volume) = archive.head().volume(name) else {
                continue;
            };
            let newest = sessions.keys().next_back().copied();
            let chance = 1 + below(random, 3);
            sessions.retain(|seq, _| {
                let stays = Some(*seq) == newest || below(random, 3) < chance;
                if !stays {
                    forgotten.entry(*seq).or_default().insert(volume.id);
                }
                stays
            });
        }
        if !forgotten.is_empty() {
            let mut archive = self.archive.open();
            archive.prune(&forgotten, &self.archive.clock).unwrap();
            // A run that ends here leaves the freeing to the next one.
            if below(random, 2) == 0 {
                archive.free().unwrap();
            }
        }
    }

    fn check(&self) {
        recount(&self.archive.open());
        for (name, sessions) in &self.model {
            let found = self.archive.sessions_of(name);
            let found: BTreeMap<SessionSeq, Vec<u8>> = found
                .into_iter()
                .map(|(seq, _, content)| (seq, content))
                .collect();
            assert!(found == *sessions, "{name}");
        }
    }
}

#[test]
fn whatever_is_sent_pruned_deleted_and_compacted_every_session_reads_back_and_the_counts_are_right()
{
    let rounds = std::env::var("NACRE_ROUNDS").ok();
    let times: u64 = rounds.and_then(|times| times.parse().ok()).unwrap_or(1);
    for seed in 0..12 * times {
        let mut random = Random::new(seed, "pruning");
        let mut desk = Desk::new(seed % 2 == 0);
        for _ in 0..14 {
            let volume = VOLUMES[below(&mut random, VOLUMES.len())];
            match below(&mut random, 10) {
                0..=4 => {
                    let some = 1 + below(&mut random, VOLUMES.len());
                    for volume in &VOLUMES[..some] {
                        desk.change(&mut random, volume);
                    }
                    desk.send(&mut random, &VOLUMES[..some]);
                }
                5 if desk.archive.open().head().volume(volume).is_some() => {
                    let mut archive = desk.archive.open();
                    archive.delete_volume(volume, &desk.archive.clock).unwrap();
                    archive.free().unwrap();
                    desk.model.remove(volume);
                }
                6 | 7 => {
                    let mut archive = desk.archive.open();
                    let moves = archive.plan_moves(&policy()).unwrap();
                    archive.compact(&moves, &desk.archive.clock).unwrap();
                }
                _ => desk.prune(&mut random),
            }
            desk.check();
        }
    }
}

/// A volume `a` of sixty chunks, of which each of ten sessions changes two: one that all change, and one of its own.
fn ten_sessions(punch: bool) -> Desk {
    let mut desk = Desk::new(punch);
    let mut random = Random::new(7, "ten sessions");
    desk.pool.resize("a", 60 * CHUNK);
    let whole = noise(&mut random, 60 * CHUNK);
    desk.pool.write("a", 0, &whole);
    for at in 0..10 {
        for changed in [20, 30 + at] {
            desk.pool
                .write("a", changed * CHUNK, &noise(&mut random, CHUNK));
        }
        let frozen: Vec<Box<dyn FrozenVolume>> = vec![Box::new(desk.pool.take("a"))];
        let stop = AtomicBool::new(false);
        desk.archive.send(frozen, &options(1 << 40), &stop);
        desk.learn("a");
    }
    desk
}

fn data_packs(archive: &Archive) -> BTreeSet<ObjectName> {
    let mut packs = BTreeSet::new();
    archive
        .each_pack(|_, record| {
            if record.kind == PackKind::Data {
                packs.insert(ObjectName::Pack(record.name));
            }
            Ok(())
        })
        .unwrap();
    packs
}

fn forget(desk: &Desk, which: impl Fn(usize) -> bool) -> Forgotten {
    let archive = desk.archive.open();
    let id = archive.head().volume("a").unwrap().id;
    let all = desk.model["a"].keys().enumerate();
    let some = all.filter(|(at, _)| which(*at));
    some.map(|(_, seq)| (*seq, BTreeSet::from([id]))).collect()
}

#[test]
fn pruning_reads_no_chunk_data_and_moves_nothing() {
    let desk = ten_sessions(true);
    let mut archive = desk.archive.open();
    let data = data_packs(&archive);
    desk.archive.store.reset();
    archive
        .prune(&forget(&desk, |at| at == 4), &desk.archive.clock)
        .unwrap();
    let freed = archive.free().unwrap();
    assert!(freed.given_away >= CHUNK as u64 / 2, "{freed:?}");
    let record = desk.archive.store.record();
    for call in &record.calls {
        match call {
            Call::Get { name, .. } => assert!(!data.contains(name), "{call:?}"),
            Call::Copy { .. } => panic!("{call:?}"),
            _ => {}
        }
    }
    assert!(record.sent < 20 << 10, "{} bytes sent", record.sent);
}

#[test]
fn what_a_head_gives_away_goes_only_behind_a_barrier_and_leaves_the_list_afterwards() {
    let desk = ten_sessions(false);
    let mut archive = desk.archive.open();
    desk.archive.store.reset();
    archive
        .prune(
            &forget(&desk, |at| (1..8).contains(&at)),
            &desk.archive.clock,
        )
        .unwrap();
    assert!(!archive.head().freeing.is_empty());
    let freed = archive.free().unwrap();
    assert!(freed.objects > 0);
    assert!(freed.measured.unwrap() >= freed.given_away);
    let calls = desk.archive.store.record().calls;
    let packs = |call: &Call| match call {
        Call::Delete(names) => names.iter().any(|name| name.class() == ObjectClass::Pack),
        _ => false,
    };
    let deleted = calls.iter().position(packs).unwrap();
    let head =
        |call: &Call| matches!(call, Call::Put { name, .. } if name.class() == ObjectClass::Head);
    let head = calls.iter().position(head).unwrap();
    assert!(head < deleted);
    assert!(calls[head..deleted].contains(&Call::Barrier));
    assert!(calls[deleted..].contains(&Call::Barrier));
    archive
        .add_volumes(&["new"], "", &desk.archive.clock)
        .unwrap();
    assert!(archive.head().freeing.is_empty());
    recount(&archive);
}

/// A prune that is cut off behind its commit has freed nothing yet: the next commit does, before it drops anything from the list.
#[test]
fn what_a_command_that_was_cut_off_gave_away_is_freed_by_the_next() {
    let desk = ten_sessions(false);
    let mut archive = desk.archive.open();
    let some = forget(&desk, |at| (1..8).contains(&at));
    archive.prune(&some, &desk.archive.clock).unwrap();
    let before = archive.head().freeing.len();
    assert!(before > 0);
    drop(archive);
    let mut archive = desk.archive.open();
    assert_eq!(archive.head().freeing.len(), before);
    let clock = &desk.archive.clock;
    archive.add_volumes(&["new"], "", clock).unwrap();
    assert!(archive.head().freeing.is_empty());
    assert_eq!(archive.orphans().unwrap(), []);
    recount(&archive);
}

#[test]
fn an_append_only_store_frees_nothing_and_says_so() {
    let desk = ten_sessions(true);
    let closed = desk.archive.store.inner().seen_with(Capabilities {
        append_only: true,
        punch: true,
        ..Capabilities::default()
    });
    let before = closed.objects().len();
    let seen = desk.archive.seen_on(closed.clone());
    let mut archive = seen.open();
    archive
        .prune(&forget(&desk, |at| at == 4), &seen.clock)
        .unwrap();
    let freed = archive.free().unwrap();
    assert!(freed.append_only && freed.objects == 0 && freed.given_away == 0);
    assert!(!archive.head().freeing.is_empty());
    archive.add_volumes(&["new"], "", &seen.clock).unwrap();
    assert!(closed.objects().len() > before);
    // Once the store allows it, the next command that writes frees it.
    let mut archive = desk.archive.open();
    archive
        .add_volumes(&["newer"], "", &desk.archive.clock)
        .unwrap();
    assert!(archive.head().freeing.is_empty());
    recount(&archive);
}

#[test]
fn what_a_store_could_not_try_out_is_neither_freed_nor_forgotten() {
    let desk = ten_sessions(true);
    let full = desk.archive.store.inner().seen_with(Capabilities {
        punch: false,
        untried: true,
        ..Capabilities::default()
    });
    let seen = desk.archive.seen_on(full);
    let mut archive = seen.open();
    archive
        .prune(&forget(&desk, |at| at == 4), &seen.clock)
        .unwrap();
    let freed = archive.free().unwrap();
    assert!(freed.untried > 0, "{freed:?}");
    assert_eq!(freed.kept, 0);
    archive.add_volumes(&["new"], "", &seen.clock).unwrap();
    let waiting = archive.head().freeing.len();
    assert!(waiting > 0);
    drop(archive);
    // Once the store can tell, it is given back.
    let mut archive = desk.archive.open();
    let now = archive.free().unwrap();
    assert!(now.given_away >= freed.untried, "{now:?}");
    archive
        .add_volumes(&["newer"], "", &desk.archive.clock)
        .unwrap();
    assert!(archive.head().freeing.is_empty());
    recount(&archive);
}

#[test]
fn packs_that_no_head_names_are_found_and_removed() {
    let desk = ten_sessions(true);
    let mut archive = desk.archive.open();
    assert_eq!(archive.orphans().unwrap(), []);
    let name = ObjectName::Pack(nacre_core::ids::PackName([0xab; 16]));
    desk.archive.store.put_whole(name, &[7; 5000]).unwrap();
    let orphans = archive.orphans().unwrap();
    assert_eq!(orphans.len(), 1);
    assert_eq!(orphans[0].size, 5000);
    archive
        .give_up_orphans(&orphans, &desk.archive.clock)
        .unwrap();
    assert!(desk.archive.store.stat(name).unwrap().is_some());
    let freed = archive.free().unwrap();
    assert_eq!((freed.objects, freed.given_away), (1, 5000));
    assert_eq!(desk.archive.store.stat(name).unwrap(), None);
    archive
        .add_volumes(&["new"], "", &desk.archive.clock)
        .unwrap();
    assert_eq!(archive.orphans().unwrap(), []);
    recount(&archive);
    desk.check();
}

#[test]
fn compaction_makes_room_without_sending_data_and_only_where_there_is_room() {
    let desk = ten_sessions(false);
    let mut archive = desk.archive.open();
    // Of the two chunks in most packs one is dead.
    archive
        .prune(&forget(&desk, |at| at != 9), &desk.archive.clock)
        .unwrap();
    archive.free().unwrap();
    let moves = archive.plan_moves(&policy()).unwrap();
    assert!(!moves.groups.is_empty(), "{moves:?}");
    let full = desk.archive.store.inner().limited_to(1);
    let full = desk.archive.seen_on(full);
    let refused = full.open().compact(&moves, &desk.archive.clock).unwrap();
    assert!(refused.no_room && refused.packs == 0);
    desk.archive.store.reset();
    let done = archive.compact(&moves, &desk.archive.clock).unwrap();
    assert!(done.packs > 0 && done.copied > 0 && !done.no_room);
    let record = desk.archive.store.record();
    assert!(record.received < 100 << 10, "{}", record.received);
    recount(&archive);
    let left = archive.sessions().unwrap();
    assert_eq!(left.iter().count(), 1);
    let content = desk.archive.sessions_of("a");
    assert!(content[0].2 == desk.pool.content("a"));
}

#[test]
fn a_lost_pack_does_not_hold_up_what_is_put_together() {
    let desk = ten_sessions(false);
    let mut archive = desk.archive.open();
    archive
        .prune(&forget(&desk, |at| at != 9), &desk.archive.clock)
        .unwrap();
    archive.free().unwrap();
    let moves = archive.plan_moves(&policy()).unwrap();
    let mut group = moves
        .groups
        .iter()
        .find(|group| group.len() > 2)
        .unwrap()
        .iter();
    let nodes = archive.nodes();
    let lost = nodes.pack_record(*group.next().unwrap()).unwrap().unwrap();
    desk.archive.store.inner().lose(ObjectName::Pack(lost.name));
    let done = archive.compact(&moves, &desk.archive.clock).unwrap();
    assert!(done.packs > 0 && done.damaged == 1, "{done:?}");
    // The others are one pack now, and nothing else has come to harm.
    let nodes = archive.nodes();
    for alias in group {
        let record = nodes.pack_record(*alias).unwrap();
        assert!(record.is_none_or(|record| record.state != PackState::Live));
    }
    recount(&archive);
}
