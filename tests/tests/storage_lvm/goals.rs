//! Restoring into a pool.

use nacre::joints::{GoalStart, Pool, SourceErrorKind, VolumeRange};

use crate::lab::{
    DATA_BLOCK, content, device, lvs, make_volume, names, read_data, run, seen_by, write,
};

const MIB: u64 = 1 << 20;

fn mapped(name: &str) -> f64 {
    lvs(name, "data_percent").parse().unwrap()
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_new_volume_appears_only_when_it_is_whole() {
    let seen = seen_by(0x31);
    let goal = seen
        .pool
        .goal("vm-new-private", 10 * MIB + 512, &GoalStart::Empty)
        .unwrap();
    assert!(goal.starts_empty());
    goal.write_at(MIB, &[7; 8192]).unwrap();
    assert!(!seen.pool.exists("vm-new-private").unwrap());
    drop(goal);
    assert!(
        names("vm-new-private").is_empty(),
        "a failed restore leaves nothing"
    );
    let goal = seen
        .pool
        .goal("vm-new-private", 10 * MIB + 512, &GoalStart::Empty)
        .unwrap();
    goal.write_at(MIB, &[7; 8192]).unwrap();
    goal.finish().unwrap();
    let now = content("vm-new-private");
    assert_eq!(now.len() as u64, 12 * MIB, "whole extents");
    assert!(now[MIB as usize..][..8192].iter().all(|byte| *byte == 7));
    assert_eq!(now.iter().filter(|byte| **byte != 0).count(), 8192);
    assert!(
        lvs("vm-new-private", "lv_attr").starts_with("Vwi-a-tz"),
        "{}",
        lvs("vm-new-private", "lv_attr")
    );
    assert!(
        lvs("vm-new-private", "lv_attr").len() < 10
            || !lvs("vm-new-private", "lv_attr").ends_with('k')
    );
    assert_eq!(names("vm-new-private"), ["vm-new-private"]);
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn the_old_volume_stays_until_the_new_one_is_whole() {
    make_volume("vm-swap-private", 8);
    write("vm-swap-private", 0, &[1; 4096]);
    let seen = seen_by(0x32);
    let goal = seen
        .pool
        .goal("vm-swap-private", 16 * MIB, &GoalStart::Empty)
        .unwrap();
    goal.write_at(0, &[2; 4096]).unwrap();
    drop(goal);
    assert_eq!(content("vm-swap-private")[0], 1);
    let goal = seen
        .pool
        .goal("vm-swap-private", 16 * MIB, &GoalStart::Empty)
        .unwrap();
    goal.write_at(0, &[2; 4096]).unwrap();
    // A qube began to use it meanwhile.
    let user = std::fs::File::open(device("vm-swap-private")).unwrap();
    let refusal = goal.finish().unwrap_err();
    assert!(refusal.detail.contains("in use"), "{refusal}");
    assert_eq!(content("vm-swap-private")[0], 1);
    assert!(
        seen.pool
            .goal("vm-swap-private", 16 * MIB, &GoalStart::Empty)
            .is_err()
    );
    drop(user);
    let goal = seen
        .pool
        .goal("vm-swap-private", 16 * MIB, &GoalStart::Empty)
        .unwrap();
    goal.write_at(0, &[2; 4096]).unwrap();
    goal.finish().unwrap();
    assert_eq!(content("vm-swap-private").len() as u64, 16 * MIB);
    assert_eq!(content("vm-swap-private")[0], 2);
    assert_eq!(names("vm-swap-private"), ["vm-swap-private"]);
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_crash_between_the_renames_is_put_right() {
    make_volume("vm-half-private", 8);
    write("vm-half-private", 0, &[1; 4096]);
    let seen = seen_by(0x33);
    let set_aside = "vm-half-private.nacre_33333333_old";
    run("lvcreate -q -y -V 8M -T qubes_dom0/vm-pool -n vm-half-private.nacre_33333333_new");
    run(&format!(
        "lvrename -q qubes_dom0 vm-half-private {set_aside}"
    ));
    assert!(seen.pool.exists("vm-half-private").unwrap());
    let frozen = seen.freeze("vm-half-private");
    assert_eq!(read_data(&*frozen)[0], 1);
    drop(frozen);
    run(&format!(
        "lvrename -q qubes_dom0 vm-half-private {set_aside}"
    ));
    let goal = seen
        .pool
        .goal("vm-half-private", 8 * MIB, &GoalStart::Empty)
        .unwrap();
    assert_eq!(
        content("vm-half-private")[0],
        1,
        "it is back before anything is restored"
    );
    goal.finish().unwrap();
    assert_eq!(content("vm-half-private")[0], 0);
    assert_eq!(names("vm-half-private"), ["vm-half-private"]);
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn in_place_only_what_is_written_changes_and_zeros_give_space_back() {
    make_volume("vm-place-private", 8);
    write("vm-place-private", 0, &vec![1; 8 << 20]);
    let seen = seen_by(0x34);
    // Larger, and not a multiple of an extent.
    let goal = seen
        .pool
        .goal("vm-place-private", 9 * MIB, &GoalStart::InPlace)
        .unwrap();
    assert!(!goal.starts_empty());
    let mut there = vec![0; 10];
    goal.read_at(5, &mut there).unwrap();
    assert_eq!(there, [1; 10]);
    goal.write_at(4096, &[2; 4096]).unwrap();
    let zero = VolumeRange {
        start: 2 * MIB + 4096,
        end: 6 * MIB - 4096,
    };
    goal.zero(zero).unwrap();
    goal.finish().unwrap();
    let now = content("vm-place-private");
    assert_eq!(now.len() as u64, 12 * MIB);
    let expected = |at: u64| match at {
        4096..8192 => 2,
        _ if zero.start <= at && at < zero.end || at >= 8 * MIB => 0,
        _ => 1,
    };
    assert!((0..).zip(&now).all(|(at, byte)| *byte == expected(at)));
    let blocks = (mapped("vm-place-private") * 12.0 * 16.0 / 100.0).round() as u64;
    assert_eq!(blocks, (8 * MIB - 4 * MIB) / DATA_BLOCK + 2);
    // Smaller: what LVM leaves behind the end is not the old content.
    let goal = seen
        .pool
        .goal("vm-place-private", MIB + 512, &GoalStart::InPlace)
        .unwrap();
    goal.finish().unwrap();
    let now = content("vm-place-private");
    assert_eq!(now.len() as u64, 4 * MIB);
    assert!(now[MIB as usize + 512..].iter().all(|byte| *byte == 0));
    assert_eq!(now[MIB as usize + 511], 1);
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_clone_of_the_snapshot_is_restored_and_the_snapshot_stays_as_it_is() {
    make_volume("vm-clone-private", 8);
    write("vm-clone-private", 0, &vec![1; 1 << 20]);
    let seen = seen_by(0x35);
    let identity = seen.session("vm-clone-private");
    write("vm-clone-private", 0, &vec![2; 1 << 20]);
    let start = GoalStart::Snapshot(identity.clone());
    let goal = seen.pool.goal("vm-clone-private", 4 * MIB, &start).unwrap();
    assert!(!goal.starts_empty());
    goal.write_at(512 << 10, &[3; 4096]).unwrap();
    goal.finish().unwrap();
    let now = content("vm-clone-private");
    assert_eq!(now.len() as u64, 4 * MIB);
    assert_eq!((now[0], now[512 << 10], now[(512 << 10) + 4096]), (1, 3, 1));
    assert!(seen.pool.holds("vm-clone-private", &identity).unwrap());
    // The clone is a snapshot of ours' snapshot: the next delta comes from both.
    let frozen = seen.freeze("vm-clone-private");
    let changed = crate::lab::ranges(frozen.changes_since(&identity).unwrap());
    assert_eq!(changed[0], (512 << 10, (512 << 10) + DATA_BLOCK));
    drop(frozen);
    // After the removal there is nothing to start from.
    seen.pool.remove_snapshots("vm-clone-private").unwrap();
    let refusal = seen
        .pool
        .goal("vm-clone-private", 4 * MIB, &start)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(refusal.kind, SourceErrorKind::NotFound);
    assert_eq!(content("vm-clone-private")[0], 1);
}

/// A thin volume that was made smaller keeps the blocks behind its end: a clone that grows again must not show them.
#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_clone_that_grows_shows_nothing_older_than_its_snapshot() {
    make_volume("vm-regrown-private", 16);
    write("vm-regrown-private", 0, &vec![5; 16 << 20]);
    run("lvresize -q --force -L 4M qubes_dom0/vm-regrown-private");
    let seen = seen_by(0x39);
    let identity = seen.session("vm-regrown-private");
    let start = GoalStart::Snapshot(identity);
    let goal = seen
        .pool
        .goal("vm-regrown-private", 12 * MIB + 512, &start)
        .unwrap();
    assert!(!goal.starts_empty());
    goal.finish().unwrap();
    let now = content("vm-regrown-private");
    assert_eq!(now.len() as u64, 16 * MIB, "whole extents");
    assert!(now[..4 << 20].iter().all(|byte| *byte == 5));
    assert!(now[4 << 20..].iter().all(|byte| *byte == 0));
}
