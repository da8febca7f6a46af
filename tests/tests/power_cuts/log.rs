//! The record that device-mapper's `log-writes` makes (Documentation/admin-guide/device-mapper/log-writes.rst and drivers/md/dm-log-writes.c of the
//! kernel), and disks as cuts leave them.
//!
//! A write is recorded behind the next flush after its completion, a write with FUA at its own. So everything before the last flush in a
//! piece of the record is on the disk, and so is every FUA write; what else is in the piece the disk may have written or not.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nacre_tests::lab_image::Random;

use super::disk::{Kind, Left};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// One write, flush or mark.
struct Entry {
    at: u64,
    flags: u64,
    data: Vec<u8>,
}

/// All that was written to a disk.
pub struct Log {
    kind: &'static Kind,
    size: u64,
    empty: Vec<(u64, Vec<u8>)>,
    entries: Vec<Entry>,
    sector: usize,
}

/// A moment at which the power is cut.
pub struct Cut {
    /// Entries that were recorded before it.
    entries: usize,
    /// Marks among them.
    pub marks: usize,
}

impl Log {
    /// Reads the record that lies on a device.
    pub fn read(record: &str, kind: &'static Kind, size: u64, empty: Vec<(u64, Vec<u8>)>) -> Self {
        let file = File::open(record).unwrap();
        let number = |at: u64| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at).unwrap();
            u64::from_le_bytes(bytes)
        };
        assert_eq!((number(0), number(8)), (MAGIC, 1), "no record");
        let count = number(16);
        let sector = number(24) & 0xffff_ffff;
        let mut at = sector;
        let mut entries = Vec::new();
        for _ in 0..count {
            let (place, sectors, flags) = (number(at), number(at + 8), number(at + 16));
            at += sector;
            let mut data = Vec::new();
            if flags & (DISCARD | MARK) == 0 {
                data.resize(usize::try_from(sectors * sector).unwrap(), 0);
                file.read_exact_at(&mut data, at).unwrap();
                at += sectors * sector;
            }
            let at = place * sector;
            entries.push(Entry { at, flags, data });
        }
        Self {
            kind,
            size,
            empty,
            entries,
            sector: usize::try_from(sector).unwrap(),
        }
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What a cut leaves of the disk.
    pub fn after(&self, cut: &Cut, random: &mut Random) -> Left {
        let left = Left::new(self.kind, self.size);
        for (at, block) in &self.empty {
            left.file().write_all_at(block, *at).unwrap();
        }
        let before = &self.entries[..cut.entries];
        let flushed = before.iter().rposition(|entry| entry.flags & FLUSH != 0);
        for (number, entry) in before.iter().enumerate() {
            let is_safe = flushed.is_some_and(|flushed| number <= flushed);
            let data = if is_safe || entry.flags & FUA != 0 {
                &entry.data[..]
            } else {
                self.some_of(&entry.data, random)
            };
            left.file().write_all_at(data, entry.at).unwrap();
        }
        left
    }

    /// All of it, nothing of it, or whole sectors from its beginning.
    fn some_of<'a>(&self, data: &'a [u8], random: &mut Random) -> &'a [u8] {
        match random.below(3) {
            0 => data,
            1 => &[],
            _ => &data[..random.index(data.len() / self.sector + 1) * self.sector],
        }
    }
}

impl Cut {
    /// A cut at any entry behind the first mark, or exactly at a mark: when the barrier was just answered.
    pub fn choose(log: &Log, random: &mut Random, at_mark: bool) -> Self {
        let is_mark = |entry: &Entry| entry.flags & MARK != 0;
        let found = log.entries.iter().enumerate();
        let found = found.filter(|(_, entry)| is_mark(entry));
        let marks: Vec<usize> = found.map(|(number, _)| number + 1).collect();
        let entries = if at_mark {
            random.pick(&marks)
        } else {
            marks[0] + random.index(log.len() + 1 - marks[0])
        };
        Self {
            entries,
            marks: marks.iter().filter(|mark| **mark <= entries).count(),
        }
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "after entry {} and barrier {}", self.entries, self.marks)
    }
}
