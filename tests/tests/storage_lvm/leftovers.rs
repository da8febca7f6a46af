//! Restoring where what was not written would show something else than zeros.

use std::sync::Arc;

use nacre::joints::{GoalStart, Pool, RestoreGoal, VolumeNames, VolumeRange, VolumeSource};
use nacre::source::LvmPool;
use nacre_core::ids::ArchiveId;
use nacre_tests::MemoryState;

use crate::lab::{GROUP, content, device, make_pool, run, seen_by, write};

/// A pool that does not zero, with data blocks of two chunks, full of what a removed volume held.
const POOL: &str = "qubes_dom0/stale-pool";
const BLOCK: u64 = 256 << 10;
const HALF: u64 = BLOCK / 2;
const SIZE: u64 = 4 << 20;

fn stale_pool() -> LvmPool {
    make_pool();
    let shape = "--zero n --chunksize 256k --poolmetadatasize 4M";
    run(&format!("lvcreate -q -y -T -L 64M {shape} {POOL}"));
    run(&format!("lvcreate -q -y -V 64M -T {POOL} -n vm-removed"));
    write("vm-removed", 0, &vec![0xAA; 64 << 20]);
    run(&format!("lvremove -q -y {GROUP}/vm-removed"));
    let state = Arc::new(MemoryState::new());
    LvmPool::open(POOL, ArchiveId([0x71; 16]), state).unwrap()
}

/// Writes within blocks of which the rest is to stay zero: in the first from two threads at once.
fn write_parts(goal: &dyn RestoreGoal) {
    std::thread::scope(|scope| {
        for part in [0, 3] {
            let at = part * BLOCK / 4;
            scope.spawn(move || goal.write_at(at, &[1; 4096]).unwrap());
        }
    });
    // From the middle of one block through a whole one into the next.
    let long = vec![1; usize::try_from(BLOCK + HALF + 4096).unwrap()];
    goal.write_at(2 * BLOCK + HALF, &long).unwrap();
}

fn is_part(at: u64) -> bool {
    let third = 3 * BLOCK / 4;
    at < 4096
        || (third..third + 4096).contains(&at)
        || (2 * BLOCK + HALF..4 * BLOCK + 4096).contains(&at)
}

fn shows_only_what_was_written(name: &str) {
    let now = content(name);
    assert_eq!(now.len() as u64, SIZE);
    let wrong = (0..)
        .zip(&now)
        .find(|(at, byte)| **byte != u8::from(is_part(*at)));
    assert_eq!(wrong, None, "{name}");
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_pool_that_does_not_zero_shows_nothing_of_removed_volumes() {
    let pool = stale_pool();
    let goal = |name: &str, start: &GoalStart| pool.goal(name, SIZE, start).unwrap();

    let whole = goal("vm-stale-whole", &GoalStart::Empty);
    write_parts(&*whole);
    whole.finish().unwrap();
    shows_only_what_was_written("vm-stale-whole");

    let make = |name: &str| run(&format!("lvcreate -q -y -V 4M -T {POOL} -n {name}"));
    make("vm-stale-place");
    let place = goal("vm-stale-place", &GoalStart::InPlace);
    write_parts(&*place);
    let zero = VolumeRange {
        start: 8 * BLOCK + HALF,
        end: SIZE,
    };
    place.zero(zero).unwrap();
    place.finish().unwrap();
    shows_only_what_was_written("vm-stale-place");

    make("vm-stale-clone");
    let mut frozen = pool.freeze(&[VolumeNames::same("vm-stale-clone")]).unwrap();
    let mut frozen = frozen.remove(0).unwrap();
    frozen.committed().unwrap();
    let start = GoalStart::Snapshot(frozen.identity());
    drop(frozen);
    let clone = goal("vm-stale-clone", &start);
    write_parts(&*clone);
    clone.finish().unwrap();
    shows_only_what_was_written("vm-stale-clone");

    make("vm-stale-import");
    let path = device("vm-stale-import");
    let import = nacre::source::fresh_device(path.as_ref(), SIZE).unwrap();
    write_parts(&*import);
    import.finish().unwrap();
    shows_only_what_was_written("vm-stale-import");
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn zeros_in_place_hide_an_origin_outside_of_the_pool() {
    let seen = seen_by(0x72);
    run("lvcreate -q -y -L 4M qubes_dom0 -n vm-behind-root");
    write("vm-behind-root", 0, &vec![0xAA; 4 << 20]);
    run("lvchange -q -an qubes_dom0/vm-behind-root");
    run("lvchange -q -pr qubes_dom0/vm-behind-root");
    run(
        "lvcreate -q -y --type thin --thinpool vm-pool qubes_dom0/vm-behind-root -n vm-front-root -kn",
    );
    assert!(content("vm-front-root").iter().all(|byte| *byte == 0xAA));
    let goal = seen
        .pool
        .goal("vm-front-root", SIZE, &GoalStart::InPlace)
        .unwrap();
    goal.write_at(0, &[1; 4096]).unwrap();
    let zero = VolumeRange {
        start: 4096,
        end: SIZE,
    };
    goal.zero(zero).unwrap();
    goal.finish().unwrap();
    let now = content("vm-front-root");
    assert!(now[..4096].iter().all(|byte| *byte == 1));
    assert!(now[4096..].iter().all(|byte| *byte == 0));
}
