use proptest::prelude::*;
use proptest::strategy::ValueTree;
use zeroize::Zeroizing;

use super::*;
use crate::bytes::Reader;
use crate::hash::{HashType, MacKey};
use crate::ids::{Alias, ChunkId};
use crate::place::{MAX_PACK, Place};

fn format() -> ChunkFormat {
    ChunkFormat::new(17).unwrap()
}

fn key() -> DigestKey {
    DigestKey(MacKey::new(HashType::Blake3, Zeroizing::new([7; 32])))
}

fn any_place() -> impl Strategy<Value = Place> {
    // Few aliases and small offsets, so that runs of neighbours happen.
    (
        1..4_u64,
        prop_oneof![0..300_u64, 0..MAX_PACK - 200],
        1..200_u32,
    )
        .prop_map(|(alias, offset, length)| Place {
            alias: Alias(alias),
            offset,
            length,
        })
}

fn any_pointer() -> impl Strategy<Value = Pointer> {
    (any_place(), 1..1000_u32, any::<[u8; 32]>()).prop_map(|(place, raw_length, digest)| Pointer {
        place,
        raw_length,
        digest: Digest(digest),
    })
}

fn any_chunk() -> impl Strategy<Value = ChunkEntry> {
    let bitmap = (1..=u32::MAX).prop_map(|bits| {
        Bitmap::parse(format(), &mut Reader::new("bitmap", &bits.to_le_bytes())).unwrap()
    });
    let ids = (any::<[u8; 32]>(), any::<[u8; 32]>());
    prop_oneof![
        4 => (any::<[u8; 32]>(), any_place()).prop_map(|(id, place)| ChunkEntry::Chunk { id: ChunkId(id), place }),
        2 => (ids, any_place(), bitmap, any_place()).prop_map(|((id, base), base_place, bitmap, place)| {
            ChunkEntry::Patched(Box::new(Patched { id: ChunkId(id), base: ChunkId(base), base_place, bitmap, place }))
        }),
        1 => any::<[u8; 32]>().prop_map(|id| ChunkEntry::Lost { id: ChunkId(id) }),
    ]
}

fn any_record() -> impl Strategy<Value = RecordEntry> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(RecordEntry::Inline),
        any_pointer().prop_map(RecordEntry::Record),
    ]
}

fn slots<T: std::fmt::Debug>(entry: impl Strategy<Value = T>) -> impl Strategy<Value = Slots<T>> {
    prop::collection::btree_map(0..64_u8, entry, 1..20).prop_map(|map| map.into_iter().collect())
}

fn any_node() -> impl Strategy<Value = Node> {
    prop_oneof![
        (1..10_u8, slots(any_pointer())).prop_map(|(level, slots)| Node::inner(
            TreeKind::Packs,
            level,
            slots
        )),
        slots(any_chunk()).prop_map(|slots| Node::leaf(TreeKind::Chunks, slots)),
        slots(any_record()).prop_map(|slots| Node::leaf(TreeKind::Sessions, slots)),
    ]
}

proptest! {
    #[test]
    fn a_node_is_read_back_as_written(node in any_node()) {
        prop_assert_eq!(Node::parse(format(), &node.encode()), Ok(node));
    }

    #[test]
    fn the_digest_of_a_chunk_leaf_says_nothing_of_places(slots in slots(any_chunk()), place in any_place()) {
        let node = Node::leaf(TreeKind::Chunks, slots.clone());
        let moved = slots.into_iter().map(|(slot, entry)| match entry {
            ChunkEntry::Lost { .. } => (slot, entry),
            _ => (slot, ChunkEntry::Chunk { id: *entry.id(), place }),
        });
        let moved = Node::leaf(TreeKind::Chunks, moved.collect());
        prop_assert_eq!(node.digest(&key(), &node.encode()), moved.digest(&key(), &moved.encode()));
    }
}

#[test]
fn mutated_nodes_are_refused_or_read_in_their_only_form() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let samples: Vec<Vec<u8>> = (0..40)
        .map(|_| any_node().new_tree(&mut runner).unwrap().current().encode())
        .collect();
    crate::mutation::write_seeds("node", Some(1), &samples[..20]);
    crate::mutation::each_mutation(&samples, |bytes| {
        if let Ok(node) = Node::parse(format(), bytes) {
            assert_eq!(node.encode(), bytes);
        }
    });
}

#[test]
fn what_the_pointer_did_not_promise_is_refused() {
    let slots = vec![(
        5,
        ChunkEntry::Lost {
            id: ChunkId([3; 32]),
        },
    )];
    let node = Node::leaf(TreeKind::Chunks, slots);
    let bytes = node.encode();
    let pointer = Pointer {
        place: Place {
            alias: Alias(1),
            offset: 0,
            length: 100,
        },
        raw_length: u32::try_from(bytes.len()).unwrap(),
        digest: node.digest(&key(), &bytes),
    };
    let open = |tree, pointer: &Pointer| Node::open(format(), &key(), tree, pointer, &bytes);
    assert_eq!(open(TreeKind::Chunks, &pointer), Ok(node));
    assert!(open(TreeKind::Packs, &pointer).is_err());
    let other = Pointer {
        digest: Digest([0; 32]),
        ..pointer
    };
    assert!(open(TreeKind::Chunks, &other).is_err());
    let shorter = Pointer {
        raw_length: pointer.raw_length - 1,
        ..pointer
    };
    assert!(open(TreeKind::Chunks, &shorter).is_err());
}

#[test]
fn the_digest_of_a_leaf_is_the_one_on_paper() {
    let entry = ChunkEntry::Lost {
        id: ChunkId([3; 32]),
    };
    let node = Node::leaf(TreeKind::Chunks, vec![(5, entry)]);
    let mut paper = vec![0];
    paper.extend([0; 5]);
    paper.push(2);
    paper.extend([3; 32]);
    paper.extend([0; 58]);
    assert_eq!(node.digest(&key(), &node.encode()), key().mac(&[&paper]));
}
