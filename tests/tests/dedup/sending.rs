//! What `send --dedup` finds.

use std::collections::BTreeSet;

use nacre::archive::Forgotten;
use nacre::backup::SendOptions;
use nacre_core::ids::SessionSeq;
use nacre_core::node::ChunkEntry;
use nacre_core::pack::MovePolicy;
use proptest::prelude::*;

use super::counts::assert_counts;
use super::sharing::share;
use super::{Desk, entries, options};

#[test]
fn what_another_volume_of_the_domain_has_is_not_sent_again() {
    let desk = Desk::new();
    desk.fill("x-one", "abc.d");
    assert_eq!(desk.send(&["x-one"]), (0, 4));
    desk.fill("x-two", "dcbaZ");
    assert_eq!(desk.send(&["x-two"]), (4, 1));
    desk.fill("y-three", "abcd");
    assert_eq!(desk.send(&["y-three"]), (0, 4), "another domain");
    for volume in ["x-one", "x-two", "y-three"] {
        desk.assert_newest(volume);
    }
    desk.assert_domains_apart();
}

#[test]
fn what_the_same_run_stored_a_moment_ago_is_found_too() {
    let desk = Desk::new();
    desk.fill("x-one", "aabab");
    desk.fill("x-two", "bbaac");
    desk.fill("y-one", "aa");
    assert_eq!(
        desk.send(&["x-one", "y-one", "x-two"]),
        (3 + 1 + 4, 2 + 1 + 1)
    );
    // With a commit after every chunk or so: what was found in memory before is found in the trees now.
    let often = Desk::new();
    often.fill("x-one", "aabab");
    often.fill("x-two", "bbaac");
    let options = SendOptions {
        checkpoint_bytes: 1,
        ..options()
    };
    often.try_send(&["x-one", "x-two"], &options).unwrap();
    for volume in ["x-one", "x-two"] {
        desk.assert_newest(volume);
        often.assert_newest(volume);
    }
}

#[test]
fn what_only_an_older_session_has_is_found() {
    let desk = Desk::new();
    desk.fill("x-one", "abcd");
    desk.send(&["x-one"]);
    desk.fill("x-one", "eeee");
    assert_eq!(desk.send(&["x-one"]), (3, 1));
    desk.fill("x-one", "dcba");
    assert_eq!(desk.send(&["x-one"]), (4, 0));
    desk.assert_newest("x-one");
}

#[test]
fn what_was_sent_without_the_index_is_found_with_it() {
    let desk = Desk::new();
    desk.fill("x-one", "abcd");
    let plain = SendOptions {
        dedup: false,
        ..options()
    };
    desk.try_send(&["x-one"], &plain).unwrap();
    desk.fill("x-two", "ab");
    assert_eq!(desk.send(&["x-two"]), (2, 0));
    desk.fill("x-one", "efgh");
    desk.try_send(&["x-one"], &plain).unwrap();
    desk.fill("x-two", "abgh");
    assert_eq!(
        desk.send(&["x-two"]),
        (2, 0),
        "the index is brought up to date"
    );
    desk.assert_newest("x-two");
}

#[test]
fn a_chunk_that_is_a_patch_is_not_shared() {
    let desk = Desk::new();
    desk.fill("x-one", "abcd");
    let patches = SendOptions {
        compare_all: false,
        ..options()
    };
    desk.try_send(&["x-one"], &patches).unwrap();
    desk.pool.write("x-one", 100, b"changed");
    desk.try_send(&["x-one"], &patches).unwrap();
    let archive = desk.archive.open();
    let root = archive.head().volume("x-one").unwrap().root;
    let patched = |(_, entry): &(u64, ChunkEntry)| matches!(entry, ChunkEntry::Patched(_));
    assert!(entries(&archive, &root).iter().any(patched));
    // The same content as a whole, twice: the first is stored, the second is found.
    let content = desk.pool.content("x-one");
    desk.pool.resize("x-two", 2 * super::CHUNK);
    desk.pool.write("x-two", 0, &content[..super::CHUNK]);
    desk.pool
        .write("x-two", super::CHUNK, &content[..super::CHUNK]);
    assert_eq!(desk.send(&["x-two"]), (1, 1));
    desk.assert_newest("x-two");
}

#[test]
fn a_dry_run_stores_nothing_and_keeps_no_index() {
    let desk = Desk::new();
    desk.fill("x-one", "aab");
    let dry = SendOptions {
        dry_run: true,
        ..options()
    };
    desk.try_send(&["x-one"], &dry).unwrap();
    assert!(desk.archive.open().head().volume("x-one").is_none());
    let names = desk.archive.state.list().unwrap();
    assert!(
        names.iter().all(|name| !name.starts_with("dedup")),
        "{names:?}"
    );
}

const VOLUMES: [&str; 4] = ["x-one", "x-two", "y-one", "y-two"];

/// Something done to an archive.
#[derive(Clone, Debug)]
enum Step {
    Send {
        contents: Vec<(usize, String)>,
        dedup: bool,
        patches: bool,
        checkpoint: u64,
        threads: usize,
    },
    Delete(usize),
    /// Of a volume every session but the newest for which the bit at its position is set; then compaction.
    Prune(usize, u8),
    Share(Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let contents = prop::collection::vec((0_usize..4, "[a-d.]{0,12}"), 1..4);
    let checkpoint = prop::sample::select(vec![1_u64, 200_000, 1 << 40]);
    let send = (
        contents,
        any::<bool>(),
        any::<bool>(),
        checkpoint,
        1_usize..3,
    );
    prop_oneof![
        5 => send.prop_map(|(contents, dedup, patches, checkpoint, threads)| Step::Send {
            contents, dedup, patches, checkpoint, threads,
        }),
        1 => (0_usize..4).prop_map(Step::Delete),
        2 => (0_usize..4, any::<u8>()).prop_map(|(volume, bits)| Step::Prune(volume, bits)),
        1 => prop::collection::vec(0_usize..4, 0..3).prop_map(Step::Share),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: rounds(), failure_persistence: None, ..ProptestConfig::default() })]

    /// A small alphabet makes equal chunks everywhere: in a volume, between volumes, between sessions.
    #[test]
    fn every_session_reads_back_counts_are_right_and_domains_stay_apart(
        steps in prop::collection::vec(step(), 1..9),
    ) {
        let desk = Desk::new();
        let mut sent: Vec<Vec<Vec<u8>>> = vec![Vec::new(); VOLUMES.len()];
        for step in steps {
            match step {
                Step::Send { contents, dedup, patches, checkpoint, threads } => {
                    let mut volumes = Vec::new();
                    for (volume, letters) in contents {
                        if !volumes.contains(&volume) {
                            desk.fill(VOLUMES[volume], &letters);
                            volumes.push(volume);
                        }
                    }
                    let names: Vec<&str> = volumes.iter().map(|volume| VOLUMES[*volume]).collect();
                    let options = SendOptions {
                        threads,
                        dedup,
                        compare_all: !patches,
                        checkpoint_bytes: checkpoint,
                        send_unchanged: true,
                        ..options()
                    };
                    desk.try_send(&names, &options).unwrap();
                    for volume in volumes {
                        sent[volume].push(desk.pool.content(VOLUMES[volume]));
                    }
                }
                Step::Delete(volume) if !sent[volume].is_empty() => {
                    let mut archive = desk.open();
                    archive.delete_volume(VOLUMES[volume], &desk.archive.clock).unwrap();
                    archive.free().unwrap();
                    sent[volume].clear();
                }
                Step::Delete(_) => {}
                Step::Prune(volume, bits) => prune(&desk, &mut sent, volume, bits),
                Step::Share(volumes) => {
                    let names: Vec<&str> = volumes.iter().map(|volume| VOLUMES[*volume]).collect();
                    share(&desk, &names, false);
                }
            }
            assert_counts(&desk.archive.open());
        }
        for (volume, sent) in VOLUMES.iter().zip(&sent) {
            let read = desk.archive.sessions_of(volume).into_iter().map(|session| session.2);
            prop_assert!(read.collect::<Vec<_>>() == *sent, "volume {volume}");
        }
        desk.assert_domains_apart();
    }
}

/// Prunes a volume's sessions, frees, and puts sparse packs together.
fn prune(desk: &Desk, sent: &mut [Vec<Vec<u8>>], volume: usize, bits: u8) {
    let goes = |at: usize| at < 8 && bits & 1 << at != 0;
    let mut archive = desk.open();
    let Some(id) = archive
        .head()
        .volume(VOLUMES[volume])
        .map(|volume| volume.id)
    else {
        return;
    };
    let all: Vec<SessionSeq> = {
        let sessions = archive.sessions().unwrap();
        sessions.of_volume(id).map(|(seq, ..)| seq).collect()
    };
    let last = all.len().saturating_sub(1);
    let chosen = all
        .iter()
        .enumerate()
        .take(last)
        .filter(|(at, _)| goes(*at));
    let forgotten: Forgotten = chosen
        .map(|(_, seq)| (*seq, BTreeSet::from([id])))
        .collect();
    archive.prune(&forgotten, &desk.archive.clock).unwrap();
    archive.free().unwrap();
    let policy = MovePolicy {
        small: 64 << 10,
        small_packs: 6,
        target: 1 << 20,
        ..MovePolicy::default()
    };
    let moves = archive.plan_moves(&policy).unwrap();
    archive.compact(&moves, &desk.archive.clock).unwrap();
    let mut at = 0;
    sent[volume].retain(|_| {
        at += 1;
        at > last || !goes(at - 1)
    });
}

/// Few by default; NACRE_ROUNDS for a long search.
fn rounds() -> u32 {
    let rounds = std::env::var("NACRE_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(24)
}
