//! The doubles do what tests rely on.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::collections::BTreeSet;
use std::time::Duration;

use nacre::joints::{PutOutcome, Store, StoreErrorKind};
use nacre_tests::conformance::{content, pack, range};
use nacre_tests::{Call, FaultyStore, Latency, MemoryStore, RecordingStore};

/// Two packs, a barrier, two packs, a delete, a punch: steps 0 to 6.
fn script(store: &dyn Store) -> Result<(), nacre::joints::StoreError> {
    store.put_whole(pack(0, 0), &content(0, 2000))?;
    store.put_whole(pack(0, 1), &content(1, 2000))?;
    store.barrier()?;
    store.put_whole(pack(0, 2), &content(2, 2000))?;
    store.put_whole(pack(0, 3), &content(3, 2000))?;
    store.delete(&[pack(0, 0)])?;
    store.punch(pack(0, 1), &[range(0, 1000)])
}

#[test]
fn a_crash_keeps_what_was_behind_a_barrier_and_anything_of_the_rest() {
    let dry = FaultyStore::on(MemoryStore::new());
    script(&dry).unwrap();
    assert_eq!(dry.steps(), 7);
    for step in 0..7 {
        let store = FaultyStore::on(MemoryStore::new()).crash_at(step);
        assert_eq!(script(&store).unwrap_err().kind, StoreErrorKind::Died);
        assert!(store.has_crashed());
        assert_eq!(
            store.stat(pack(0, 0)).unwrap_err().kind,
            StoreErrorKind::Died
        );
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let left = store.crash(seed);
            assert_eq!(left.objects(), store.crash(seed).objects(), "reproducible");
            let left = left.objects();
            if step > 2 {
                let kept = left.get(&pack(0, 1)).unwrap();
                assert!(
                    kept[1000..] == content(1, 2000)[1000..],
                    "step {step} seed {seed}"
                );
            }
            seen.insert(left);
        }
        // Every object made since the barrier may be there, torn, or not.
        assert!(seen.len() >= 3, "step {step}: {} outcomes", seen.len());
    }
}

#[test]
fn seed_zero_drops_and_seed_one_keeps_everything_since_the_barrier() {
    let store = FaultyStore::on(MemoryStore::new());
    script(&store).unwrap();
    let names = |store: MemoryStore| store.objects().into_keys().collect::<Vec<_>>();
    assert_eq!(names(store.crash(0)), [pack(0, 0), pack(0, 1)]);
    assert_eq!(store.crash(1).objects(), store.live().objects());
    store.barrier().unwrap();
    assert_eq!(store.crash(0).objects(), store.live().objects());
}

#[test]
fn an_ordered_failure_changes_nothing_and_passes() {
    let store = FaultyStore::on(MemoryStore::new()).fail_at(1, StoreErrorKind::NoSpace);
    store.put_whole(pack(1, 0), b"a").unwrap();
    let error = store.put_whole(pack(1, 1), b"b").unwrap_err();
    assert_eq!(
        (error.kind, error.object),
        (StoreErrorKind::NoSpace, Some(pack(1, 1)))
    );
    assert_eq!(store.stat(pack(1, 1)).unwrap(), None);
    assert_eq!(
        store.put_whole(pack(1, 1), b"b").unwrap(),
        PutOutcome::Created
    );
}

#[test]
fn calls_bytes_and_round_trips_are_recorded() {
    let latency = Latency {
        round_trip: Duration::from_millis(50),
        mebibyte: Duration::from_millis(100),
    };
    let store = RecordingStore::with_latency(MemoryStore::new(), latency);
    let name = pack(2, 2);
    store.put_whole(name, &content(1, 1 << 20)).unwrap();
    store
        .get(name, &[range(0, 1 << 19), range(7, 1 << 19)])
        .unwrap();
    store.barrier().unwrap();
    let record = store.reset();
    assert_eq!(
        (record.sent, record.received, record.round_trips),
        (1 << 20, 1 << 20, 3)
    );
    assert_eq!(record.elapsed, Duration::from_millis(350));
    assert_eq!(
        record.calls[0],
        Call::Put {
            name,
            bytes: 1 << 20
        }
    );
    assert_eq!(record.calls[2], Call::Barrier);
    assert_eq!(store.record().calls, []);
}

#[test]
fn a_memory_store_can_be_full() {
    let store = MemoryStore::new().limited_to(1000);
    store.put_whole(pack(3, 0), &content(0, 600)).unwrap();
    let error = store.put_whole(pack(3, 1), &content(0, 600)).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NoSpace);
    assert_eq!(store.free_space().unwrap(), 400);
}
