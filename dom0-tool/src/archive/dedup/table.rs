//! The dedup index in memory: from a part of a chunk's id to where in the trees such a chunk was seen.
//!
//! Twelve bytes for each chunk: an entry is a hint, and the full id in the tree decides. 44 bits of the id choose the entry, so of a billion
//! look-ups in an index of a tebibyte one in some two thousand leads astray, and then costs a look into a leaf and nothing else.

use nacre_core::ids::ChunkId;

/// Bits of the id that choose a drawer.
const DRAWER_BITS: u32 = 12;
/// Number of drawers: so many that putting an entry into its place moves a few kilobytes only.
pub const DRAWERS: usize = 1 << DRAWER_BITS;
/// Most entries. 2 TiB of different chunks; what does not fit is stored again instead of shared.
pub const MOST: usize = 1 << 24;

/// Where a chunk was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Number of a volume's session in the list that belongs to the index.
    pub slot: u32,
    /// The chunk number.
    pub chunk: u32,
}

/// The drawer of an id and the bits that are kept in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The drawer.
    pub drawer: u16,
    /// What is compared there.
    pub bits: u32,
}

impl Part {
    /// The part of an id.
    pub fn of(id: &ChunkId) -> Self {
        let [low, high, b0, b1, b2, b3, ..] = id.0;
        Self {
            drawer: u16::from_le_bytes([low, high]) & ((1 << DRAWER_BITS) - 1),
            bits: u32::from_le_bytes([b0, b1, b2, b3]),
        }
    }
}

/// One entry as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Bits of the id; entries of a drawer rise by them.
    pub bits: u32,
    /// Where it was seen.
    pub seen: Seen,
}

/// The index.
pub struct Table {
    drawers: Vec<Vec<Entry>>,
    count: usize,
    most: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self::with_room(MOST)
    }
}

impl Table {
    /// A table that takes at most so many entries.
    pub fn with_room(most: usize) -> Self {
        Self {
            drawers: vec![Vec::new(); DRAWERS],
            count: 0,
            most,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no more go in.
    pub fn is_full(&self) -> bool {
        self.count >= self.most
    }

    /// Where a chunk with such an id was seen.
    pub fn get(&self, part: Part) -> Option<Seen> {
        let drawer = self.drawers.get(usize::from(part.drawer))?;
        let at = drawer
            .binary_search_by_key(&part.bits, |entry| entry.bits)
            .ok()?;
        drawer.get(at).map(|entry| entry.seen)
    }

    /// Enters where a chunk was seen, in place of what was known of such an id. False if there is no room.
    pub fn put(&mut self, part: Part, seen: Seen) -> bool {
        let full = self.is_full();
        let Some(drawer) = self.drawers.get_mut(usize::from(part.drawer)) else {
            return false;
        };
        let entry = Entry {
            bits: part.bits,
            seen,
        };
        match drawer.binary_search_by_key(&part.bits, |entry| entry.bits) {
            Ok(at) => {
                if let Some(old) = drawer.get_mut(at) {
                    *old = entry;
                }
            }
            Err(_) if full => return false,
            Err(at) => {
                if drawer.len() == drawer.capacity() {
                    // An eighth at a time: doubling would take up to twice the memory.
                    drawer.reserve_exact(drawer.len() / 8 + 8);
                }
                drawer.insert(at, entry);
                self.count += 1;
            }
        }
        true
    }

    /// The entries of a drawer, rising by their bits.
    pub fn drawer(&self, number: usize) -> &[Entry] {
        self.drawers.get(number).map_or(&[], Vec::as_slice)
    }

    /// Fills an empty drawer. False if the entries do not rise, or there is no room for them.
    pub fn fill(&mut self, number: usize, entries: Vec<Entry>) -> bool {
        let rising = entries.is_sorted_by(|a, b| a.bits < b.bits);
        let fits = self.count.saturating_add(entries.len()) <= self.most;
        match self.drawers.get_mut(number) {
            Some(drawer) if rising && fits && drawer.is_empty() => {
                self.count += entries.len();
                *drawer = entries;
                true
            }
            _ => false,
        }
    }

    /// Bytes that the entries take in memory.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let room: usize = self.drawers.iter().map(Vec::capacity).sum();
        room * size_of::<Entry>() + DRAWERS * size_of::<Vec<Entry>>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> ChunkId {
        // Any good hash makes an id of a number.
        ChunkId(nacre_core::ids::HeadHash::of(&number.to_le_bytes()).0)
    }

    fn seen(number: u32) -> Seen {
        Seen {
            slot: number % 7,
            chunk: number,
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map(puts in prop::collection::vec((0_u64..200, any::<u32>()), 0..400)) {
            let mut table = Table::default();
            let mut model = HashMap::new();
            for (number, at) in puts {
                prop_assert!(table.put(Part::of(&id(number)), seen(at)));
                model.insert(number, seen(at));
            }
            prop_assert_eq!(table.len(), model.len());
            for number in 0..200 {
                prop_assert_eq!(table.get(Part::of(&id(number))), model.get(&number).copied());
            }
        }
    }

    #[test]
    fn a_full_table_takes_no_more_and_forgets_nothing() {
        let mut table = Table::with_room(10);
        let taken: Vec<bool> = (0..20)
            .map(|number| table.put(Part::of(&id(number)), seen(1)))
            .collect();
        assert_eq!(taken, [[true; 10], [false; 10]].concat());
        assert!(
            table.put(Part::of(&id(3)), seen(2)),
            "a known id is no new entry"
        );
        assert_eq!(table.get(Part::of(&id(3))), Some(seen(2)));
        assert_eq!(table.get(Part::of(&id(12))), None);
    }

    /// DESIGN 4.6: a tebibyte of chunks of 128 KiB takes at most 256 MiB, and that is for everything.
    #[test]
    fn a_tebibyte_of_different_chunks_fits_into_half_of_the_bound() {
        // One in 64 chunks, in one in 64 drawers: these drawers are as full as with all of them.
        let mut table = Table::default();
        for number in 0..(1_u64 << 23) / 64 {
            let mut part = Part::of(&id(number));
            part.drawer %= 1 << (DRAWER_BITS - 6);
            assert!(table.put(part, seen(1)));
        }
        let drawers = DRAWERS * size_of::<Vec<Entry>>();
        let bytes = (table.memory() - drawers) * 64 + drawers;
        assert!(bytes < 128 << 20, "{} MiB", bytes >> 20);
        println!("a dedup index of a tebibyte: {} MiB", bytes >> 20);
    }

    #[test]
    fn a_drawer_that_does_not_rise_is_refused() {
        let entry = |bits| Entry {
            bits,
            seen: seen(1),
        };
        let mut table = Table::with_room(4);
        assert!(!table.fill(0, vec![entry(2), entry(1)]));
        assert!(!table.fill(0, vec![entry(1), entry(1)]));
        assert!(!table.fill(DRAWERS, vec![entry(1)]));
        assert!(!table.fill(0, (0..5).map(entry).collect()));
        assert!(table.fill(0, vec![entry(1), entry(2)]));
        assert!(!table.fill(0, vec![entry(1)]), "it is not empty any more");
    }
}
