//! What becomes of an archive in a store whose answers are wrong for a moment.

use std::sync::Arc;

use nacre::archive::Severity;
use nacre::joints::StoreErrorKind;
use nacre_core::ids::Epoch;
use nacre_core::object_name::ObjectName;
use nacre_tests::{LastWrite, MemoryState, Misread, UnsoundStore};

use super::bench::{Bench, CHUNK};

/// The machine of this test has seen one session; another machine has written one since.
fn behind() -> (Bench, MemoryState, Epoch) {
    let mut bench = Bench::new();
    bench.send(&[("v", &vec![1; 100_000])]);
    let before = bench.state.reopened(LastWrite::Kept);
    bench.send(&[("v", &vec![2; 100_000])]);
    let newest = bench.try_open().unwrap().head().epoch;
    (bench, before, newest)
}

/// The store reads the head of an epoch wrong, so many times.
fn misreading(bench: &Bench, epoch: Epoch, misread: Misread, mut times: u32) -> UnsoundStore {
    UnsoundStore::reading(bench.store.clone(), move |name| {
        let hit = name == ObjectName::Head(epoch) && times > 0;
        times -= u32::from(hit);
        hit.then_some(misread)
    })
}

const MISREADINGS: [Misread; 7] = [
    Misread::OtherBytes,
    Misread::Shorter,
    Misread::NotThere,
    Misread::Fails(StoreErrorKind::Io),
    Misread::Fails(StoreErrorKind::NotFound),
    Misread::Fails(StoreErrorKind::TooLarge),
    Misread::Fails(StoreErrorKind::TimedOut),
];

/// Whoever took the head before for the archive would write behind that one, and what the newest says would be gone.
#[test]
fn no_older_head_is_taken_for_the_newest_that_was_read_wrong_once() {
    for misread in MISREADINGS {
        let (bench, before, newest) = behind();
        for state in [before, MemoryState::new()] {
            let store = misreading(&bench, newest, misread, 1);
            let mut archive = match bench.try_open_on(Arc::new(store), &state) {
                Ok(archive) => archive,
                Err(error) => {
                    assert_eq!(error.severity(), Severity::Failed, "{misread:?}: {error}");
                    continue;
                }
            };
            assert!(archive.head().epoch >= newest, "{misread:?}");
            let commit = archive.begin_small_commit();
            commit.finish(&bench.clock).unwrap();
            assert_eq!(bench.versions().unwrap().len(), 2, "{misread:?}");
        }
    }
}

#[test]
fn an_older_head_is_taken_where_the_newest_is_lost_and_not_where_the_store_fails() {
    let (bench, before, newest) = behind();
    for misread in MISREADINGS {
        let store = misreading(&bench, newest, misread, u32::MAX);
        let opened = bench.try_open_on(Arc::new(store), &before);
        if misread == Misread::Fails(StoreErrorKind::TimedOut) {
            assert_eq!(opened.err().unwrap().severity(), Severity::Failed);
        } else {
            let epoch = opened.unwrap().head().epoch;
            assert!(epoch < newest, "{misread:?}");
        }
    }
}

/// It was written by a later release, and what that has written since is not to be dropped by this one.
#[test]
fn no_older_head_is_taken_where_the_newest_is_of_a_later_format() {
    let (bench, before, newest) = behind();
    let name = ObjectName::Head(newest);
    let mut later = bench.store.objects()[&name].clone();
    later[8..10].copy_from_slice(&2_u16.to_le_bytes());
    bench.set(name, Some(&later));
    for state in [before, MemoryState::new()] {
        let store = Arc::new(bench.store.clone());
        let refused = bench.try_open_on(store, &state).err().unwrap();
        assert_eq!(refused.remedy(), "Install a newer nacre.", "{refused}");
    }
}

#[test]
fn no_pack_counts_that_the_store_has_not_copied_whole() {
    let bench = Bench::with_small_packs();
    let before = bench.names();
    for dropped in [1, 20, CHUNK] {
        let store = UnsoundStore::copying_short(bench.store.clone(), dropped);
        let refused = bench.compact_on(Arc::new(store)).unwrap_err();
        assert_eq!(refused.severity(), Severity::Integrity, "{refused}");
        assert_eq!(bench.names(), before);
    }
    for (key, (came, lost)) in bench.versions().unwrap() {
        assert!(lost.is_empty() && came == bench.model[&key], "{key:?}");
    }
    let whole = bench.compact().unwrap();
    assert!(whole.packs > 0, "{whole:?}");
}
