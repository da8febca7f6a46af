//! A disk that is put back to an earlier image goes through the same numbers a second time: ids, transactions, times.

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;

use nacre::joints::Pool;
use nacre::source::LvmPool;
use nacre_core::ids::ArchiveId;
use nacre_tests::MemoryState;

use crate::lab::{Seen, run, why_everything};

/// The third disk is this test's alone.
const DISK: &str = "/dev/ubdc";

fn write(byte: u8) {
    let mut device = File::options()
        .write(true)
        .open("/dev/mapper/lab_history-vol");
    let device = device.as_mut().unwrap();
    device.write_all(&vec![byte; 2 << 20]).unwrap();
    device.sync_all().unwrap();
}

/// Does something to the disk while nothing on it is active.
fn at_rest<T>(what: impl FnOnce() -> T) -> T {
    run("vgchange -q -an lab_history");
    let done = what();
    run("vgchange -q -ay lab_history");
    done
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_snapshot_of_another_history_of_the_disk_is_not_believed() {
    run(&format!("vgcreate -q -y -s 1m lab_history {DISK}"));
    run("lvcreate -q -y -T -L 60M --chunksize 64k --poolmetadatasize 4M lab_history/pool");
    run("lvcreate -q -y -V 8M -T lab_history/pool -n vol");
    let state = Arc::new(MemoryState::new());
    let pool = LvmPool::open("lab_history/pool", ArchiveId([1; 16]), state).unwrap();
    let seen = Seen { pool };
    write(b'A');
    seen.session("vol");
    let image = at_rest(|| fs::read(DISK).unwrap());
    write(b'B');
    let of_b = seen.session("vol");
    assert!(seen.pool.holds("vol", &of_b).unwrap());
    at_rest(|| {
        let mut disk = File::options().write(true).open(DISK).unwrap();
        disk.write_all(&image).unwrap();
        disk.sync_all().unwrap();
    });
    // This snapshot of A has every number that the one of B had.
    seen.monitor("vol");
    assert!(!seen.pool.holds("vol", &of_b).unwrap());
    why_everything(seen.freeze("vol").changes_since(&of_b).unwrap());
}
