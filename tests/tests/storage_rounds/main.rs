//! The life of two volumes at random on every kind of local storage with snapshots, through the real program: LVM thin pools (inside the lab
//! kernel), Btrfs and XFS (loop devices).
//!
//! Six rounds on thin pools, sixty on Btrfs and XFS, where they are quick; `NACRE_ROUNDS` times as many where it is set. `NACRE_SEED` repeats a
//! run. (Where a crash falls depends on the machine's speed as well.)
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod crash;
mod folder;
mod keeping;
mod place;
mod receiving;
mod rounds;
mod sending;
mod thin;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nacre_tests::mounts::FileSystem;
use nacre_tests::{LabKernel, skip};

use self::folder::Folder;
use self::place::Place;
use self::rounds::Rounds;
use self::thin::ThinPool;

/// How many times as many rounds as there are ordinarily, and the seed.
fn wish() -> (u64, u64) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("NACRE_SEED").unwrap_or_else(|| u64::from(now.subsec_nanos()));
    (number("NACRE_ROUNDS").unwrap_or(1), seed)
}

/// Rounds on thin pools: each takes from six to twenty seconds.
const IN_THE_LAB: u64 = 6;
/// Rounds in folders: several in a second.
const IN_A_FOLDER: u64 = 60;

fn live(place: &dyn Place, rounds: u64) {
    let (factor, seed) = wish();
    let rounds = rounds * factor;
    println!("{}: NACRE_SEED={seed}, {rounds} rounds", place.local());
    let begun = Instant::now();
    let tally = Rounds::new(place, seed).live(rounds);
    println!("{}: {tally:?}, {:?}", place.local(), begun.elapsed());
}

fn live_on(kind: FileSystem, name: &str) {
    match Folder::new(kind) {
        Ok(folder) => live(&folder, IN_A_FOLDER),
        Err(why) => skip(name, &why),
    }
}

#[test]
fn whatever_happens_on_btrfs_every_session_reads_back() {
    live_on(
        FileSystem::Btrfs,
        "whatever_happens_on_btrfs_every_session_reads_back",
    );
}

#[test]
fn whatever_happens_on_xfs_every_session_reads_back() {
    live_on(
        FileSystem::Xfs,
        "whatever_happens_on_xfs_every_session_reads_back",
    );
}

#[test]
fn whatever_happens_on_thin_pools_every_session_reads_back() {
    let rounds = IN_THE_LAB * wish().0;
    LabKernel::new()
        .disk("1G")
        .disk("4G")
        .needs("lvm")
        .needs("thin_delta")
        .seconds(u32::try_from(600 + 60 * rounds).unwrap_or(u32::MAX))
        .run_ignored_tests("whatever_happens_on_thin_pools_every_session_reads_back");
}

#[test]
#[ignore = "started by whatever_happens_on_thin_pools_every_session_reads_back"]
fn in_the_lab_kernel_every_session_reads_back() {
    live(&ThinPool::new(), IN_THE_LAB);
}
