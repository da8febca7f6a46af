//! From two snapshots of a large volume to the list of what changed, beside `thin_delta` alone. Runs only with `NACRE_LAB_BENCH=1`.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

use nacre::joints::{VolumeNames, VolumeSource};
use nacre_core::ids::ArchiveId;
use nacre_tests::MemoryState;

use crate::lab::{ranges, run};

/// Blocks of 64 KiB that are mapped before the first snapshot, and changed between the two.
const MAPPED: u64 = 300_000;
const CHANGED: u64 = 1000;

/// Bytes of memory that the process had at most, of which it says so itself.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "started by changes_of_thin_pools_in_a_real_kernel"]
fn the_list_of_changes_takes_little_more_than_thin_delta() {
    if std::env::var_os("NACRE_LAB_BENCH").is_none() {
        println!("only with NACRE_LAB_BENCH=1");
        return;
    }
    run("vgcreate -q -y bench /dev/ubdb");
    run("lvcreate -q -y -T -Zn -L 30G --chunksize 64k --poolmetadatasize 256M bench/pool");
    run("lvcreate -q -y -V 100G -T bench/pool -n vm-big");
    let file = std::fs::File::options()
        .write(true)
        .open("/dev/mapper/bench-vm--big")
        .unwrap();
    let place = |at: u64| at * 5 % (100 << 14) * (64 << 10);
    for at in 0..MAPPED {
        file.write_all_at(&[1; 4096], place(at)).unwrap();
    }
    file.sync_all().unwrap();
    let state = Arc::new(MemoryState::new());
    let pool = nacre::source::LvmPool::open("bench/pool", ArchiveId([9; 16]), state).unwrap();
    let freeze = || {
        pool.freeze(&[VolumeNames::same("vm-big")])
            .unwrap()
            .remove(0)
            .unwrap()
    };
    let mut first = freeze();
    first.committed().unwrap();
    for at in 0..CHANGED {
        file.write_all_at(&[2; 4096], place(at * 293)).unwrap();
    }
    file.sync_all().unwrap();
    let second = freeze();
    let before = peak_kib();
    let started = Instant::now();
    let changed = ranges(second.changes_since(&first.identity()).unwrap());
    let ours = started.elapsed();
    let memory = peak_kib() - before;
    assert_eq!(
        changed.iter().map(|(a, b)| (b - a) >> 16).sum::<u64>(),
        CHANGED
    );
    run("dmsetup message bench-pool-tpool 0 reserve_metadata_snap");
    let id = |n: u8| {
        run(&format!(
            "lvs --noheadings -o thin_id bench/vm-big.nacre_09090909_{n}"
        ))
        .trim()
        .to_owned()
    };
    let command = format!(
        "thin_delta -m --snap1 {} --snap2 {} /dev/mapper/bench-pool_tmeta",
        id(1),
        id(2)
    );
    let started = Instant::now();
    run(&command);
    let alone = started.elapsed();
    run("dmsetup message bench-pool-tpool 0 release_metadata_snap");
    let started = Instant::now();
    assert!(second.next_data(1 << 40).unwrap().is_none());
    let holes = started.elapsed();
    println!(
        "ours {ours:?}, thin_delta alone {alone:?}, map of holes {holes:?}, memory +{memory} KiB"
    );
    assert!(ours.as_secs_f64() <= 1.2 * alone.as_secs_f64() + 0.3);
    assert!(memory < 64 << 10);
}
