//! Objects put together beside the data.

use nacre::joints::{CopyPiece, PutOutcome, StoreErrorKind};
use nacre_core::object_name::ObjectClass;

use super::{Place, content, listed, pack, range};

pub fn a_copy_is_put_together_from_pieces(place: &impl Place) {
    let store = place.open(false);
    let (one, two) = (content(1, 3_000_000), content(2, 50_000));
    store.put_whole(pack(10, 1), &one).unwrap();
    store.put_whole(pack(11, 2), &two).unwrap();
    let inline = content(3, 1 << 20);
    let mut pieces = vec![
        CopyPiece::Range(pack(10, 1), range(1, 2_500_000)),
        CopyPiece::Inline(b"between".to_vec()),
        CopyPiece::Range(pack(11, 2), range(49_999, 1)),
        CopyPiece::Range(pack(11, 2), range(0, 0)),
        CopyPiece::Inline(Vec::new()),
        CopyPiece::Inline(inline.clone()),
    ];
    let mut expected = one[1..2_500_001].to_vec();
    expected.extend_from_slice(b"between");
    expected.push(two[49_999]);
    expected.extend_from_slice(&inline);
    for number in 0..500 {
        pieces.push(CopyPiece::Range(pack(10, 1), range(number * 4096, 777)));
        let start = usize::try_from(number * 4096).unwrap();
        expected.extend_from_slice(&one[start..start + 777]);
    }
    assert_eq!(
        store.copy(pack(12, 3), &pieces).unwrap(),
        PutOutcome::Created
    );
    let length = u32::try_from(expected.len()).unwrap();
    assert_eq!(store.stat(pack(12, 3)).unwrap(), Some(u64::from(length)));
    assert!(store.get(pack(12, 3), &[range(0, length)]).unwrap()[0] == expected);
}

pub fn a_copy_never_replaces(place: &impl Place) {
    let store = place.open(false);
    store.put_whole(pack(10, 1), b"one").unwrap();
    store.put_whole(pack(10, 2), b"two").unwrap();
    let pieces = [CopyPiece::Range(pack(10, 1), range(0, 3))];
    assert_eq!(
        store.copy(pack(10, 2), &pieces).unwrap(),
        PutOutcome::Exists
    );
    assert_eq!(store.get_whole(pack(10, 2), 9).unwrap().unwrap(), b"two");
}

pub fn a_copy_of_what_is_not_there_leaves_nothing(place: &impl Place) {
    let store = place.open(false);
    store.put_whole(pack(10, 1), b"one").unwrap();
    let absent = [
        CopyPiece::Range(pack(10, 1), range(0, 3)),
        CopyPiece::Range(pack(10, 9), range(0, 3)),
        CopyPiece::Inline(content(4, 1 << 20)),
    ];
    let error = store.copy(pack(10, 2), &absent).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound, "{error}");
    let beyond = [CopyPiece::Range(pack(10, 1), range(1, 3))];
    let error = store.copy(pack(10, 2), &beyond).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::OutOfRange, "{error}");
    assert_eq!(
        listed(store.as_ref(), ObjectClass::Pack),
        [(pack(10, 1), 3)]
    );
}
