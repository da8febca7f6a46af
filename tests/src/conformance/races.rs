//! Several at once.

use std::sync::Barrier;

use nacre::joints::{PutOutcome, Store, StoreErrorKind};
use nacre_core::ids::Epoch;
use nacre_core::object_name::{ObjectClass, ObjectName};

use super::{Place, assert_error, content, listed, pack, range};

/// Threads of one client race for one name, then threads of several clients for another.
pub fn one_of_many_writers_wins(place: &impl Place) {
    let clients: Vec<_> = (0..4).map(|_| place.open(false)).collect();
    race(&[clients[0].as_ref()], 16, ObjectName::Head(Epoch(1)));
    let all: Vec<&dyn Store> = clients.iter().map(AsRef::as_ref).collect();
    race(&all, 16, ObjectName::Head(Epoch(2)));
}

/// `writers` threads, spread over the clients, race for one name. Exactly one wins, knows it, and its bytes are there.
pub fn race(clients: &[&dyn Store], writers: usize, name: ObjectName) {
    let start = Barrier::new(writers);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|number| {
                let (client, start) = (clients[number % clients.len()], &start);
                scope.spawn(move || {
                    start.wait();
                    client
                        .put_whole(name, &content(number as u64, 10_000))
                        .unwrap()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let created = |outcome: &&PutOutcome| **outcome == PutOutcome::Created;
    assert_eq!(
        outcomes.iter().filter(created).count(),
        1,
        "exactly one wins"
    );
    let winner = outcomes
        .iter()
        .position(|outcome| created(&outcome))
        .unwrap();
    let there = clients[0].get_whole(name, 1 << 20).unwrap().unwrap();
    assert!(
        there == content(winner as u64, 10_000),
        "the winner's bytes are there"
    );
}

pub fn threads_do_not_disturb_each_other(place: &impl Place) {
    let store = place.open(false);
    let store = store.as_ref();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || work(store, thread));
        }
    });
    assert_eq!(listed(store, ObjectClass::Pack).len(), 8 * 3);
}

/// Puts five objects, reads them, deletes two.
fn work(store: &dyn Store, thread: u8) {
    for number in 0..5_u32 {
        let name = pack(thread, u64::from(number));
        let bytes = content(
            u64::from(thread) * 10 + u64::from(number),
            100_000 * number as usize,
        );
        assert_eq!(store.put_whole(name, &bytes).unwrap(), PutOutcome::Created);
        let got = store.get(name, &[range(0, 100_000 * number)]).unwrap();
        assert!(got[0] == bytes);
        store.barrier().unwrap();
    }
    store.delete(&[pack(thread, 0), pack(thread, 1)]).unwrap();
    assert_eq!(store.stat(pack(thread, 1)).unwrap(), None);
}

pub fn another_client_sees_what_was_answered(place: &impl Place) {
    let (one, two) = (place.open(false), place.open(false));
    one.put_whole(pack(14, 1), b"hello").unwrap();
    assert_eq!(two.get_whole(pack(14, 1), 5).unwrap().unwrap(), b"hello");
    two.delete(&[pack(14, 1)]).unwrap();
    assert_eq!(one.stat(pack(14, 1)).unwrap(), None);
    assert_eq!(listed(one.as_ref(), ObjectClass::Pack), []);
}

/// By more threads than a store may have room for: none may wait for room that others keep who wait as well.
pub fn each_of_many_objects_has_an_answer_of_its_own(place: &impl Place) {
    let store = place.open(false);
    let objects: u64 = 20;
    for number in 0..objects {
        let bytes = content(number, 40_000);
        store.put_whole(pack(30, number), &bytes).unwrap();
    }
    let mut ranges = vec![range(39_000, 1000), range(0, 0), range(7, 20_000)];
    // More than fit in one request.
    ranges.extend((0..5000).map(|i| range(i, 1)));
    let mut wanted: Vec<_> = (0..objects)
        .map(|n| (pack(30, n), ranges.clone()))
        .collect();
    wanted.insert(3, (pack(31, 1), ranges.clone()));
    wanted.insert(9, (pack(30, 1), vec![range(0, 5), range(39_999, 2)]));
    wanted.push((pack(30, 2), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut answers = store.get_many(&wanted);
                assert_eq!(answers.len(), wanted.len());
                assert_eq!(answers.pop().unwrap().unwrap(), Vec::<Vec<u8>>::new());
                assert_error(answers.remove(9), StoreErrorKind::OutOfRange, pack(30, 1));
                assert_error(answers.remove(3), StoreErrorKind::NotFound, pack(31, 1));
                for (number, answer) in (0..).zip(answers) {
                    let bytes = content(number, 40_000);
                    let got = answer.unwrap();
                    assert_eq!(got.len(), ranges.len());
                    for (range, got) in ranges.iter().zip(got) {
                        let start = usize::try_from(range.offset).unwrap();
                        assert!(got == bytes[start..start + range.length as usize]);
                    }
                }
            });
        }
    });
}
