//! The dedup index in dom0's own files: a base in sixteen parts, and one file that says what they are and what came since.
//!
//! Everything here can be made again from the archive's trees, and nothing of it is believed: a file that is missing, cut, altered or of
//! another run than the others only means that the index is made anew. The parts are replaced first, the file that names their checksums
//! last, each whole and durable; a crash in between leaves parts that it does not name.

use nacre_core::bytes::{Reader, Writer};
use nacre_core::error::FormatError;
use nacre_core::ids::{ArchiveId, HeadHash, SessionSeq, VolumeId};
use nacre_core::place::Root;

use super::table::{DRAWERS, Entry, MOST, Part, Seen, Table};
use crate::archive::Result;
use crate::joints::StateDir;

/// The file that says what the parts are.
const LIST: &str = "dedup";
const MAGIC: &[u8; 16] = b"nacre dedup 1\n\0\0";
const PARTS: usize = 16;
const PART_DRAWERS: usize = DRAWERS / PARTS;
const ENTRY: usize = 12;
/// A drawer is never much fuller than others: ids are evenly spread.
const PART_LIMIT: usize = MOST / PARTS * ENTRY * 2;
const LIST_LIMIT: usize = 128 << 20;
const WHAT: &str = "the dedup index in this machine's own memory";

/// What came since the base was written.
#[derive(Clone, Debug, Default)]
pub struct Log {
    entries: Vec<(Part, Seen)>,
    /// Too much came: the base is to be written again.
    overflown: bool,
}

impl Log {
    /// Adds an entry; `total` is how many the table has.
    pub fn push(&mut self, part: Part, seen: Seen, total: usize) {
        if self.overflown {
            return;
        }
        if self.entries.len() > (total / 8).max(1 << 16) {
            self.overflow();
        } else {
            self.entries.push((part, seen));
        }
    }

    /// The base is to be written again.
    pub fn overflow(&mut self) {
        self.overflown = true;
        self.entries = Vec::new();
    }
}

/// An index with all that belongs to it.
#[derive(Default)]
pub struct Kept {
    /// The head that it was built from or brought up to.
    pub head: HeadHash,
    /// The table.
    pub table: Table,
    /// What the table's slots stand for.
    pub slots: Vec<(VolumeId, SessionSeq)>,
    /// Up to which tree each volume is in it.
    pub done: Vec<(VolumeId, SessionSeq, Root)>,
    /// What came since the base was written.
    pub log: Log,
    /// Checksums of the base's parts.
    pub base: Vec<HeadHash>,
}

/// Reads what is kept of an archive; `None` if there is nothing, or nothing that can be used.
pub fn load(dir: &dyn StateDir, archive: ArchiveId) -> Option<Kept> {
    let list = dir.read(LIST, LIST_LIMIT).ok()??;
    let mut kept = parse_list(&list, archive).ok()?;
    for (number, checksum) in kept.base.iter().enumerate() {
        let part = dir.read(&part_name(number), PART_LIMIT).ok()??;
        if HeadHash::of(&part) != *checksum {
            return None;
        }
        parse_part(&part, number, &mut kept.table).ok()?;
    }
    for (part, seen) in &kept.log.entries {
        kept.table.put(*part, *seen);
    }
    Some(kept)
}

/// Keeps the index for the next run.
pub fn save(dir: &dyn StateDir, archive: ArchiveId, kept: &mut Kept) -> Result<()> {
    if kept.log.overflown || kept.base.len() != PARTS {
        kept.base.clear();
        for number in 0..PARTS {
            let part = encode_part(number, &kept.table);
            dir.replace(&part_name(number), &part)?;
            kept.base.push(HeadHash::of(&part));
        }
        kept.log = Log::default();
    }
    Ok(dir.replace(LIST, &encode_list(kept, archive))?)
}

fn part_name(number: usize) -> String {
    format!("{LIST}-{number:x}")
}

fn encode_part(number: usize, table: &Table) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(MAGIC);
    for drawer in drawers(number) {
        let entries = table.drawer(drawer);
        writer.count(entries.len());
        for entry in entries {
            writer.u32(entry.bits);
            put_seen(&mut writer, entry.seen);
        }
    }
    writer.into_bytes()
}

fn drawers(part: usize) -> std::ops::Range<usize> {
    part * PART_DRAWERS..(part + 1) * PART_DRAWERS
}

fn parse_part(bytes: &[u8], number: usize, table: &mut Table) -> Result<(), FormatError> {
    let mut reader = start(bytes)?;
    for drawer in drawers(number) {
        let count = reader.count(ENTRY)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(Entry {
                bits: reader.u32()?,
                seen: take_seen(&mut reader)?,
            });
        }
        if !table.fill(drawer, entries) {
            return Err(FormatError::OutOfOrder(WHAT));
        }
    }
    reader.finish()
}

fn start(bytes: &[u8]) -> Result<Reader<'_>, FormatError> {
    let mut reader = Reader::new(WHAT, bytes);
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(FormatError::Mismatch(WHAT));
    }
    Ok(reader)
}

fn put_seen(writer: &mut Writer, seen: Seen) {
    writer.u32(seen.slot);
    writer.u32(seen.chunk);
}

fn take_seen(reader: &mut Reader<'_>) -> Result<Seen, FormatError> {
    Ok(Seen {
        slot: reader.u32()?,
        chunk: reader.u32()?,
    })
}

/// The list ends with a checksum of itself: a flipped bit is noticed, who alters it on purpose is in dom0 anyway.
fn encode_list(kept: &Kept, archive: ArchiveId) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(MAGIC);
    writer.raw(&archive.0);
    writer.raw(&kept.head.0);
    for checksum in &kept.base {
        writer.raw(&checksum.0);
    }
    writer.count(kept.slots.len());
    for (volume, seq) in &kept.slots {
        writer.varint(u64::from(volume.0));
        writer.varint(seq.0);
    }
    writer.count(kept.done.len());
    for (volume, seq, root) in &kept.done {
        writer.varint(u64::from(volume.0));
        writer.varint(seq.0);
        root.encode(&mut writer);
    }
    writer.count(kept.log.entries.len());
    for (part, seen) in &kept.log.entries {
        writer.u16(part.drawer);
        writer.u32(part.bits);
        put_seen(&mut writer, *seen);
    }
    let checksum = HeadHash::of(writer.as_bytes());
    writer.raw(&checksum.0);
    writer.into_bytes()
}

fn parse_list(bytes: &[u8], archive: ArchiveId) -> Result<Kept, FormatError> {
    let (bytes, checksum) = bytes
        .split_last_chunk::<32>()
        .ok_or(FormatError::Truncated(WHAT))?;
    if HeadHash::of(bytes).0 != *checksum {
        return Err(FormatError::Mismatch(WHAT));
    }
    let mut reader = start(bytes)?;
    if reader.array()? != archive.0 {
        return Err(FormatError::Mismatch(WHAT));
    }
    let mut kept = Kept {
        head: HeadHash(reader.array()?),
        ..Kept::default()
    };
    for _ in 0..PARTS {
        kept.base.push(HeadHash(reader.array()?));
    }
    for _ in 0..reader.count(2)? {
        let volume = VolumeId(reader.narrow()?);
        kept.slots.push((volume, SessionSeq(reader.varint()?)));
    }
    for _ in 0..reader.count(3)? {
        let volume = VolumeId(reader.narrow()?);
        let seq = SessionSeq(reader.varint()?);
        kept.done.push((volume, seq, Root::parse(&mut reader)?));
    }
    for _ in 0..reader.count(14)? {
        let part = Part {
            drawer: reader.u16()?,
            bits: reader.u32()?,
        };
        kept.log.entries.push((part, take_seen(&mut reader)?));
    }
    reader.finish()?;
    Ok(kept)
}
