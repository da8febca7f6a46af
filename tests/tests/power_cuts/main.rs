//! Power cuts under the helper, in a real kernel: device-mapper's `log-writes` records in which order the disk was written and flushed; a cut leaves
//! what was flushed by then, and of what was not any part in any order. What was behind a barrier must be there, whole, after every cut.
//!
//! The seed of every file system's run is printed; `NACRE_SEED=n` begins with another, `NACRE_ROUNDS=n` takes n times as many cuts.
#![allow(clippy::unwrap_used, clippy::panic)] // Failing loudly is what these are for.

mod disk;
mod log;
mod script;

use disk::{BTRFS, Disk, EXT4, Kind, VFAT, XFS};
use log::Cut;
use nacre_tests::LabKernel;
use nacre_tests::lab_image::Random;
use script::Script;

/// Cuts of each file system in the ordinary test command.
const CUTS: u64 = 30;

#[test]
fn what_a_barrier_acknowledged_survives_every_power_cut() {
    LabKernel::new()
        .disk("64M")
        .disk("320M")
        .disk("128M")
        .disk("64M")
        .disk("1G")
        .needs("dmsetup")
        .needs("mkfs.xfs")
        .needs("mkfs.btrfs")
        .needs("mkfs.vfat")
        .seconds(1800)
        .run_ignored_tests("what_a_barrier_acknowledged_survives_every_power_cut");
}

#[test]
#[ignore = "started by what_a_barrier_acknowledged_survives_every_power_cut"]
fn on_ext4() {
    cut_the_power(&EXT4);
}

#[test]
#[ignore = "started by what_a_barrier_acknowledged_survives_every_power_cut"]
fn on_xfs() {
    cut_the_power(&XFS);
}

#[test]
#[ignore = "started by what_a_barrier_acknowledged_survives_every_power_cut"]
fn on_btrfs() {
    cut_the_power(&BTRFS);
}

#[test]
#[ignore = "started by what_a_barrier_acknowledged_survives_every_power_cut"]
fn on_vfat() {
    cut_the_power(&VFAT);
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs a script of puts, copies, deletions and barriers once, and looks at what cuts of its log leave.
fn cut_the_power(kind: &'static Kind) {
    let seed = number("NACRE_SEED").unwrap_or(1);
    println!("{}: seed {seed}", kind.name);
    let mut random = Random::new(seed, kind.name);
    let disk = Disk::make(kind);
    let script = Script::run(&disk, &mut random);
    let log = disk.end();
    let cuts = CUTS * number("NACRE_ROUNDS").unwrap_or(1).max(1);
    let mut told = script::Told::default();
    for number in 0..cuts {
        let cut = Cut::choose(&log, &mut random, number % 3 == 0);
        let left = log.after(&cut, &mut random);
        left.mounted(|folder| {
            let archive = folder.join("archive");
            script.check(&archive, &cut, kind, &mut told);
            if number % 6 == 0 {
                script.go_on(&archive);
            }
        });
    }
    println!("{}: {cuts} cuts in {} writes; {told}", kind.name, log.len());
    assert!(
        told.absent > 0,
        "nothing was ever lost: these are no power cuts"
    );
}
