//! The metadata snapshot, of which a pool has one at most.

use nacre::joints::{Pool, StateDir, VolumeNames, VolumeSource};
use nacre_tests::MemoryState;

use crate::lab::{held_root, make_volume, names, run, seen, seen_by, write};

const RESERVE: &str = "dmsetup message qubes_dom0-vm--pool-tpool 0 reserve_metadata_snap";
const RELEASE: &str = "dmsetup message qubes_dom0-vm--pool-tpool 0 release_metadata_snap";
const MARK: &str = "lvm-metadata-snapshot";

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_metadata_snapshot_of_somebody_else_is_waited_for_and_left_alone() {
    make_volume("vm-busy-private", 16);
    let seen = seen_by(0x21);
    run(RESERVE);
    let held = held_root();
    let wanted = [VolumeNames::same("vm-busy-private")];
    let refusal = seen.pool.freeze(&wanted).map(|_| ()).unwrap_err();
    assert!(
        refusal.detail.contains("release_metadata_snap"),
        "{refusal}"
    );
    assert_eq!(held_root(), held, "still there");
    assert!(
        names("vm-busy-private.nacre").is_empty(),
        "no snapshot is left behind"
    );
    // It ends while we wait.
    let waiting = std::thread::spawn(move || drop(seen.freeze("vm-busy-private")));
    std::thread::sleep(std::time::Duration::from_millis(300));
    run(RELEASE);
    waiting.join().unwrap();
    assert_eq!(held_root(), "-");
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_metadata_snapshot_that_our_crash_left_is_released() {
    make_volume("vm-crash-private", 16);
    write("vm-crash-private", 0, &[1]);
    let state = MemoryState::new();
    let seen = seen(0x22, &state);
    let device = "qubes_dom0-vm--pool-tpool";
    let run_mark = "/run/nacre/qubes_dom0-vm--pool.metadata";
    drop(seen.freeze("vm-crash-private"));
    // After the reservation: found by dom0's file (a power cut), or by the one in /run (another archive's run was killed).
    run(RESERVE);
    let exact = format!("{device} {}", held_root());
    state.replace(MARK, exact.as_bytes()).unwrap();
    drop(seen.freeze("vm-crash-private"));
    assert_eq!(held_root(), "-");
    assert_eq!(state.read(MARK, 100).unwrap(), None);
    run(RESERVE);
    std::fs::write(run_mark, format!("{device} {}", held_root())).unwrap();
    drop(seen.freeze("vm-crash-private"));
    assert_eq!(held_root(), "-");
    // Between the reservation and the second mark.
    run(RESERVE);
    state.replace(MARK, device.as_bytes()).unwrap();
    drop(seen.freeze("vm-crash-private"));
    assert_eq!(held_root(), "-");
    // A mark of a reservation that is gone, while somebody else has one.
    run(RESERVE);
    state
        .replace(MARK, format!("{device} 1").as_bytes())
        .unwrap();
    let refused = seen.pool.monitor("vm-crash-private");
    assert!(refused.is_err());
    assert_ne!(held_root(), "-");
    run(RELEASE);
}
