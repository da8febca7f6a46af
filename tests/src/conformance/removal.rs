//! Delete and punch, and the mode without them.

use nacre::joints::{PutOutcome, StoreErrorKind};
use nacre_core::ids::Epoch;
use nacre_core::object_name::{ObjectClass, ObjectName};

use super::{Place, assert_error, content, listed, pack, range};

pub fn deleted_objects_are_gone(place: &impl Place) {
    let store = place.open(false);
    let names: Vec<_> = (0..30).map(|number| pack(number, 1)).collect();
    for name in &names {
        store.put_whole(*name, b"x").unwrap();
    }
    // With some that were never there, and more than fit in one request.
    let mut doomed: Vec<_> = (0..2500)
        .map(|epoch| ObjectName::Head(Epoch(epoch)))
        .collect();
    doomed.extend(&names[..20]);
    store.delete(&doomed).unwrap();
    store.barrier().unwrap();
    assert_eq!(listed(store.as_ref(), ObjectClass::Pack).len(), 10);
    assert_eq!(store.stat(names[0]).unwrap(), None);
    store.delete(&[]).unwrap();
    assert_eq!(
        store.put_whole(names[0], b"again").unwrap(),
        PutOutcome::Created
    );
}

pub fn punching_spares_the_rest(place: &impl Place) {
    let store = place.open(false);
    let (name, bytes) = (pack(8, 1), content(8, 1_000_000));
    store.put_whole(name, &bytes).unwrap();
    let holes = [
        range(100_000, 200_000),
        range(500_001, 4099),
        range(999_999, 1),
        range(7, 0),
    ];
    let punched = store.punch(name, &holes);
    if !store.capabilities().punch {
        assert_error(punched, StoreErrorKind::Unsupported, name);
        assert!(store.get(name, &[range(0, 1_000_000)]).unwrap()[0] == bytes);
        return;
    }
    punched.unwrap();
    assert_eq!(store.stat(name).unwrap(), Some(1_000_000));
    let got = store.get(name, &[range(0, 1_000_000)]).unwrap().remove(0);
    for kept in [0..100_000, 300_000..500_001, 504_100..999_999] {
        assert!(got[kept.clone()] == bytes[kept.clone()], "{kept:?}");
    }
    assert_error(
        store.punch(name, &[range(999_999, 2)]),
        StoreErrorKind::OutOfRange,
        name,
    );
    assert_error(
        store.punch(pack(8, 2), &holes),
        StoreErrorKind::NotFound,
        pack(8, 2),
    );
}

pub fn append_only_keeps_everything(place: &impl Place) {
    let (name, bytes) = (pack(9, 1), content(9, 1000));
    place.open(false).put_whole(name, &bytes).unwrap();
    let store = place.open(true);
    let capabilities = store.capabilities();
    assert!(capabilities.append_only && !capabilities.punch);
    let refused = StoreErrorKind::Refused;
    assert_eq!(store.delete(&[name]).unwrap_err().kind, refused);
    assert_eq!(
        store.punch(name, &[range(0, 10)]).unwrap_err().kind,
        refused
    );
    assert_eq!(store.put_whole(name, b"other").unwrap(), PutOutcome::Exists);
    assert_eq!(
        store.put_whole(pack(9, 2), b"new").unwrap(),
        PutOutcome::Created
    );
    store.barrier().unwrap();
    assert!(store.get_whole(name, 1000).unwrap().unwrap() == bytes);
}
