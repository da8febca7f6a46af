//! What may differ between two files, by their extent maps.
//!
//! Two snapshots that hold the same address at the same offset hold the same bytes: while a file holds an address, nothing else is written
//! there, since the file system writes to shared space nowhere but elsewhere, and nobody writes to the snapshots. That is so at one moment;
//! the maps are read over some time, in which the space of a snapshot can move (defragmentation, balance, deduplication), its old address can be
//! given to other data, and that be moved into the other snapshot. So of every byte the old map is read first, then the new one, and at last the
//! old one a second time: if it says what it said before, the old snapshot held its address also when the new one was asked, and what
//! looked the same was the same. (To be deceived even so, an address would have to be freed, given to other data, freed again and given
//! back to the old snapshot within one walk.) What moved only costs time.
//!
//! An extent that a map leaves out looks like a hole, and two holes look the same. So what both maps show as a hole is believed only where
//! the kernel says so as well when it is asked the other way, for the next data (SEEK_DATA); otherwise it is read.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::identity::{FileSystem, Identity};
use super::map::{Extent, Frontier, Map, MapError, Place, Way, way_on_btrfs};
use crate::joints::{Ranges, VolumeRange};

/// How often two maps are compared that change in the meantime.
const ATTEMPTS: usize = 3;

/// A snapshot file.
pub struct Side<'a> {
    /// Open for reading.
    pub file: &'a File,
    /// Its identity.
    pub identity: &'a Identity,
}

/// What may differ between `old` and `new`, to the block, or why that cannot be known. For sizes that differ see [`Ranges::of_resize`].
pub fn delta(old: &Side<'_>, new: &Side<'_>) -> Result<Ranges, String> {
    if !old.identity.shares_addresses(new.identity) {
        return Err("it lies on another file system than its snapshot".to_owned());
    }
    let in_words = |error: Errno| format!("its snapshots cannot be compared: {error}");
    let status = |side: &Side<'_>| rustix::fs::fstat(side.file).map_err(in_words);
    let (of_old, of_new) = (status(old)?, status(new)?);
    let way = match new.identity.system() {
        FileSystem::Xfs => Way::Fiemap,
        FileSystem::Btrfs => way_on_btrfs(new.file, of_new.st_ino),
        FileSystem::Other => {
            return Err("this file system does not say what changed in a file".to_owned());
        }
    };
    let sizes = (size_of(&of_old), size_of(&of_new));
    let both = || {
        let read = Frontier::default();
        (
            Map::new(old.file, of_old.st_ino, way, sizes.0).before(&read),
            Map::new(new.file, of_new.st_ino, way, sizes.1).behind(&read),
        )
    };
    let is_hole = |range: VolumeRange| [old, new].iter().all(|side| has_no_data(side.file, range));
    let end = sizes.0.min(sizes.1);
    let ranges = compare_steady(both, is_hole, end).map_err(|error| match error {
        MapError::Kernel(error) => in_words(error),
        MapError::Nonsense => "the file system's map of it makes no sense".to_owned(),
    })?;
    let Some(ranges) = ranges else {
        return Err("its data was being moved about while it was looked at".to_owned());
    };
    for side in [old, new] {
        if Identity::of(side.file).as_ref() != Ok(side.identity) {
            return Err("its snapshot was altered while it was looked at".to_owned());
        }
    }
    Ok(ranges.union(&Ranges::of_resize(sizes.0, sizes.1)))
}

fn size_of(status: &rustix::fs::Stat) -> u64 {
    u64::try_from(status.st_size).unwrap_or(0)
}

/// Whether the file has a hole there, or space without data, by a search for data.
fn has_no_data(file: &File, range: VolumeRange) -> bool {
    match rustix::fs::seek(file, SeekFrom::Data(range.start)) {
        Ok(data) => data >= range.end,
        // There is none up to the end of the file.
        Err(Errno::NXIO) => true,
        Err(_) => false,
    }
}

/// Compares until the old map did not change meanwhile; `None` if it never stays. `both` begins to read old and new map, the new one never
/// further than the old one. `is_hole` says whether neither of the files holds data in a range.
pub(super) fn compare_steady<I: Iterator<Item = Result<Extent, E>>, E>(
    both: impl Fn() -> (I, I),
    is_hole: impl Fn(VolumeRange) -> bool,
    end: u64,
) -> Result<Option<Ranges>, E> {
    for _ in 0..ATTEMPTS {
        let (old, new) = both();
        let mut old = Watched::new(old);
        let ranges = compare(old.by_ref(), new, &is_hole, end)?;
        let seen = old.digest()?;
        if Watched::new(both().0).digest()? == seen {
            return Ok(Some(ranges));
        }
    }
    Ok(None)
}

/// A map that remembers by a hash what it said.
struct Watched<I> {
    extents: I,
    seen: DefaultHasher,
}

impl<I: Iterator<Item = Result<Extent, E>>, E> Watched<I> {
    fn new(extents: I) -> Self {
        let seen = DefaultHasher::new();
        Self { extents, seen }
    }

    /// A hash of all extents, those that were not asked for yet included.
    fn digest(mut self) -> Result<u64, E> {
        for extent in self.by_ref() {
            extent?;
        }
        Ok(self.seen.finish())
    }
}

impl<I: Iterator<Item = Result<Extent, E>>, E> Iterator for Watched<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<Self::Item> {
        let extent = self.extents.next()?;
        if let Ok(extent) = &extent {
            extent.hash(&mut self.seen);
        }
        Some(extent)
    }
}

/// What of the bytes before `end` does not lie at the same place in both. The extents rise; between them are holes, if `is_hole` agrees.
fn compare<E>(
    old: impl Iterator<Item = Result<Extent, E>>,
    new: impl Iterator<Item = Result<Extent, E>>,
    is_hole: impl Fn(VolumeRange) -> bool,
    end: u64,
) -> Result<Ranges, E> {
    let (mut old, mut new) = (Pieces::new(old), Pieces::new(new));
    let mut differ = Ranges::new();
    // In pieces where the one map says so and the other says nothing.
    let mut hole = VolumeRange { start: 0, end: 0 };
    let settle = |hole: VolumeRange, differ: &mut Ranges| {
        if hole.start < hole.end && !is_hole(hole) {
            differ.push(hole);
        }
    };
    let mut at = 0;
    while at < end {
        let (before, old_end) = old.at(at)?;
        let (after, new_end) = new.at(at)?;
        let stop = old_end.min(new_end).min(end);
        if (before, after) == (Place::Zero, Place::Zero) {
            hole.end = stop;
        } else {
            settle(hole, &mut differ);
            let piece = VolumeRange {
                start: at,
                end: stop,
            };
            if !before.is_same(after) {
                differ.push(piece);
            }
            hole = VolumeRange {
                start: stop,
                end: stop,
            };
        }
        at = stop;
    }
    settle(hole, &mut differ);
    Ok(differ)
}

/// A map as a function of the offset: asked for rising offsets only.
struct Pieces<I> {
    extents: I,
    current: Option<Extent>,
}

impl<I: Iterator<Item = Result<Extent, E>>, E> Pieces<I> {
    fn new(extents: I) -> Self {
        Self {
            extents,
            current: Some(Extent {
                start: 0,
                end: 0,
                place: Place::Zero,
            }),
        }
    }

    /// Where the byte at `at` lies, and how far the bytes behind it lie there, too.
    fn at(&mut self, at: u64) -> Result<(Place, u64), E> {
        while self.current.is_some_and(|extent| extent.end <= at) {
            self.current = self.extents.next().transpose()?;
        }
        Ok(match self.current {
            Some(extent) if extent.start <= at => {
                (extent.place.further(at - extent.start), extent.end)
            }
            Some(extent) => (Place::Zero, extent.start),
            None => (Place::Zero, u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Blocks of the model.
    const BLOCKS: u64 = 64;

    /// A map, and what it says of every byte.
    fn map(pieces: &[(u8, u8, u8, u8)]) -> (Vec<Extent>, Vec<Place>) {
        let mut extents = Vec::new();
        let mut bytes = vec![Place::Zero; 64];
        let mut at = 0;
        for (gap, length, kind, address) in pieces {
            let start = at + u64::from(gap % 5);
            let end = start + 1 + u64::from(length % 9);
            let address = u64::from(address % 16);
            let place = match kind % 6 {
                0 => Place::Zero,
                1 => Place::Unknown,
                2 => Place::Within {
                    address: 7,
                    disk_length: 3,
                    compression: 1 + kind % 2,
                    offset: address,
                },
                // Few addresses, so that many are met again at the same offset.
                _ => Place::At(100 + start + address % 2),
            };
            extents.push(Extent { start, end, place });
            for byte in start..end.min(BLOCKS) {
                let at = usize::try_from(byte).unwrap();
                bytes[at] = place.further(byte - start);
            }
            at = end;
        }
        (extents, bytes)
    }

    fn at(address: u64) -> Extent {
        Extent {
            start: 0,
            end: 8,
            place: Place::At(address),
        }
    }

    /// Compares maps of one extent each, whose addresses at each reading of the two are given; the last pair stays.
    fn compared(readings: &[(u64, u64)]) -> Option<Ranges> {
        let reading = Cell::new(0);
        let both = || {
            let (old, new) = readings[reading.get().min(readings.len() - 1)];
            reading.set(reading.get() + 1);
            let one = |address| std::iter::once(Ok::<_, Infallible>(at(address)));
            (one(old), one(new))
        };
        let Ok(found) = compare_steady(both, |_| true, 8);
        found
    }

    #[test]
    fn what_looks_the_same_while_data_moves_is_looked_at_again() {
        assert_eq!(compared(&[(1, 1)]), Some(Ranges::new()));
        // The old data moved away from 1 after it was looked at, and the new, other data to it before it was.
        assert_eq!(compared(&[(1, 1), (5, 1)]), Some(Ranges::one(0, 8)));
        // The new data moved later: when it was looked at, it lay where the old did.
        assert_eq!(compared(&[(1, 1), (1, 5)]), Some(Ranges::new()));
        assert_eq!(
            compared(&[(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5)]),
            None
        );
    }

    proptest! {
        #[test]
        fn comparing_by_interval_is_comparing_byte_by_byte(
            old: Vec<(u8, u8, u8, u8)>, new: Vec<(u8, u8, u8, u8)>, end in 0..=BLOCKS,
        ) {
            let ((old, old_bytes), (new, new_bytes)) = (map(&old), map(&new));
            let ok = |extents: Vec<Extent>| extents.into_iter().map(Ok::<_, Infallible>);
            let Ok(found) = compare(ok(old), ok(new), |_| true, end);
            for byte in 0..end {
                let at = usize::try_from(byte).unwrap();
                let (a, b) = (old_bytes[at], new_bytes[at]);
                let same = a == b && a != Place::Unknown;
                prop_assert_eq!(found.touches(byte, byte + 1), !same, "byte {}", byte);
            }
            prop_assert!(found.clone().clip(end) == found);
        }
    }
}
