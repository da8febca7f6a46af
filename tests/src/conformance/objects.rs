//! Objects: put, get, stat, list.

use nacre::joints::{PutOutcome, StoreErrorKind};
use nacre_core::ids::{Epoch, Generation};
use nacre_core::object_name::{Copy, ObjectClass, ObjectName};

use super::{Place, assert_error, content, listed, pack, range};

pub fn an_object_is_read_back_as_written(place: &impl Place) {
    let store = place.open(false);
    let bytes = content(1, 300_001);
    for name in [
        ObjectName::Header(Generation(1), Copy::A),
        ObjectName::Header(Generation(1), Copy::B),
        ObjectName::Head(Epoch(u64::MAX)),
        pack(0, 1),
        pack(255, 1),
    ] {
        assert_eq!(store.stat(name).unwrap(), None);
        assert_eq!(store.put_whole(name, &bytes).unwrap(), PutOutcome::Created);
        assert_eq!(store.stat(name).unwrap(), Some(300_001));
        assert!(store.get(name, &[range(0, 300_001)]).unwrap() == [bytes.clone()]);
    }
    store.barrier().unwrap();
}

pub fn an_empty_object_is_an_object(place: &impl Place) {
    let store = place.open(false);
    assert_eq!(
        store.put_whole(pack(1, 1), b"").unwrap(),
        PutOutcome::Created
    );
    assert_eq!(store.stat(pack(1, 1)).unwrap(), Some(0));
    assert_eq!(store.get(pack(1, 1), &[range(0, 0)]).unwrap(), [b""]);
    assert_eq!(store.get_whole(pack(1, 1), 0).unwrap().unwrap(), b"");
    assert_eq!(
        store.put_whole(pack(1, 1), b"x").unwrap(),
        PutOutcome::Exists
    );
}

pub fn an_existing_object_is_never_touched(place: &impl Place) {
    let store = place.open(false);
    let head = ObjectName::Head(Epoch(7));
    assert_eq!(
        store.put_whole(head, b"first").unwrap(),
        PutOutcome::Created
    );
    for length in [0, 5, 3_000_000] {
        let other = content(9, length);
        assert_eq!(store.put_whole(head, &other).unwrap(), PutOutcome::Exists);
        assert_eq!(store.get_whole(head, 99).unwrap().unwrap(), b"first");
    }
}

pub fn ranges_come_in_the_order_asked_for(place: &impl Place) {
    let store = place.open(false);
    let bytes = content(2, 1_500_000);
    store.put_whole(pack(2, 2), &bytes).unwrap();
    let mut ranges = vec![
        range(1_499_999, 1),
        range(0, 0),
        range(0, 1_500_000),
        range(700_000, 600_000),
        range(700_000, 600_000),
        range(1_500_000, 0),
        range(0, 1),
        // Some that follow each other, so that a store may read them as one.
        range(10, 5),
        range(15, 0),
        range(15, 300_000),
        range(300_015, 1),
    ];
    // More than fit in one request.
    ranges.extend((0..9000).map(|i| range(i * 17, 5)));
    let got = store.get(pack(2, 2), &ranges).unwrap();
    assert_eq!(got.len(), ranges.len());
    for (range, got) in ranges.iter().zip(got) {
        let start = usize::try_from(range.offset).unwrap();
        assert!(
            got == bytes[start..start + range.length as usize],
            "{range:?}"
        );
    }
    assert!(store.get(pack(2, 2), &[]).unwrap().is_empty());
}

pub fn what_is_not_there_is_an_error_that_names_it(place: &impl Place) {
    let store = place.open(false);
    let absent = pack(3, 1);
    assert_eq!(store.stat(absent).unwrap(), None);
    assert_eq!(store.get_whole(absent, 10).unwrap(), None);
    assert_error(
        store.get(absent, &[range(0, 1)]),
        StoreErrorKind::NotFound,
        absent,
    );
    let short = pack(3, 2);
    store.put_whole(short, b"12345").unwrap();
    for beyond in [
        range(5, 1),
        range(0, 6),
        range(u64::MAX - 9, 10),
        range(1 << 62, 0),
    ] {
        let ranges = [range(0, 5), beyond];
        assert_error(store.get(short, &ranges), StoreErrorKind::OutOfRange, short);
    }
    assert_eq!(store.get(short, &[range(1, 3)]).unwrap(), [b"234"]);
}

pub fn a_dropped_put_leaves_nothing(place: &impl Place) {
    let store = place.open(false);
    for length in [0, 10, 5_000_000] {
        let mut put = store.put_new(pack(4, 1)).unwrap();
        put.write(&content(4, length)).unwrap();
        drop(put);
        // An answer to a later request comes after the put was forgotten, or before: both are seen here.
        assert_eq!(store.stat(pack(4, 1)).unwrap(), None);
    }
    assert_eq!(
        store.put_whole(pack(4, 1), b"now").unwrap(),
        PutOutcome::Created
    );
    assert_eq!(listed(store.as_ref(), ObjectClass::Pack), [(pack(4, 1), 3)]);
}

pub fn puts_overlap_and_are_answered_in_any_order(place: &impl Place) {
    let store = place.open(false);
    let mut puts: Vec<_> = (0..5)
        .map(|number| store.put_new(pack(5, number)).unwrap())
        .collect();
    for piece in 0..40 {
        for (number, put) in puts.iter_mut().enumerate() {
            put.write(&content((piece * 10 + number) as u64, 70_000 + number))
                .unwrap();
        }
    }
    let pending: Vec<_> = puts.into_iter().map(|put| put.finish().unwrap()).collect();
    // Answers that nobody has fetched take no place: many more puts can follow.
    for number in 100..120 {
        store.put_whole(pack(5, number), b"small").unwrap();
    }
    for put in pending.into_iter().rev() {
        assert_eq!(put.wait().unwrap(), PutOutcome::Created);
    }
    for number in 0..5 {
        let expected: Vec<u8> = (0..40)
            .flat_map(|piece| {
                content(
                    piece * 10 + number,
                    70_000 + usize::try_from(number).unwrap(),
                )
            })
            .collect();
        let length = u32::try_from(expected.len()).unwrap();
        let got = store.get(pack(5, number), &[range(0, length)]).unwrap();
        assert!(got[0] == expected, "object {number}");
    }
}

pub fn a_large_object_streams_in_small_writes(place: &impl Place) {
    let store = place.open(false);
    let bytes = content(6, 9_999_999);
    let mut put = store.put_new(pack(6, 1)).unwrap();
    for piece in bytes.chunks(4099) {
        put.write(piece).unwrap();
    }
    assert_eq!(put.finish().unwrap().wait().unwrap(), PutOutcome::Created);
    assert!(store.get(pack(6, 1), &[range(0, 9_999_999)]).unwrap()[0] == bytes);
}

pub fn whole_objects_are_limited(place: &impl Place) {
    let store = place.open(false);
    let head = ObjectName::Head(Epoch(1));
    store.put_whole(head, &content(7, 1000)).unwrap();
    assert_error(store.get_whole(head, 999), StoreErrorKind::TooLarge, head);
    assert_eq!(store.get_whole(head, 1000).unwrap().unwrap().len(), 1000);
}

pub fn listings_hold_one_class_whole(place: &impl Place) {
    let store = place.open(false);
    for class in [ObjectClass::Header, ObjectClass::Head, ObjectClass::Pack] {
        assert_eq!(listed(store.as_ref(), class), []);
    }
    let headers = [
        (ObjectName::Header(Generation(1), Copy::A), 1),
        (ObjectName::Header(Generation(1), Copy::B), 2),
    ];
    let heads = [
        (ObjectName::Head(Epoch(3)), 3),
        (ObjectName::Head(Epoch(4)), 4),
    ];
    let packs = [(pack(0, 5), 5), (pack(17, 6), 6), (pack(255, 7), 7)];
    for (name, size) in headers.iter().chain(&heads).chain(&packs) {
        store
            .put_whole(*name, &content(8, usize::try_from(*size).unwrap()))
            .unwrap();
    }
    assert_eq!(listed(store.as_ref(), ObjectClass::Header), headers);
    assert_eq!(listed(store.as_ref(), ObjectClass::Head), heads);
    assert_eq!(listed(store.as_ref(), ObjectClass::Pack), packs);
}

pub fn many_names_are_listed(place: &impl Place) {
    let store = place.open(false);
    let mut puts = std::collections::VecDeque::new();
    for number in 0..600 {
        let mut put = store.put_new(ObjectName::Head(Epoch(number))).unwrap();
        put.write(&[1]).unwrap();
        puts.push_back(put.finish().unwrap());
        if puts.len() > 20 {
            puts.pop_front().unwrap().wait().unwrap();
        }
    }
    for put in puts {
        put.wait().unwrap();
    }
    let all = listed(store.as_ref(), ObjectClass::Head);
    assert!(
        all.into_iter()
            .eq((0..600).map(|number| (ObjectName::Head(Epoch(number)), 1)))
    );
}

pub fn free_space_is_told(place: &impl Place) {
    assert!(place.open(false).free_space().unwrap() > 1 << 20);
}
