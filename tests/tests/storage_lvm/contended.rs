//! Discards that the kernel gives up, and says nothing.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nacre::joints::{GoalStart, Pool, VolumeRange};
use nacre::source::LvmPool;
use nacre_core::ids::ArchiveId;
use nacre_tests::MemoryState;

use crate::lab::{DATA_BLOCK, run};

const SIZE: u64 = 4 << 20;

/// A device in memory, for LVM. The disks of the lab kernel take smaller discards than a data block is, which a pool passes to none.
fn disk(name: &str) -> String {
    let file = File::create(format!("/tmp/{name}")).unwrap();
    file.set_len(48 << 20).unwrap();
    let below = run(&format!("losetup --find --show /tmp/{name}"));
    let below = below.trim().to_owned();
    dmsetup(&["create", name, "--table", &same(&below)]);
    below
}

/// Not from the beginning: or LVM would find the volume group on the device below, too.
fn same(below: &str) -> String {
    format!("0 94208 linear {below} 2048")
}

fn dmsetup(arguments: &[&str]) {
    let done = Command::new("dmsetup").args(arguments).status();
    assert!(done.unwrap().success(), "{arguments:?}");
}

/// Gives a device other ways; what it has still to do is done.
fn reload(name: &str, table: &str) {
    dmsetup(&["load", name, "--table", table]);
    dmsetup(&["suspend", name]);
    dmsetup(&["resume", name]);
}

fn pool() -> LvmPool {
    run("dmsetup mknodes");
    run("vgcreate -q -y shared /dev/mapper/slow /dev/mapper/fast");
    run("lvcreate -q -y -L 32M -n pool shared /dev/mapper/slow");
    run("lvcreate -q -y -L 4M -n metadata shared /dev/mapper/fast");
    run(
        "lvconvert -q -y --type thin-pool --chunksize 64k --discards passdown --poolmetadata shared/metadata shared/pool",
    );
    let state = Arc::new(MemoryState::new());
    LvmPool::open("shared/pool", ArchiveId([0x81; 16]), state).unwrap()
}

#[repr(align(4096))]
struct Page([u8; 4096]);

fn write_past_the_cache(path: &str) {
    let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    let mut options = File::options();
    let file = options.write(true).custom_flags(direct).open(path).unwrap();
    file.write_all_at(&Page([1; 4096]).0, 0).unwrap();
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn zeros_in_place_do_not_rely_on_a_discard_that_the_kernel_gives_up() {
    let [slow, _] = ["slow", "fast"].map(disk);
    let pool = pool();
    run("lvcreate -q -y -V 4M -T shared/pool -n restored");
    let path_of = |name: &str| format!("/dev/mapper/shared-{name}");
    std::fs::write(path_of("restored"), vec![0xAA; SIZE as usize]).unwrap();
    run("sync");
    run("lvcreate -q -y -s -kn -n clone shared/restored");
    let status = run("dmsetup status shared-pool-tpool");
    assert!(status.contains(" discard_passdown"), "{status}");

    let goal = pool.goal("restored", SIZE, &GoalStart::InPlace).unwrap();
    let late = format!("0 94208 delay {slow} 2048 100000 {slow} 2048 0");
    reload("slow", &late);
    std::thread::scope(|scope| {
        // The block is shared and has to be copied first, and nothing can be read now: while it is in use so, it is not discarded. (The kernel gives
        // up a discard alike when it runs out of memory for it, which is not as easily made.)
        scope.spawn(|| write_past_the_cache(&path_of("restored")));
        std::thread::sleep(Duration::from_millis(500));
        let zero = VolumeRange {
            start: 0,
            end: DATA_BLOCK,
        };
        goal.zero(zero).unwrap();
        reload("slow", &same(&slow));
    });
    let mut there = [0; 2];
    goal.read_at(4095, &mut there).unwrap();
    assert_eq!(there, [1, 0xAA], "the kernel gave up the discard");
    goal.finish().unwrap();

    let content = |name: &str| std::fs::read(path_of(name)).unwrap();
    let (now, clone) = (content("restored"), content("clone"));
    assert_eq!(now.len() as u64, SIZE);
    let (zeros, rest) = now.split_at(DATA_BLOCK as usize);
    assert!(zeros.iter().all(|byte| *byte == 0));
    assert!(rest.iter().all(|byte| *byte == 0xAA));
    assert!(clone.iter().all(|byte| *byte == 0xAA));
}
