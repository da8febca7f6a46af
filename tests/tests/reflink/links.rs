//! The links that `monitor` leaves.

use std::sync::Arc;

use nacre::joints::{Ranges, StateDir, VolumeRange};
use nacre::source::Links;
use nacre_tests::{LastWrite, MemoryState};

fn ranges(pairs: &[(u64, u64)]) -> Vec<VolumeRange> {
    let range = |(start, end): &(u64, u64)| VolumeRange {
        start: *start,
        end: *end,
    };
    pairs.iter().map(range).collect()
}

#[test]
fn a_chain_is_the_union_of_its_links() {
    let links = Links::new(Arc::new(MemoryState::new()));
    let record = |local, old: &[u8], new: &[u8], what| {
        links.record(local, old, new, &ranges(what)).unwrap();
    };
    record("v", b"a", b"b", &[(0, 5), (9, 10)]);
    record("v", b"b", b"c", &[(4, 7)]);
    record("v", b"x", b"c", &[(90, 91)]);
    record("w", b"c", b"d", &[(70, 80)]);

    let between = |from: &[u8], to: &[u8]| links.between("v", from, to).unwrap();
    assert_eq!(between(b"a", b"c"), Some(ranges(&[(0, 7), (9, 10)])));
    assert_eq!(between(b"b", b"c"), Some(ranges(&[(4, 7)])));
    assert_eq!(between(b"x", b"c"), Some(ranges(&[(90, 91)])));
    assert_eq!(between(b"a", b"a"), Some(Vec::new()));
    assert_eq!(between(b"c", b"a"), None, "not backwards");
    assert_eq!(between(b"a", b"d"), None, "not by another volume's link");

    links.forget("v").unwrap();
    links.forget("v").unwrap();
    assert_eq!(links.between("v", b"a", b"c").unwrap(), None);
    assert!(links.between("w", b"c", b"d").unwrap().is_some());
}

#[test]
fn a_long_chain_stays_one_and_a_circle_ends() {
    let links = Links::new(Arc::new(MemoryState::new()));
    let id = |step: u64| step.to_le_bytes();
    for step in 0..100 {
        let changed = ranges(&[(2 * step, 2 * step + 1)]);
        links
            .record("v", &id(step), &id(step + 1), &changed)
            .unwrap();
    }
    let all = links.between("v", &id(0), &id(100)).unwrap().unwrap();
    assert_eq!(all.len(), 100);
    links.record("v", &id(100), &id(0), &[]).unwrap();
    assert_eq!(links.between("v", &id(0), b"nowhere").unwrap(), None);
}

#[test]
fn a_file_of_links_that_was_damaged_or_exchanged_holds_none() {
    let state = MemoryState::new();
    let links = Links::new(Arc::new(state.clone()));
    links.record("v", b"a", b"b", &ranges(&[(0, 5)])).unwrap();
    let [name] = <[String; 1]>::try_from(state.list().unwrap()).unwrap();
    let good = state.read(&name, 1 << 20).unwrap().unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        state.replace(&name, &bad).unwrap();
        let found = links.between("v", b"a", b"b").unwrap();
        assert_eq!(found, None, "byte {at}");
    }
    links.record("w", b"a", b"b", &ranges(&[(0, 5)])).unwrap();
    let names = state.list().unwrap();
    let other = names.iter().find(|other| **other != name).unwrap();
    state.replace(other, &good).unwrap();
    assert_eq!(links.between("w", b"a", b"b").unwrap(), None);

    links.record("v", b"a", b"b", &ranges(&[(0, 5)])).unwrap();
    assert_eq!(state.read(&name, 1 << 20).unwrap().unwrap(), good);
}

#[test]
fn a_recorded_link_survives_a_power_cut_at_every_step() {
    for cut in 0..8 {
        let state = MemoryState::new();
        let links = Links::new(Arc::new(state.clone()));
        links.record("v", b"a", b"b", &ranges(&[(0, 5)])).unwrap();
        state.cut_after(cut);
        let done = links.record("v", b"b", b"c", &ranges(&[(7, 9)])).is_ok();
        for last in [LastWrite::Lost, LastWrite::Kept] {
            let links = Links::new(Arc::new(state.reopened(last)));
            let first = links.between("v", b"a", b"b").unwrap();
            assert_eq!(first, Some(ranges(&[(0, 5)])), "cut after {cut}");
            let both = links.between("v", b"a", b"c").unwrap();
            assert!(both == Some(ranges(&[(0, 5), (7, 9)])) || both.is_none() && !done);
        }
    }
}

#[test]
fn many_ranges_are_remembered_coarser_in_bounded_space() {
    let links = Links::new(Arc::new(MemoryState::new()));
    let many: Vec<_> = (0_u64..600_000)
        .map(|at| (at << 20, (at << 20) + 4096))
        .collect();
    links.record("v", b"a", b"b", &ranges(&many)).unwrap();
    links.record("v", b"b", b"c", &ranges(&many)).unwrap();
    let found = Ranges::of(&links.between("v", b"a", b"c").unwrap().unwrap());
    assert!(many.iter().all(|(start, end)| found.touches(*start, *end)));
    assert!(found.as_slice().len() < 600_000);
    assert!(found.total() < (2 * 600_000) << 20);
}
