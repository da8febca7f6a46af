//! Data that moves between two snapshots, or while they are compared: costs time, never correctness.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nacre::joints::Ranges;

use super::{BLOCK, Desk, assert_all_found, content, on_both, on_btrfs, punch, ranges, run, write};

/// A volume in many pieces, a session of it, and what the session held.
fn scattered(desk: &Desk) -> (fs::File, Vec<u8>, Vec<u8>) {
    let file = desk.image("v.img");
    for part in 0..40 {
        let block = part * 37 % 40 * 25;
        write(&file, block..block + 25, part);
    }
    let identity = desk.session("v.img");
    let content = fs::read(desk.path("v.img")).unwrap();
    (file, identity, content)
}

fn check(desk: &Desk, identity: &[u8], before: &[u8], what: &str) -> Ranges {
    let frozen = desk.freeze("v.img");
    let found = ranges(frozen.changes_since(identity).unwrap());
    assert_all_found(before, &content(frozen.as_ref()), &found, what);
    found
}

#[test]
fn defragmented_and_balanced_volumes_are_read_again() {
    on_btrfs("defragmented_and_balanced_volumes_are_read_again", |desk| {
        let (file, identity, before) = scattered(desk);
        write(&file, 100..101, 99);
        let path = desk.path("v.img").display().to_string();
        run(
            "btrfs",
            &["filesystem", "defragment", "-f", "-t", "100M", &path],
        )
        .unwrap();
        let found = check(desk, &identity, &before, "defragmented");
        assert!(found.touches(100 * BLOCK, 101 * BLOCK));

        // Moves the data of both snapshots, which stay the same file in the same place.
        let place = desk.disk.path().display().to_string();
        run("btrfs", &["balance", "start", "--full-balance", &place]).unwrap();
        let found = check(desk, &identity, &before, "balanced");
        assert!(found.touches(100 * BLOCK, 101 * BLOCK));

        let snapshot = desk.snapshots()[0].display().to_string();
        let _ = run(
            "btrfs",
            &["filesystem", "defragment", "-f", "-t", "100M", &snapshot],
        );
        check(desk, &identity, &before, "the snapshot defragmented");
    });
}

#[test]
fn deduplicated_and_cloned_ranges_are_found_where_they_changed() {
    let test = "deduplicated_and_cloned_ranges_are_found_where_they_changed";
    on_both(test, |desk| {
        let (file, identity, before) = scattered(desk);
        // Another file takes over the volume's data, the volume that of the other, for equal and for different content.
        let path = desk.path("v.img").display().to_string();
        let other = desk.path("other").display().to_string();
        fs::copy(&path, &other).unwrap();
        rustix::fs::sync();
        run(
            "xfs_io",
            &["-c", &format!("dedupe {other} 0 0 409600"), &path],
        )
        .unwrap();
        write(&desk.image("other"), 200..300, 77);
        let clone = format!("reflink {other} 819200 1228800 409600");
        run("xfs_io", &["-c", &clone, &path]).unwrap();
        // The volume's own data in another place: the address is one that the old snapshot has elsewhere.
        let within = format!("reflink {path} 0 2048000 409600");
        run("xfs_io", &["-c", &within, &path]).unwrap();
        file.sync_all().unwrap();
        let found = check(desk, &identity, &before, "deduplicated and cloned");
        assert!(found.touches(300 * BLOCK, 400 * BLOCK));
        assert!(found.touches(500 * BLOCK, 600 * BLOCK));
        assert!(!found.touches(700 * BLOCK, 1000 * BLOCK), "{found:?}");

        // Back again: the content is the old one, whatever its address.
        let snapshot = desk.snapshots()[0].display().to_string();
        run("cp", &["--reflink=always", &snapshot, &path]).unwrap();
        let found = check(desk, &identity, &before, "cloned back");
        assert!(found.is_empty(), "{found:?}");
    });
}

#[test]
fn freed_space_that_is_written_again_is_found() {
    on_both("freed_space_that_is_written_again_is_found", |desk| {
        let file = desk.image("v.img");
        write(&file, 0..500, 1);
        let mut identity = desk.session("v.img");
        // Addresses are freed and given away again between snapshots that are gone.
        for round in 0..12 {
            let before = fs::read(desk.path("v.img")).unwrap();
            punch(&file, 100..200);
            file.sync_all().unwrap();
            if round % 2 == 0 {
                desk.pool.monitor("v.img").unwrap();
                rustix::fs::sync();
            }
            write(&file, 100..200, round);
            let found = check(desk, &identity, &before, &format!("round {round}"));
            assert!(found.total() <= 100 * BLOCK);
            identity = desk.session("v.img");
            rustix::fs::sync();
        }
    });
}

#[test]
fn a_volume_in_use_is_compared_all_the_same() {
    on_both("a_volume_in_use_is_compared_all_the_same", |desk| {
        let (file, identity, before) = scattered(desk);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut step = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    step += 1;
                    file.write_all_at(&[step as u8; 4096], step * 7919 % 1000 * BLOCK)
                        .unwrap();
                }
            });
            for _ in 0..5 {
                check(desk, &identity, &before, "while it is written to");
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}
