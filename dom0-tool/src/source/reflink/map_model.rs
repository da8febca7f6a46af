//! Maps of files that a double of the kernel tells, a few extents at a time: two of them, walked side by side, must show each byte that does not
//! lie where it lay, however the extents of the one are cut by how far the other has been read.

use proptest::prelude::*;

use super::delta::compare_steady;
use super::map::{Batch, Frontier, Map, Place, Way};
use crate::joints::VolumeRange;
use nacre_sys::{BtrfsExtent, BtrfsExtentKind, FiemapExtent, fiemap_flags};

/// What a file holds somewhere.
#[derive(Clone, Copy, Debug)]
struct Item {
    start: u64,
    end: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Data(u64),
    Compressed(u64),
    /// Space without data.
    Reserved,
    /// Within the metadata.
    Inline,
}

/// A file, and how the kernel is disposed to tell of it.
#[derive(Clone, Debug)]
struct Model {
    size: u64,
    items: Vec<Item>,
    /// Extents at once.
    batch: usize,
    /// Whether extents are told no further than was asked.
    trims: bool,
    /// Whether the last extent told is called the last one of the file.
    says_last: bool,
}

impl Model {
    fn told(&self, way: Way, start: u64, end: u64) -> Batch {
        match way {
            Way::Fiemap => Batch::Fiemap(self.fiemap(start, end)),
            Way::BtrfsTree => Batch::Btrfs(self.tree(start, end)),
        }
    }

    /// All that hold a byte of the range.
    fn fiemap(&self, start: u64, end: u64) -> Vec<FiemapExtent> {
        let holds = |item: &&Item| item.start < end && item.end > start;
        let mut left = self.items.iter().filter(holds).count();
        let mut found = Vec::new();
        for item in self.items.iter().filter(holds).take(self.batch) {
            left -= 1;
            let (from, to) = if self.trims {
                (item.start.max(start), item.end.min(end))
            } else {
                (item.start, item.end)
            };
            let (physical, flags) = match item.kind {
                Kind::Data(address) => (address + from - item.start, 0),
                Kind::Compressed(address) => (address, 0x8),
                Kind::Reserved => (5, fiemap_flags::UNWRITTEN),
                Kind::Inline => (0, 0x200),
            };
            let is_last = self
                .items
                .last()
                .is_some_and(|last| last.start == item.start);
            let last = is_last || (self.says_last && left == 0);
            let mut extent = FiemapExtent::default();
            extent.logical = from;
            extent.physical = physical;
            extent.length = to - from;
            extent.flags = flags | if last { fiemap_flags::LAST } else { 0 };
            found.push(extent);
        }
        found
    }

    /// All that begin in the range.
    fn tree(&self, start: u64, end: u64) -> Vec<BtrfsExtent> {
        let begins = |item: &&Item| (start..end).contains(&item.start);
        let told = self.items.iter().filter(begins).take(self.batch);
        let extent = |item: &Item| {
            let length = item.end - item.start;
            let data = |address, compression| BtrfsExtentKind::Data {
                address,
                disk_length: 3,
                offset: 0,
                length,
                compression,
            };
            BtrfsExtent {
                logical: item.start,
                kind: match item.kind {
                    Kind::Data(address) => data(address, 0),
                    Kind::Compressed(address) => data(address, 1),
                    Kind::Reserved => BtrfsExtentKind::Zero(length),
                    Kind::Inline => BtrfsExtentKind::Unknown,
                },
            }
        };
        told.map(extent).collect()
    }

    /// Where a byte lies.
    fn place(&self, way: Way, at: u64) -> Place {
        let item = self.items.iter().rfind(|item| item.start <= at);
        let Some(item) = item else {
            return Place::Zero;
        };
        let by = at - item.start;
        let inside = at < item.end;
        match (item.kind, way) {
            (Kind::Data(address), _) if inside => Place::At(address + by),
            (Kind::Compressed(address), Way::BtrfsTree) if inside => Place::Within {
                address,
                disk_length: 3,
                compression: 1,
                offset: by,
            },
            (Kind::Compressed(_), Way::Fiemap) if inside => Place::Unknown,
            // The tree does not tell how long it is.
            (Kind::Inline, _) if inside || way == Way::BtrfsTree => Place::Unknown,
            _ => Place::Zero,
        }
    }

    /// Whether the range holds no data.
    fn is_hole(&self, range: VolumeRange) -> bool {
        let holds = |item: &&Item| item.start < range.end && item.end > range.start;
        let mut held = self.items.iter().filter(holds);
        held.all(|item| matches!(item.kind, Kind::Reserved))
    }

    fn map(&self, way: Way) -> Map<'_> {
        Map::of(
            Box::new(move |start, end| Ok(self.told(way, start, end))),
            self.size,
        )
    }
}

/// What of the two files is found to differ, walked as a comparison does, by what their maps tell; `is_hole` is asked about holes.
fn compared(
    way: Way,
    (old, new): (&Model, &Model),
    is_hole: impl Fn(VolumeRange) -> bool,
) -> Vec<bool> {
    let both = || {
        let read = Frontier::default();
        (old.map(way).before(&read), new.map(way).behind(&read))
    };
    let end = old.size.min(new.size);
    let found = compare_steady(both, is_hole, end).expect("a map that makes sense");
    let found = found.expect("nothing moves");
    (0..end).map(|at| found.touches(at, at + 1)).collect()
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let piece = (0..6_u64, 1..30_u64, 0..8_u8, 0..2_u64);
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| {
        let mut items = Vec::new();
        let mut at = 0;
        for (gap, length, kind, address) in pieces {
            let start = at + gap.saturating_sub(2) * 7;
            let end = start + length;
            // Few addresses, so that many are met again at the same offset.
            let address = 1000 * (1 + address) + start;
            let kind = match kind {
                0 => Kind::Compressed(address),
                1 => Kind::Reserved,
                2 => Kind::Inline,
                _ => Kind::Data(address),
            };
            items.push(Item { start, end, kind });
            at = end;
        }
        items
    })
}

fn model() -> impl Strategy<Value = Model> {
    let ways = (1..5_usize, any::<bool>(), any::<bool>());
    (items(), 0..200_u64, ways).prop_map(|(items, size, (batch, trims, says_last))| Model {
        // Nothing lies behind the block with the end.
        items: items.into_iter().filter(|item| item.start < size).collect(),
        size,
        batch,
        trims,
        says_last,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn two_maps_side_by_side_show_each_byte_that_lies_elsewhere(old in model(), new in model()) {
        for way in [Way::Fiemap, Way::BtrfsTree] {
            let found = compared(way, (&old, &new), |_| true);
            for (at, differs) in (0..).zip(found) {
                let same = old.place(way, at).is_same(new.place(way, at));
                prop_assert_eq!(differs, !same, "{:?}, byte {}", way, at);
            }
        }
    }

    #[test]
    fn an_extent_that_a_map_leaves_out_is_not_taken_for_a_hole(
        old in model(), new in model(), left_out: (u16, u16),
    ) {
        let without = |model: &Model, which: u16| {
            let mut less = model.clone();
            let mut bits = (0..16).map(|bit| which >> bit & 1 == 0);
            less.items.retain(|_| bits.next() == Some(true));
            less
        };
        let told = (without(&old, left_out.0), without(&new, left_out.1));
        let is_hole = |range| old.is_hole(range) && new.is_hole(range);
        for way in [Way::Fiemap, Way::BtrfsTree] {
            let found = compared(way, (&told.0, &told.1), is_hole);
            for (at, differs) in (0..).zip(found) {
                let same = old.place(way, at).is_same(new.place(way, at));
                let byte = VolumeRange { start: at, end: at + 1 };
                prop_assert!(differs || same || is_hole(byte), "{:?}, byte {}", way, at);
            }
        }
    }
}

/// What of an extent lies behind the last one of the other file was taken for a hole: on Btrfs a session then kept zeros, or old data, there.
#[test]
fn an_extent_that_goes_on_where_the_other_file_has_a_hole_is_seen_whole() {
    let item = |start, end| Item {
        start,
        end,
        kind: Kind::Data(1000 + start),
    };
    let file = |end| Model {
        size: 200,
        items: vec![item(0, 10), item(20, end)],
        batch: 100,
        trims: false,
        says_last: false,
    };
    let (old, new) = (file(60), file(90));
    for way in [Way::Fiemap, Way::BtrfsTree] {
        let found = compared(way, (&old, &new), |_| true);
        let differ = (0..).zip(found).filter(|(_, differs)| *differs);
        let differ: Vec<u64> = differ.map(|(at, _)| at).collect();
        assert_eq!(differ, (60..90).collect::<Vec<_>>(), "{way:?}");
    }
}
