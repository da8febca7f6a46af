//! Copying the live items of packs into a new one, still sealed, beside the data (DESIGN 4.2).

use std::collections::{BTreeMap, BTreeSet};

use super::{Directory, DirectoryEntry, Origin, PackRecord, PackState, PackWriter, Part};
use crate::entropy::Entropy;
use crate::error::{FormatError, Result};
use crate::ids::{Alias, PackName};
use crate::place::{MAX_PACK, TreeKind};
use crate::seal::{Encoder, Sealer};

/// Bytes of an old pack that go into the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRange {
    /// The old pack.
    pub pack: PackName,
    /// First byte there.
    pub offset: u64,
    /// Number of bytes.
    pub length: u32,
}

/// A new pack in the making, out of live items of old ones.
pub struct Relocation {
    writer: PackWriter,
    ranges: Vec<CopyRange>,
    records: BTreeMap<Alias, PackRecord>,
    parts: BTreeMap<Alias, Vec<Part>>,
    given_up: BTreeSet<Alias>,
}

/// What a relocation comes to. The store is to put together: the ranges in order, then `end`.
pub struct Relocated {
    /// The new pack's alias.
    pub alias: Alias,
    /// Its name.
    pub name: PackName,
    /// What to copy.
    pub ranges: Vec<CopyRange>,
    /// The sealed directory and trailer.
    pub end: Vec<u8>,
    /// New records, by alias: the new pack's, those of the packs that it replaces, those of packs moved earlier whose parts moved
    /// again. `None`: nothing needs that pack any more and its object is long gone.
    pub records: Vec<(Alias, Option<PackRecord>)>,
    /// The objects that may be deleted once a head with these records is behind a barrier.
    pub freed: Vec<(Alias, PackName)>,
}

impl Relocation {
    /// Begins with an empty pack.
    pub fn new(writer: PackWriter) -> Self {
        Self {
            writer,
            ranges: Vec::new(),
            records: BTreeMap::new(),
            parts: BTreeMap::new(),
            given_up: BTreeSet::new(),
        }
    }

    /// Number of items so far: each takes some 60 to 150 bytes of directory, which travel with the request.
    pub fn items(&self) -> usize {
        self.writer.items()
    }

    /// Takes over all live items of a pack. It is no home of the pack tree, so nodes of the pack tree in it are dead. `moved` holds
    /// the records of the packs named in its `sources`.
    ///
    /// # Errors
    /// When directory and records do not belong together; the relocation is then to be dropped.
    pub fn add(
        &mut self,
        alias: Alias,
        record: &PackRecord,
        directory: &Directory,
        moved: impl IntoIterator<Item = (Alias, PackRecord)>,
    ) -> Result<()> {
        let mismatch = FormatError::Mismatch("a pack directory");
        if record.state != PackState::Live || directory.alias != alias {
            return Err(mismatch);
        }
        self.give_up(alias, record.clone(), moved)?;
        let here = Origin {
            name: record.name,
            key_generation: record.key_generation,
            alias,
        };
        for item in &directory.items {
            let end = item.offset.saturating_add(u64::from(item.length));
            if end > record.size {
                return Err(mismatch);
            }
            if record.dead.contains(item.offset, end) || is_own(&item.entry) {
                continue;
            }
            let (origin, origin_offset) = match item.origin {
                None => (here, item.offset),
                Some((index, offset)) => {
                    let origin = directory.origins.get(index);
                    (*origin.ok_or_else(|| mismatch.clone())?, offset)
                }
            };
            if !self.records.contains_key(&origin.alias) {
                return Err(mismatch);
            }
            let entry = item.entry.clone();
            let offset = self
                .writer
                .take_over(entry, item.length, origin, origin_offset);
            let length = u64::from(item.length);
            self.copy(record.name, item.offset, item.length);
            let parts = self.parts.entry(origin.alias).or_default();
            parts.push(Part {
                start: origin_offset,
                length,
                alias: self.writer.alias(),
                offset,
            });
        }
        if self.writer.length() > MAX_PACK {
            return Err(FormatError::OutOfRange("a pack"));
        }
        Ok(())
    }

    /// Notes that a pack's object goes: no part may point at it any longer.
    fn give_up(
        &mut self,
        alias: Alias,
        record: PackRecord,
        moved: impl IntoIterator<Item = (Alias, PackRecord)>,
    ) -> Result<()> {
        self.given_up.insert(alias);
        for (other, record) in moved {
            self.records.entry(other).or_insert(record);
        }
        for source in &record.sources {
            let source = self.records.get_mut(source);
            let source = source.ok_or(FormatError::Mismatch("a pack record"))?;
            source.parts.retain(|part| part.alias != alias);
        }
        self.records.insert(alias, record);
        Ok(())
    }

    fn copy(&mut self, pack: PackName, offset: u64, length: u32) {
        if let Some(last) = self.ranges.last_mut()
            && last.pack == pack
            && last.offset.saturating_add(u64::from(last.length)) == offset
            && let Some(sum) = last.length.checked_add(length)
        {
            last.length = sum;
            return;
        }
        self.ranges.push(CopyRange {
            pack,
            offset,
            length,
        });
    }

    /// Ends the new pack.
    pub fn finish(
        mut self,
        sealer: &Sealer,
        encoder: &mut Encoder,
        entropy: &mut dyn Entropy,
    ) -> Relocated {
        let (alias, name) = (self.writer.alias(), self.writer.name());
        let end = self.writer.finish(sealer, encoder, entropy);
        let mut new = end.record;
        new.sources = self.parts.keys().copied().collect();
        let mut records = vec![(alias, Some(new))];
        let mut freed = Vec::new();
        for (old, mut record) in self.records {
            record
                .parts
                .extend(self.parts.remove(&old).unwrap_or_default());
            record.parts.sort_unstable_by_key(|part| part.start);
            record.parts = joined(&record.parts);
            if self.given_up.contains(&old) {
                freed.push((old, record.name));
                record.sources.clear();
                record.state = if record.parts.is_empty() {
                    PackState::Void
                } else {
                    PackState::Moved
                };
                records.push((old, Some(record)));
            } else {
                records.push((old, (!record.parts.is_empty()).then_some(record)));
            }
        }
        records.sort_by_key(|(alias, _)| *alias);
        Relocated {
            alias,
            name,
            ranges: self.ranges,
            end: end.bytes,
            records,
            freed,
        }
    }
}

/// Whether an item belongs to the pack tree, and so is not counted as an item of others.
fn is_own(entry: &DirectoryEntry) -> bool {
    matches!(
        entry,
        DirectoryEntry::Node { tree, .. } | DirectoryEntry::Record { tree, .. }
            if *tree == TreeKind::Packs
    )
}

/// Parts that follow one another in both packs become one.
fn joined(parts: &[Part]) -> Vec<Part> {
    let mut all: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        match all.last_mut() {
            Some(last)
                if last.alias == part.alias
                    && last.start.saturating_add(last.length) == part.start
                    && last.offset.saturating_add(last.length) == part.offset =>
            {
                last.length = last.length.saturating_add(part.length);
            }
            _ => all.push(*part),
        }
    }
    all
}
