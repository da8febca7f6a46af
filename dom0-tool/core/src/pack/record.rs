//! What the pack tree says of a pack (doc/FORMAT.md, 7.2).

use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::ids::{Alias, KeyGeneration, PackName};
use crate::lists::{Extensions, encode_aliases, parse_aliases};
use crate::place::{MAX_PACK, Place};
use crate::ranges::RangeSet;

const WHAT: &str = "a pack record";

/// What a pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackKind {
    /// Chunks and patches.
    Data,
    /// Nodes and records.
    Index,
}

impl PackKind {
    /// The number that stands for it.
    pub fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Index => 2,
        }
    }

    /// Reads the number.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        match reader.u8()? {
            1 => Ok(Self::Data),
            2 => Ok(Self::Index),
            _ => Err(FormatError::OutOfRange(reader.what())),
        }
    }
}

/// Whether a pack is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackState {
    /// It is.
    Live,
    /// It is being deleted; nothing refers to it.
    Void,
    /// The object is gone; its live parts lie in other packs.
    Moved,
}

/// Where a stretch of a moved pack lies now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte in the old pack.
    pub start: u64,
    /// Number of bytes.
    pub length: u64,
    /// The pack that holds it.
    pub alias: Alias,
    /// First byte there.
    pub offset: u64,
}

impl Part {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

/// A pack, as the pack tree knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackRecord {
    /// Whether it is there.
    pub state: PackState,
    /// What it holds.
    pub kind: PackKind,
    /// Its name in the store.
    pub name: PackName,
    /// With which keys its items are sealed.
    pub key_generation: KeyGeneration,
    /// Size of the whole object in bytes.
    pub size: u64,
    /// Bytes that are not counted as items of others: nodes of the pack tree, directory and trailer.
    pub own: u64,
    /// Items that nothing refers to any more.
    pub dead: RangeSet,
    /// Where old bytes lie now, in rising order.
    pub parts: Vec<Part>,
    /// Packs whose parts lie here, in rising order.
    pub sources: Vec<Alias>,
    /// Values beyond these.
    pub extensions: Extensions,
}

impl PackRecord {
    /// A pack that was just written.
    pub fn new(
        kind: PackKind,
        name: PackName,
        key_generation: KeyGeneration,
        size: u64,
        own: u64,
    ) -> Self {
        Self {
            state: PackState::Live,
            kind,
            name,
            key_generation,
            size,
            own,
            dead: RangeSet::default(),
            parts: Vec::new(),
            sources: Vec::new(),
            extensions: Extensions::default(),
        }
    }

    /// Marks an item as dead.
    pub fn kill(&mut self, place: &Place) {
        self.dead.insert(place.offset, place.end());
    }

    /// Whether every item is dead.
    pub fn all_dead(&self) -> bool {
        self.dead.total().saturating_add(self.own) >= self.size
    }

    /// Where an item of this pack, which has the alias `place.alias`, lies now: pack and offset.
    pub fn resolve(&self, place: Place) -> Option<(Alias, u64)> {
        if place.end() > self.size {
            return None;
        }
        match self.state {
            PackState::Live => Some((place.alias, place.offset)),
            PackState::Void => None,
            PackState::Moved => {
                let at = self.parts.partition_point(|part| part.end() < place.end());
                let part = self.parts.get(at)?;
                let inside = place.offset.checked_sub(part.start)?;
                Some((part.alias, part.offset.checked_add(inside)?))
            }
        }
    }

    /// The packs that hold parts of this one.
    pub fn part_aliases(&self) -> impl Iterator<Item = Alias> + '_ {
        self.parts.iter().map(|part| part.alias)
    }

    /// Writes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(match self.state {
            PackState::Live => 1,
            PackState::Void => 2,
            PackState::Moved => 3,
        });
        writer.u8(self.kind.number());
        writer.raw(&self.name.0);
        writer.varint(u64::from(self.key_generation.0));
        writer.varint(self.size);
        writer.varint(self.own);
        self.dead.encode(&mut writer);
        writer.count(self.parts.len());
        let mut at = 0_u64;
        for part in &self.parts {
            writer.varint(part.start.saturating_sub(at));
            writer.varint(part.length);
            writer.varint(part.alias.0);
            writer.varint(part.offset);
            at = part.end();
        }
        encode_aliases(&self.sources, &mut writer);
        self.extensions.encode(&mut writer);
        writer.into_bytes()
    }

    /// Reads a record.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, bytes);
        let reader = &mut reader;
        let state = match reader.u8()? {
            1 => PackState::Live,
            2 => PackState::Void,
            3 => PackState::Moved,
            _ => return Err(FormatError::OutOfRange(WHAT)),
        };
        let kind = PackKind::parse(reader)?;
        let name = PackName(reader.array()?);
        let key_generation = KeyGeneration(reader.narrow()?);
        let size = reader.varint()?;
        let own = reader.varint()?;
        if size > MAX_PACK || own > size {
            return Err(FormatError::OutOfRange(WHAT));
        }
        let record = Self {
            state,
            kind,
            name,
            key_generation,
            size,
            own,
            dead: RangeSet::parse(reader, size)?,
            parts: parse_parts(reader, size)?,
            sources: parse_aliases(reader, usize::MAX)?,
            extensions: Extensions::parse(reader)?,
        };
        if record.parts.is_empty() == (state == PackState::Moved) && !record.dead_and_gone() {
            return Err(FormatError::OutOfRange(WHAT));
        }
        reader.clone().finish()?;
        Ok(record)
    }

    /// A moved pack may have no parts once all of its items are dead.
    fn dead_and_gone(&self) -> bool {
        self.state == PackState::Moved && self.all_dead()
    }
}

fn parse_parts(reader: &mut Reader<'_>, size: u64) -> Result<Vec<Part>> {
    let out_of_range = FormatError::OutOfRange(reader.what());
    let mut parts = Vec::new();
    let mut at = 0_u64;
    for _ in 0..reader.count(4)? {
        let (gap, length) = (reader.varint()?, reader.varint()?);
        let (alias, offset) = (Alias(reader.varint()?), reader.varint()?);
        let part = Part {
            start: at.checked_add(gap).ok_or_else(|| out_of_range.clone())?,
            length,
            alias,
            offset,
        };
        let there = offset.checked_add(length);
        let end = part.start.checked_add(length);
        if length == 0 || end.is_none_or(|end| end > size) || there.is_none_or(|end| end > MAX_PACK)
        {
            return Err(out_of_range);
        }
        at = part.end();
        parts.push(part);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> PackRecord {
        PackRecord::new(
            PackKind::Data,
            PackName([7; 16]),
            KeyGeneration(1),
            10_000,
            100,
        )
    }

    fn place(offset: u64, length: u32) -> Place {
        Place {
            alias: Alias(3),
            offset,
            length,
        }
    }

    #[test]
    fn a_record_is_read_back() {
        let mut moved = record();
        moved.state = PackState::Moved;
        moved.kill(&place(0, 1000));
        moved.parts = vec![
            Part {
                start: 1000,
                length: 500,
                alias: Alias(9),
                offset: 40,
            },
            Part {
                start: 1500,
                length: 500,
                alias: Alias(8),
                offset: 0,
            },
        ];
        moved.sources = vec![Alias(1), Alias(2)];
        for record in [record(), moved] {
            assert_eq!(PackRecord::parse(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn items_of_a_moved_pack_are_found_in_their_parts() {
        let mut moved = record();
        moved.state = PackState::Moved;
        moved.parts = vec![Part {
            start: 1000,
            length: 500,
            alias: Alias(9),
            offset: 40,
        }];
        assert_eq!(moved.resolve(place(1100, 100)), Some((Alias(9), 140)));
        assert_eq!(moved.resolve(place(1400, 100)), Some((Alias(9), 440)));
        assert_eq!(moved.resolve(place(1450, 100)), None);
        assert_eq!(moved.resolve(place(0, 100)), None);
        assert_eq!(record().resolve(place(0, 100)), Some((Alias(3), 0)));
        assert_eq!(record().resolve(place(9_950, 100)), None);
    }

    #[test]
    fn a_pack_is_dead_when_nothing_but_its_own_bytes_is_left() {
        let mut pack = record();
        pack.kill(&place(0, 9_000));
        assert!(!pack.all_dead());
        pack.kill(&place(9_000, 900));
        assert!(pack.all_dead());
    }
}
