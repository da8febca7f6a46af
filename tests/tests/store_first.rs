//! The shortest way through: an archive's folder, an object, back again.

use nacre::joints::{ByteRange, PutOutcome, StoreErrorKind};
use nacre_core::ids::{Epoch, PackName};
use nacre_core::object_name::{ObjectClass, ObjectName};

#[test]
fn an_object_comes_back_through_the_real_helper() {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("archive");
    let absent = nacre_tests::open_helper(&archive, false).err().unwrap();
    assert_eq!(absent.kind, StoreErrorKind::NoArchive, "{absent}");

    let store = nacre_tests::open_helper(&archive, true).unwrap();
    let head = ObjectName::Head(Epoch(1));
    assert_eq!(store.put_whole(head, b"one").unwrap(), PutOutcome::Created);
    assert_eq!(store.put_whole(head, b"two").unwrap(), PutOutcome::Exists);
    assert_eq!(store.get_whole(head, 10).unwrap().unwrap(), b"one");

    let pack = ObjectName::Pack(PackName([0x5a; 16]));
    let bytes: Vec<u8> = (0..9_000_001_u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(store.put_whole(pack, &bytes).unwrap(), PutOutcome::Created);
    store.barrier().unwrap();
    let range = ByteRange {
        offset: 1_000_003,
        length: 7_000_000,
    };
    let got = store.get(pack, &[range]).unwrap();
    assert!(got[0] == bytes[1_000_003..8_000_003]);
    let mut listed = Vec::new();
    store
        .list(ObjectClass::Pack, &mut |name, size| {
            listed.push((name, size));
        })
        .unwrap();
    assert_eq!(listed, [(pack, 9_000_001)]);
    drop(store);
    let again = nacre_tests::open_helper(&archive, false).unwrap();
    assert_eq!(again.stat(head).unwrap(), Some(3));
}
