//! The bytes of a node (doc/FORMAT.md, 6.1). One form for each node: what is parsed encodes to the same bytes.

use super::{Body, ChunkEntry, ChunkFormat, Node, RecordEntry, WHAT, slots_of};
use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::ids::{Alias, Digest};
use crate::lists::{encode_aliases, parse_aliases};
use crate::place::{FAN_OUT, MAX_LEVEL, MAX_NODE, Place, Pointer, TreeKind, raw_length};

/// Every entry may be patched and name two packs.
const MAX_ALIASES: usize = 2 * FAN_OUT;
const KINDS: usize = 16;

impl Node {
    /// Writes the node.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(self.tree.number());
        writer.u8(self.level);
        let (kinds, aliases) = self.summary();
        writer.raw(&kinds);
        encode_aliases(&aliases, &mut writer);
        let mut places = PlaceWriter::new(&aliases);
        match &self.body {
            Body::Inner(children) => children
                .iter()
                .for_each(|(_, child)| places.put_pointer(&mut writer, child)),
            Body::Chunks(entries) => entries
                .iter()
                .for_each(|(_, entry)| entry.encode(&mut writer, &mut places)),
            Body::Records(entries) => entries
                .iter()
                .for_each(|(_, entry)| entry.encode(&mut writer, &mut places)),
        }
        writer.into_bytes()
    }

    /// The kinds of all slots and the aliases that places in this node use.
    fn summary(&self) -> ([u8; KINDS], Vec<Alias>) {
        let mut kinds = [0; KINDS];
        let mut aliases = Vec::with_capacity(FAN_OUT);
        let mut note = |slot: u8, kind: u8| {
            if let Some(byte) = kinds.get_mut(usize::from(slot >> 2)) {
                *byte |= kind << ((slot & 3) << 1);
            }
        };
        match &self.body {
            Body::Inner(children) => {
                for (slot, child) in children {
                    note(*slot, 1);
                    aliases.push(child.place.alias);
                }
            }
            Body::Chunks(entries) => {
                for (slot, entry) in entries {
                    note(*slot, entry.kind());
                    aliases.extend(entry.items().map(|place| place.alias));
                }
            }
            Body::Records(entries) => {
                for (slot, entry) in entries {
                    note(*slot, entry.kind());
                    if let RecordEntry::Record(pointer) = entry {
                        aliases.push(pointer.place.alias);
                    }
                }
            }
        }
        aliases.sort_unstable();
        aliases.dedup();
        (kinds, aliases)
    }

    /// Reads a node.
    pub fn parse(format: ChunkFormat, bytes: &[u8]) -> Result<Self> {
        let out_of_range = FormatError::OutOfRange(WHAT);
        if bytes.len() > MAX_NODE as usize {
            return Err(out_of_range);
        }
        let mut reader = Reader::new(WHAT, bytes);
        let tree = TreeKind::parse(&mut reader)?;
        let level = reader.u8()?;
        let kinds: [u8; KINDS] = reader.array()?;
        let used = kinds.iter().fold(0_usize, |sum, byte| {
            sum.saturating_add(((byte | byte >> 1) & 0x55).count_ones() as usize)
        });
        if level > MAX_LEVEL || used == 0 {
            return Err(out_of_range);
        }
        let mut places = PlaceReader::new(parse_aliases(&mut reader, MAX_ALIASES)?);
        let slots = (0..64_u8).filter_map(|slot| {
            let byte = kinds.get(usize::from(slot >> 2)).copied().unwrap_or(0);
            let kind = byte >> ((slot & 3) << 1) & 3;
            (kind != 0).then_some((slot, kind))
        });
        let body = if level > 0 {
            let mut children = Vec::with_capacity(used);
            for (slot, kind) in slots {
                if kind != 1 || slot >= slots_of(level) {
                    return Err(out_of_range);
                }
                children.push((slot, places.get_pointer(&mut reader)?));
            }
            Body::Inner(children)
        } else if tree == TreeKind::Chunks {
            let mut entries = Vec::with_capacity(used);
            for (slot, kind) in slots {
                let entry = ChunkEntry::parse(kind, format, &mut reader, &mut places)?;
                entries.push((slot, entry));
            }
            Body::Chunks(entries)
        } else {
            let mut entries = Vec::with_capacity(used);
            for (slot, kind) in slots {
                entries.push((slot, RecordEntry::parse(kind, &mut reader, &mut places)?));
            }
            Body::Records(entries)
        };
        reader.finish()?;
        places.finish()?;
        Ok(Self { tree, level, body })
    }
}

/// Writes places without what the node already says: aliases by number, offsets that follow the one before not at all.
pub(super) struct PlaceWriter<'a> {
    aliases: &'a [Alias],
    expected: Vec<u64>,
}

impl<'a> PlaceWriter<'a> {
    fn new(aliases: &'a [Alias]) -> Self {
        Self {
            aliases,
            expected: vec![0; aliases.len()],
        }
    }

    pub(super) fn put(&mut self, writer: &mut Writer, place: &Place) {
        // Every alias was collected before; otherwise this would write a place that no reader takes.
        let index = self.aliases.partition_point(|alias| *alias < place.alias);
        let Some(expected) = self.expected.get_mut(index) else {
            return;
        };
        let strange = place.offset != *expected;
        writer.varint((index as u64) << 1 | u64::from(strange));
        if strange {
            let difference = place.offset.wrapping_sub(*expected);
            writer.zigzag(difference.cast_signed());
        }
        writer.varint(u64::from(place.length));
        *expected = place.end();
    }

    pub(super) fn put_pointer(&mut self, writer: &mut Writer, pointer: &Pointer) {
        self.put(writer, &pointer.place);
        writer.varint(u64::from(pointer.raw_length));
        writer.raw(&pointer.digest.0);
    }
}

/// Reads places, and notices aliases that none of them uses.
pub(super) struct PlaceReader {
    table: Vec<(Alias, u64, bool)>,
}

impl PlaceReader {
    fn new(aliases: Vec<Alias>) -> Self {
        Self {
            table: aliases.into_iter().map(|alias| (alias, 0, false)).collect(),
        }
    }

    pub(super) fn get(&mut self, reader: &mut Reader<'_>) -> Result<Place> {
        let what = reader.what();
        let out_of_range = || FormatError::OutOfRange(what);
        let code: usize = reader.narrow()?;
        let row = self.table.get_mut(code >> 1).ok_or_else(out_of_range)?;
        let (alias, expected, used) = row;
        let mut offset = *expected;
        if code & 1 == 1 {
            let difference = reader.zigzag()?;
            offset = offset
                .checked_add_signed(difference)
                .filter(|_| difference != 0)
                .ok_or_else(out_of_range)?;
        }
        let place = Place {
            alias: *alias,
            offset,
            length: reader.narrow()?,
        }
        .checked(what)?;
        *expected = place.end();
        *used = true;
        Ok(place)
    }

    fn get_pointer(&mut self, reader: &mut Reader<'_>) -> Result<Pointer> {
        Ok(Pointer {
            place: self.get(reader)?,
            raw_length: raw_length(reader, MAX_NODE)?,
            digest: Digest(reader.array()?),
        })
    }

    fn finish(&self) -> Result<()> {
        if self.table.iter().all(|(_, _, used)| *used) {
            Ok(())
        } else {
            Err(FormatError::OutOfRange(WHAT))
        }
    }
}
