//! The reader against metadata put together here, and against a model in memory. Against the kernel's own: `tests/tests/storage_lvm`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::source::lvm::btree::tests::{node, seal};

/// Metadata in memory.
#[derive(Clone, Debug, Default)]
struct Image {
    blocks: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl BlockReader for Image {
    fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        for (at, piece) in (first..).zip(buffer.chunks_mut(BLOCK)) {
            match self.blocks.get(&at) {
                Some(block) => piece.copy_from_slice(block),
                None if at < 10_000 => piece.fill(0),
                None => return Err(SourceError::new(SourceErrorKind::Unreadable, "end", "")),
            }
        }
        Ok(())
    }

    fn place(&self) -> String {
        "image".to_owned()
    }
}

/// A tree with few entries in a node, so that it is deep.
const FANOUT: usize = 3;

impl Image {
    fn put(&mut self, leaf: bool, entries: &[(u64, Vec<u8>)], size: usize) -> u64 {
        self.next += 1;
        let block = self.next;
        self.blocks.insert(block, node(block, leaf, entries, size));
        block
    }

    /// A tree over all entries; nodes whose content is in `shared` are not made again.
    fn tree(
        &mut self,
        entries: &[(u64, Vec<u8>)],
        size: usize,
        shared: &mut BTreeMap<Vec<(u64, Vec<u8>)>, u64>,
    ) -> u64 {
        let mut level = entries.to_vec();
        let (mut leaf, mut size) = (true, size);
        loop {
            let mut above = Vec::new();
            for part in level.chunks(FANOUT) {
                let block = match shared.get(part) {
                    Some(block) => *block,
                    None => self.put(leaf, part, size),
                };
                shared.insert(part.to_vec(), block);
                above.push((part[0].0, block.to_le_bytes().to_vec()));
            }
            if above.is_empty() {
                return self.put(true, &[], size);
            }
            if let [(_, root)] = above.as_slice() {
                return u64::from_le_bytes(root.as_slice().try_into().unwrap());
            }
            (level, leaf, size) = (above, false, 8);
        }
    }

    fn superblock(&mut self, block: u64, held: u64, mappings: u64, details: u64) {
        let mut bytes = vec![0; BLOCK];
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        put(8, &block.to_le_bytes());
        put(32, &MAGIC.to_le_bytes());
        put(56, &held.to_le_bytes());
        put(320, &mappings.to_le_bytes());
        put(328, &details.to_le_bytes());
        put(336, &128_u32.to_le_bytes());
        seal(&mut bytes, SUPERBLOCK_SALT);
        self.blocks.insert(block, bytes);
    }
}

/// Block of a volume to (data block, time).
type Map = BTreeMap<u64, (u64, u32)>;

fn image(devices: &[(u32, Map, (u32, u32))]) -> Image {
    let mut image = Image {
        next: 1,
        ..Image::default()
    };
    let mut shared = BTreeMap::new();
    let (mut roots, mut details) = (Vec::new(), Vec::new());
    for (id, map, (created, snapshotted)) in devices {
        let value = |(data, time): &(u64, u32)| (data << 24 | u64::from(*time)).to_le_bytes();
        let entries: Vec<_> = map
            .iter()
            .map(|(at, to)| (*at, value(to).to_vec()))
            .collect();
        let root = image.tree(&entries, 8, &mut shared);
        roots.push((u64::from(*id), root.to_le_bytes().to_vec()));
        let mut detail = (map.len() as u64).to_le_bytes().to_vec();
        detail.extend_from_slice(&7_u64.to_le_bytes());
        detail.extend_from_slice(&created.to_le_bytes());
        detail.extend_from_slice(&snapshotted.to_le_bytes());
        details.push((u64::from(*id), detail));
    }
    let mappings = image.tree(&roots, 8, &mut BTreeMap::new());
    let details = image.tree(&details, DETAILS_SIZE, &mut BTreeMap::new());
    image.superblock(1, 0, mappings, details);
    image.superblock(0, 1, 0, 0);
    image
}

fn blocks(ranges: &Ranges) -> Vec<u64> {
    let each = ranges.as_slice().iter();
    each.flat_map(|range| range.start / (64 << 10)..range.end / (64 << 10))
        .collect()
}

fn differing(old: &Map, new: &Map) -> Vec<u64> {
    let all: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
    let data = |map: &Map, at| map.get(&at).map(|(data, _)| *data);
    all.into_iter()
        .filter(|at| data(old, *at) != data(new, *at))
        .collect()
}

#[test]
fn devices_are_found_by_their_id() {
    let devices: Vec<_> = (1..40).map(|id| (id * 3, Map::new(), (id, id))).collect();
    let metadata = Metadata::open(image(&devices)).unwrap();
    for id in 0..130 {
        let found = metadata.device(id).unwrap();
        assert_eq!(found.is_some(), id > 0 && id % 3 == 0 && id < 120, "{id}");
        let expected = found.map_or((0, 7), |device| (device.mapped, device.transaction));
        assert_eq!(expected, (0, 7));
    }
}

#[test]
fn without_a_metadata_snapshot_nothing_is_read() {
    let mut image = image(&[]);
    image.superblock(0, 0, 0, 0);
    assert!(
        Metadata::open(image)
            .unwrap_err()
            .detail
            .contains("reserved")
    );
}

#[test]
fn a_tree_in_a_circle_ends_in_an_error() {
    let mut image = image(&[(1, Map::new(), (1, 1))]);
    let circle = image.next + 1;
    let value = circle.to_le_bytes().to_vec();
    image.put(false, &[(0, value)], 8);
    let metadata = Metadata::open(image).unwrap();
    let mut device = metadata.device(1).unwrap().unwrap();
    device.root = circle;
    assert!(metadata.mapped(&device).is_err());
    assert!(metadata.difference(&device, &device).is_err());
    assert!(metadata.was_written(&device).is_err());
}

fn map() -> impl Strategy<Value = Map> {
    proptest::collection::btree_map(0_u64..60, (0_u64..40, 0_u32..5), 0..50)
}

proptest! {
    #[test]
    fn the_difference_is_that_of_the_model(old in map(), changes in map(), gone in proptest::collection::vec(0_u64..60, 0..20)) {
        let mut new = old.clone();
        new.extend(changes.iter().map(|(at, (data, _))| (*at, (data + 100, 6))));
        for at in gone {
            new.remove(&at);
        }
        let metadata = Metadata::open(image(&[(1, old.clone(), (5, 5)), (2, new.clone(), (7, 7))])).unwrap();
        let device = |id| metadata.device(id).unwrap().unwrap();
        let Difference::Ranges { changed, data } = metadata.difference(&device(1), &device(2)).unwrap() else {
            panic!("nobody wrote");
        };
        let expected = differing(&old, &new);
        prop_assert_eq!(blocks(&changed), expected.clone());
        let held: Vec<u64> = expected.into_iter().filter(|at| new.contains_key(at)).collect();
        prop_assert_eq!(blocks(&data.unwrap()), held);
        prop_assert_eq!(blocks(&metadata.mapped(&device(2)).unwrap()), new.keys().copied().collect::<Vec<_>>());
    }

    #[test]
    fn a_write_to_the_older_one_is_seen(old in map(), at in 0_u64..60, time in 5_u32..9, shared: bool) {
        let mut written = old.clone();
        written.insert(at, (200, time));
        // With `shared`, a snapshot was made of it after the write, and that is the newer one.
        let new = if shared { written.clone() } else { old };
        let times = if shared { (5, 9) } else { (5, 5) };
        let metadata = Metadata::open(image(&[(1, written, times), (2, new, (9, 9))])).unwrap();
        let device = |id| metadata.device(id).unwrap().unwrap();
        prop_assert_eq!(metadata.difference(&device(1), &device(2)).unwrap(), Difference::OldWasWritten);
        prop_assert!(metadata.was_written(&device(1)).unwrap());
    }

    #[test]
    fn damage_is_an_error_or_unread_never_a_wrong_answer(old in map(), new in map(), block in 0_u64..60, at in 0_usize..BLOCK, bit in 0_u8..8) {
        let whole = image(&[(1, old, (5, 5)), (2, new, (7, 7))]);
        let mut damaged = whole.clone();
        if let Some(bytes) = damaged.blocks.get_mut(&block) {
            bytes[at] ^= 1 << bit;
        }
        let answer = |image| {
            let metadata = Metadata::open(image).ok()?;
            let (a, b) = (metadata.device(1).ok()??, metadata.device(2).ok()??);
            metadata.difference(&a, &b).ok()
        };
        let told = answer(damaged);
        prop_assert!(told.is_none() || told == answer(whole));
    }
}
