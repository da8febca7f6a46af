//! The index in dom0's files: whatever happens to them, every backup is right.

use std::collections::BTreeSet;

use nacre::archive::Forgotten;
use nacre_tests::lab_image::Random;

use super::Desk;

fn files(desk: &Desk) -> Vec<String> {
    let mut names = desk.archive.state.list().unwrap();
    names.retain(|name| name.starts_with("dedup"));
    names
}

fn read(desk: &Desk, name: &str) -> Vec<u8> {
    desk.archive.state.read(name, 1 << 20).unwrap().unwrap()
}

/// A desk whose index knows `abcdefgh`, and what the archive was like before the last session.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.fill("x-one", "abcdefgh");
    assert_eq!(desk.send(&["x-one"]), (0, 8));
    assert_eq!(files(&desk).len(), 17);
    desk
}

#[test]
fn a_lost_index_is_made_again() {
    let desk = desk();
    for name in files(&desk) {
        desk.archive.state.remove(&name).unwrap();
    }
    desk.fill("x-two", "hgfe");
    assert_eq!(desk.send(&["x-two"]), (4, 0));
    desk.assert_newest("x-two");
    assert_eq!(files(&desk).len(), 17);
}

#[test]
fn a_cut_or_altered_index_is_made_again() {
    let mut random = Random::new(1, "damage");
    for round in 0..60 {
        let desk = desk();
        let names = files(&desk);
        let name = &names[usize::try_from(random.bits() % names.len() as u64).unwrap()];
        let mut bytes = read(&desk, name);
        let at = usize::try_from(random.bits() % bytes.len() as u64).unwrap();
        match round % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << (random.bits() % 8),
            _ => bytes.push(0),
        }
        desk.archive.state.replace(name, &bytes).unwrap();
        desk.fill("x-two", "hgfeZ");
        assert_eq!(desk.send(&["x-two"]), (4, 1), "{name} at {at}");
        desk.assert_newest("x-two");
    }
}

#[test]
fn files_of_different_runs_are_not_mixed() {
    let desk = desk();
    let old: Vec<_> = files(&desk)
        .into_iter()
        .map(|name| (read(&desk, &name), name))
        .collect();
    desk.fill("x-one", "ijklmnop");
    desk.send(&["x-one"]);
    for (bytes, name) in &old {
        let new = read(&desk, name);
        desk.archive.state.replace(name, bytes).unwrap();
        desk.fill("x-two", "hgfep");
        let (found, stored) = desk.send(&["x-two"]);
        assert_eq!((found, stored), (5, 0), "{name}");
        desk.assert_newest("x-two");
        desk.archive.state.replace(name, &new).unwrap();
        desk.fill("x-two", ".....");
        desk.send(&["x-two"]);
    }
}

/// An index that passes for whole and names wrong places: the full id in the tree decides.
#[test]
fn an_index_of_another_state_of_the_archive_only_finds_less() {
    let desk = desk();
    let old: Vec<_> = files(&desk)
        .into_iter()
        .map(|name| (read(&desk, &name), name))
        .collect();
    // What the old index says is at chunks 0 to 7 of the newest session is there no more.
    let mut archive = desk.open();
    archive.delete_volume("x-one", &desk.archive.clock).unwrap();
    desk.fill("x-new", "ZYXWVUTS");
    desk.send(&["x-new"]);
    for (bytes, name) in &old {
        desk.archive.state.replace(name, bytes).unwrap();
    }
    desk.fill("x-two", "abcdZYXW");
    assert_eq!(desk.send(&["x-two"]), (4, 4));
    desk.assert_newest("x-two");
    desk.assert_newest("x-new");
}

/// A session that the index names is gone; what the next one has at that chunk number is something else.
#[test]
fn a_hint_that_leads_to_other_content_is_not_believed() {
    let desk = desk();
    desk.fill("x-one", "ijklmnop");
    desk.send(&["x-one"]);
    let mut archive = desk.open();
    let id = archive.head().volume("x-one").unwrap().id;
    let (first, ..) = desk.archive.sessions_of("x-one").swap_remove(0);
    let forgotten = Forgotten::from([(first, BTreeSet::from([id]))]);
    archive.prune(&forgotten, &desk.archive.clock).unwrap();
    archive.free().unwrap();
    desk.fill("x-two", "abcdijkl");
    assert_eq!(desk.send(&["x-two"]), (4, 4));
    desk.assert_newest("x-two");
}
