//! The metadata snapshot, of which a pool has one at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nacre::joints::{Pool, StateDir, StateError, StateLock, VolumeNames, VolumeSource};
use nacre::source::LvmPool;
use nacre_core::ids::ArchiveId;
use nacre_tests::MemoryState;

use crate::lab::{POOL, held_root, make_volume, names, run, seen, seen_by, write};

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

/// Dom0's folder; when a reservation is noted there, somebody releases it (1), and reserves another (2).
#[derive(Clone, Default)]
struct Thief {
    state: MemoryState,
    what: Arc<AtomicU8>,
}

impl StateDir for Thief {
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StateError> {
        self.state.read(name, limit)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let what = self.what.load(Ordering::Relaxed);
        if name == MARK && bytes.contains(&b' ') && what > 0 {
            run(RELEASE);
            if what > 1 {
                run(RESERVE);
            }
        }
        self.state.replace(name, bytes)
    }

    fn list(&self) -> Result<Vec<String>, StateError> {
        self.state.list()
    }

    fn remove(&self, name: &str) -> Result<(), StateError> {
        self.state.remove(name)
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn StateLock>, StateError> {
        self.state.lock(purpose)
    }

    fn turn(&self) -> Result<Box<dyn StateLock>, StateError> {
        self.state.turn()
    }
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn what_was_read_counts_only_if_the_metadata_snapshot_was_ours_to_the_end() {
    make_volume("vm-stolen-private", 16);
    write("vm-stolen-private", 0, &[1]);
    let thief = Thief::default();
    let pool = LvmPool::open(POOL, ArchiveId([0x23; 16]), Arc::new(thief.clone())).unwrap();
    for what in 1..=2 {
        thief.what.store(what, Ordering::Relaxed);
        let refusal = pool.monitor("vm-stolen-private").unwrap_err();
        assert!(
            refusal.detail.contains("run this again"),
            "{what}: {refusal}"
        );
        assert_eq!(thief.state.read(MARK, 100).unwrap(), None, "{what}");
        let names = names("vm-stolen-private.nacre");
        assert!(names.is_empty(), "{what}: {names:?}");
    }
    assert_ne!(held_root(), "-", "the other one's stays");
    run(RELEASE);
    thief.what.store(0, Ordering::Relaxed);
    pool.monitor("vm-stolen-private").unwrap();
}
