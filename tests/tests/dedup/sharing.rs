//! `arch-deduplicate`: what was stored twice is stored once, whatever the sessions are like.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use nacre::backup::SendOptions;
use nacre::maintain::{SharedChunks, deduplicate};
use nacre_core::ids::VolumeId;
use nacre_core::place::Place;

use super::counts::assert_counts;
use super::{CHUNK, Desk, entries, options};

pub fn share(desk: &Desk, volumes: &[&str], dry_run: bool) -> SharedChunks {
    desk.archive.clock.advance(60);
    let mut archive = desk.open();
    let all = archive.head().volumes.iter();
    let chosen = all.filter(|volume| volumes.is_empty() || volumes.contains(&volume.name.as_str()));
    let chosen: Vec<VolumeId> = chosen.map(|volume| volume.id).collect();
    let stop = AtomicBool::new(false);
    deduplicate(&mut archive, &chosen, dry_run, &desk.archive.clock, &stop).unwrap()
}

/// Stored items that any session needs.
fn items(desk: &Desk) -> usize {
    let archive = desk.archive.open();
    let sessions = archive.sessions().unwrap();
    let roots = sessions.iter().flat_map(|(_, session)| &session.volumes);
    let all = roots.flat_map(|at| entries(&archive, &at.root));
    let all: BTreeSet<Place> = all.flat_map(|(_, entry)| entry.items()).collect();
    all.len()
}

fn plain() -> SendOptions {
    SendOptions {
        dedup: false,
        ..options()
    }
}

#[test]
fn what_was_stored_twice_is_stored_once_in_all_sessions() {
    let desk = Desk::new();
    for (one, two, other) in [
        ("abcd", "dcba", "abcd"),
        ("abed", "dcba", "abcd"),
        ("abcd", "dcbf", "aacd"),
    ] {
        desk.fill("x-one", one);
        desk.fill("x-two", two);
        desk.fill("y-one", other);
        desk.try_send(&["x-one", "x-two", "y-one"], &plain())
            .unwrap();
    }
    let before = items(&desk);
    let would = share(&desk, &[], true);
    assert_eq!(items(&desk), before, "a dry run changes nothing");
    let shared = share(&desk, &[], false);
    assert_eq!((would.items, would.bytes), (shared.items, shared.bytes));
    // x: a b c d e f, y: a b c d.
    assert_eq!(items(&desk), 6 + 4);
    assert_eq!(shared.items, (before - 10) as u64);
    assert!(shared.bytes > shared.items * CHUNK as u64);
    assert_eq!(
        share(&desk, &[], false).items,
        0,
        "there is nothing left to share"
    );
    let archive = desk.archive.open();
    assert_counts(&archive);
    desk.assert_domains_apart();
    for volume in ["x-one", "x-two", "y-one"] {
        desk.assert_newest(volume);
        let sessions = desk.archive.sessions_of(volume).len();
        assert_eq!(sessions, 3 - usize::from(volume != "x-one"));
    }
    // The volumes' own roots went along: the next send finds nothing changed.
    assert_eq!(desk.send(&["x-one", "x-two", "y-one"]), (0, 0));
}

#[test]
fn what_is_not_needed_any_more_is_freed() {
    let desk = Desk::new();
    desk.fill("x-one", &"abcdefgh".repeat(4));
    desk.fill("x-two", &"abcdefgh".repeat(4));
    desk.try_send(&["x-one"], &plain()).unwrap();
    desk.try_send(&["x-two"], &plain()).unwrap();
    let bytes = |desk: &Desk| -> usize {
        let objects = desk.archive.store.inner().objects();
        objects.values().map(Vec::len).sum()
    };
    let before = bytes(&desk);
    let shared = share(&desk, &[], false);
    assert_eq!(shared.items, 56);
    // One of the two packs has nothing left that anybody needs.
    assert!(
        bytes(&desk) < before - 31 * CHUNK,
        "{before} {}",
        bytes(&desk)
    );
    for volume in ["x-one", "x-two"] {
        desk.assert_newest(volume);
    }
}

#[test]
fn a_copy_that_the_store_has_lost_takes_the_place_of_none() {
    for is_cut_short in [false, true] {
        let desk = Desk::new();
        desk.fill("x-one", "abcd");
        desk.fill("x-two", "abcd");
        desk.try_send(&["x-one"], &plain()).unwrap();
        let store = desk.archive.store.inner();
        let before = store.objects();
        desk.try_send(&["x-two"], &plain()).unwrap();
        // That of the volume seen last would stay.
        let new = store.objects().into_iter();
        let new = new.filter(|(name, _)| !before.contains_key(name));
        let (pack, mut bytes) = new.max_by_key(|(_, bytes)| bytes.len()).unwrap();
        if is_cut_short {
            bytes.truncate(3 * CHUNK + CHUNK / 2);
            store.tamper(pack, bytes);
        } else {
            store.lose(pack);
        }
        let shared = share(&desk, &[], false);
        let (lost, there) = if is_cut_short { (1, 3) } else { (4, 0) };
        assert_eq!((shared.lost, shared.items), (lost, there));
        desk.assert_newest("x-one");
    }
}

#[test]
fn only_the_named_volumes_are_rewritten() {
    let desk = Desk::new();
    desk.fill("x-one", "abc");
    desk.fill("x-two", "abc");
    desk.try_send(&["x-one", "x-two"], &plain()).unwrap();
    let root = || {
        let archive = desk.archive.open();
        let roots = ["x-one", "x-two"].map(|name| archive.head().volume(name).unwrap().root);
        (roots[0], roots[1])
    };
    let before = root();
    // The copies that stay are those of the volume seen last.
    assert_eq!(share(&desk, &["x-one"], false).items, 3);
    assert_ne!(root().0, before.0);
    assert_eq!(root().1, before.1);
    assert!(root().0.same_content(&root().1));
}

#[test]
fn the_base_of_a_patch_is_shared_too() {
    let desk = Desk::new();
    let patches = SendOptions {
        compare_all: false,
        ..plain()
    };
    desk.fill("x-one", "ab");
    desk.fill("x-two", "ab");
    desk.try_send(&["x-one", "x-two"], &patches).unwrap();
    desk.pool.write("x-one", 100, b"changed");
    desk.try_send(&["x-one"], &patches).unwrap();
    assert_eq!(items(&desk), 5);
    assert_eq!(share(&desk, &[], false).items, 2);
    assert_eq!(items(&desk), 3);
    assert_counts(&desk.archive.open());
    desk.assert_newest("x-one");
    desk.assert_newest("x-two");
}
