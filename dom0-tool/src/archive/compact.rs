//! Compaction: the store copies what lives in packs into new ones, beside the data and still sealed (DESIGN 4.2).
//!
//! Each new pack has a commit of its own, behind which the old ones are freed. A crash before the commit leaves a pack that no head names; a
//! crash behind it leaves old packs in the head's list, and the next command that writes frees them.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::entropy::draw;
use nacre_core::error::FormatError;
use nacre_core::ids::{Alias, PackName};
use nacre_core::object_name::ObjectName;
use nacre_core::pack::{
    Directory, MovePolicy, PackRecord, PackState, PackWriter, Relocated, Relocation, TRAILER,
    TRAILER_BODY, Trailer, choose_moves,
};
use nacre_core::seal::{Decoder, ItemAddress, ItemKind};

use super::{Archive, Error, Freed, Result};
use crate::joints::{ByteRange, Clock, CopyPiece, PutOutcome, StoreError, StoreErrorKind};

/// Bytes that travel with a copy in one piece.
const INLINE: usize = 1 << 20;
/// Bytes at the end of each copied range that are read again: an item's tag, which no other has.
const LOOKED_AT: u32 = 16;
/// What a commit may need beside the copied bytes.
const SPARE: u64 = 8 << 20;

/// What is to be put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Packs that become one pack, group by group.
    pub groups: Vec<Vec<Alias>>,
    /// Packs in which nothing lives and that were not given up yet.
    pub empty: Vec<Alias>,
    /// Bytes that the store will copy.
    pub copied: u64,
    /// Bytes of the packs that go.
    pub replaced: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Packs made.
    pub packs: u64,
    /// Bytes that the store copied.
    pub copied: u64,
    /// What was freed behind it.
    pub freed: Freed,
    /// Whether some groups were left because the store has too little room to copy them.
    pub no_room: bool,
    /// Packs that were left as they are because they are lost or damaged.
    pub damaged: usize,
}

impl Archive {
    /// Chooses what to put together: among the packs that the head says are small or sparse, or among all if it does not say. `policy` finds no pack
    /// small or sparse that the default would not. Reads pack records, and nothing of any pack.
    pub fn plan_moves(&self, policy: &MovePolicy) -> Result<Moves> {
        if self.head.books_in_doubt() {
            return Ok(Moves::default());
        }
        let homes: BTreeSet<Alias> = self.head.homes.iter().map(|home| home.alias).collect();
        let mut packs = BTreeMap::new();
        let mut moves = Moves::default();
        let watched = match self.head.watched() {
            Some(watched) => watched,
            None => self.find_watched()?,
        };
        let nodes = self.nodes();
        nodes.load_packs(&watched)?;
        for alias in watched {
            let record = nodes.pack_record(alias)?;
            let Some(record) = record.filter(|record| record.state == PackState::Live) else {
                continue;
            };
            if record.all_dead() && !homes.contains(&alias) {
                moves.empty.push(alias);
            } else {
                packs.insert(alias, record);
            }
        }
        let policy = MovePolicy {
            punch: self.store.capabilities().punch,
            ..*policy
        };
        let all = packs.iter().map(|(alias, record)| (*alias, record));
        moves.groups = choose_moves(all, &homes, &policy);
        for record in moves
            .groups
            .iter()
            .flatten()
            .filter_map(|alias| packs.get(alias))
        {
            moves.copied += record.live();
            moves.replaced += record.size;
        }
        Ok(moves)
    }

    /// The packs that the next searches must look at, from all records of the pack tree.
    pub(super) fn find_watched(&self) -> Result<BTreeSet<Alias>> {
        let policy = self.watching();
        let mut watched = BTreeSet::new();
        self.each_pack(|alias, record| {
            if policy.watches(&record) {
                watched.insert(alias);
            }
            Ok(())
        })?;
        Ok(watched)
    }

    /// By which rule packs are small or sparse, on this store.
    pub(super) fn watching(&self) -> MovePolicy {
        MovePolicy {
            punch: self.store.capabilities().punch,
            ..MovePolicy::default()
        }
    }

    /// Does not believe the head's list of small and sparse packs any more: the next search looks at all of them.
    pub fn search_all_packs(&mut self) {
        self.head.set_watched(None);
    }

    /// Carries the plan out, as far as the store has room for it. Nothing is done on an append-only store.
    pub fn compact(&mut self, moves: &Moves, clock: &dyn Clock) -> Result<Compacted> {
        let mut done = Compacted::default();
        if self.store.capabilities().append_only {
            done.freed.append_only = true;
            return Ok(done);
        }
        if !moves.empty.is_empty() {
            let mut commit = self.begin_small_commit();
            commit.sweep(moves.empty.iter().copied());
            commit.finish(clock)?;
            done.freed.add(&self.free()?);
        }
        for group in &moves.groups {
            if !self.has_room(group)? {
                done.no_room = true;
                continue;
            }
            if self.relocate(group, clock, &mut done)? {
                done.freed.add(&self.free()?);
            }
        }
        Ok(done)
    }

    /// Whether the store says that it can hold the copy beside the old packs. If it lies, the copy fails and nothing is changed.
    fn has_room(&self, group: &[Alias]) -> Result<bool> {
        let nodes = self.nodes();
        let mut needed = SPARE;
        nodes.load_packs(&group.iter().copied().collect())?;
        for alias in group {
            needed += nodes.pack_record(*alias)?.map_or(0, |record| record.live());
        }
        match self.store.free_space() {
            Ok(free) => Ok(free >= needed),
            Err(error) if error.kind == StoreErrorKind::Unsupported => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Copies what lives in some packs into a new one. Damaged ones are left where they are: others must not wait for them. Returns whether
    /// anything was copied.
    fn relocate(
        &mut self,
        group: &[Alias],
        clock: &dyn Clock,
        done: &mut Compacted,
    ) -> Result<bool> {
        let nodes = self.nodes();
        let sealer = self.sealer();
        let mut entropy = (self.entropy)();
        let alias = self.head.next.alias;
        nodes.load_packs(&group.iter().copied().collect())?;
        let records: Vec<(Alias, PackRecord)> = group
            .iter()
            .filter_map(|alias| Some((*alias, nodes.pack_record(*alias).transpose()?)))
            .map(|(alias, record)| Ok((alias, record?)))
            .collect::<Result<_>>()?;
        let Some(kind) = records.first().map(|(_, record)| record.kind) else {
            return Ok(false);
        };
        let mut left = 0;
        let name = PackName(draw(entropy.as_mut()));
        let writer = PackWriter::new(alias, name, kind, sealer.key_generation());
        let mut relocation = Relocation::new(writer);
        let sources = records.iter().flat_map(|(_, record)| &record.sources);
        nodes.load_packs(&sources.copied().collect())?;
        for (alias, record) in &records {
            let directory = match self.directory(record) {
                Err(error) if error.is_damage() => {
                    left += 1;
                    continue;
                }
                directory => directory?,
            };
            let mut sources = Vec::new();
            for source in &record.sources {
                let moved = nodes.pack_record(*source)?;
                sources.extend(moved.map(|record| (*source, record)));
            }
            relocation
                .add(*alias, record, &directory, sources)
                .map_err(Error::damaged(ObjectName::Pack(record.name)))?;
        }
        done.damaged += left;
        if left > 0 && records.len() - left < 2 {
            return Ok(false);
        }
        let relocated = relocation.finish(&sealer, &mut self.index_encoder(), entropy.as_mut());
        self.copy(&relocated)?;
        let lengths = relocated.ranges.iter().map(|range| u64::from(range.length));
        done.copied += lengths.sum::<u64>();
        done.packs += 1;
        let mut commit = self.begin_commit(Alias(alias.0 + 1));
        commit.set_packs(relocated.records);
        commit.give_away(relocated.freed.into_iter().map(|(alias, _)| alias));
        commit.finish(clock)?;
        Ok(true)
    }

    fn copy(&self, relocated: &Relocated) -> Result<()> {
        let ranges = relocated.ranges.iter().map(|range| {
            let bytes = ByteRange {
                offset: range.offset,
                length: range.length,
            };
            CopyPiece::Range(ObjectName::Pack(range.pack), bytes)
        });
        let end = relocated.end.chunks(INLINE);
        let end = end.map(|bytes| CopyPiece::Inline(bytes.to_vec()));
        let pieces: Vec<CopyPiece> = ranges.chain(end).collect();
        let name = ObjectName::Pack(relocated.name);
        if self.store.copy(name, &pieces)? == PutOutcome::Exists {
            let detail = "it says that a new pack is there already";
            return Err(StoreError::new(StoreErrorKind::Protocol, Some(name), detail).into());
        }
        if !self.is_whole(relocated)? {
            self.store.delete(&[name])?;
            return Err(Error::Lost(format!(
                "{name} was not put together whole, although the store says so; what it was to be made of stays"
            )));
        }
        Ok(())
    }

    /// Whether the end of each range that was copied has come along, and that of the pack. OpenSSH's server for SFTP, for one, tells no failure in the last
    /// 64 KiB of a range, and what follows is then put behind a hole.
    fn is_whole(&self, relocated: &Relocated) -> Result<bool> {
        let mut wanted: Vec<(ObjectName, Vec<ByteRange>)> = Vec::new();
        let mut copied = Vec::with_capacity(relocated.ranges.len() + 1);
        let mut at = 0;
        for range in &relocated.ranges {
            let name = ObjectName::Pack(range.pack);
            let there = last_of(range.offset, range.length);
            match wanted.last_mut() {
                Some((same, ranges)) if *same == name => ranges.push(there),
                _ => wanted.push((name, vec![there])),
            }
            copied.push(last_of(at, range.length));
            at += u64::from(range.length);
        }
        let end = u32::try_from(relocated.end.len()).map_err(|_| Error::internal())?;
        copied.push(last_of(at, end));
        wanted.push((ObjectName::Pack(relocated.name), copied));
        let mut answers = self.store.get_many(&wanted);
        let copied = match answers.pop() {
            Some(Ok(copied)) => copied,
            Some(Err(error)) if error.kind == StoreErrorKind::OutOfRange => return Ok(false),
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Error::internal()),
        };
        let mut ends = Vec::with_capacity(copied.len());
        for answer in answers {
            ends.extend(answer?);
        }
        let (last, before) = copied.split_last().ok_or_else(Error::internal)?;
        Ok(before == ends && relocated.end.ends_with(last))
    }

    /// The directory of a pack.
    fn directory(&self, record: &PackRecord) -> Result<Directory> {
        let name = ObjectName::Pack(record.name);
        let short = || Error::damaged(name)(FormatError::Mismatch("a pack's size"));
        let trailer_at = record.size.checked_sub(TRAILER).ok_or_else(short)?;
        let length = u32::try_from(TRAILER).map_err(|_| Error::internal())?;
        let trailer = self.end_item(record, ItemKind::Trailer, trailer_at, length, TRAILER_BODY)?;
        let trailer = Trailer::parse(&trailer).map_err(Error::damaged(name))?;
        let body = self.end_item(
            record,
            ItemKind::Directory,
            trailer.directory_offset,
            trailer.directory_length,
            trailer.directory_raw as usize,
        )?;
        Directory::parse(&body).map_err(Error::damaged(name))
    }

    fn end_item(
        &self,
        record: &PackRecord,
        kind: ItemKind,
        offset: u64,
        length: u32,
        raw: usize,
    ) -> Result<Vec<u8>> {
        let name = ObjectName::Pack(record.name);
        let parts = self.store.get(name, &[ByteRange { offset, length }])?;
        let mut bytes = parts.into_iter().next().unwrap_or_default();
        let address = ItemAddress {
            key_generation: record.key_generation,
            kind,
            pack: record.name,
            offset,
        };
        let mut body = Vec::new();
        let nodes = self.nodes();
        nodes
            .opener()
            .open(&address, &mut bytes, raw, &mut Decoder::new(), &mut body)
            .map_err(Error::damaged(name))?;
        Ok(body)
    }
}

/// The last bytes of a range.
fn last_of(offset: u64, length: u32) -> ByteRange {
    let short = length.min(LOOKED_AT);
    ByteRange {
        offset: offset + u64::from(length - short),
        length: short,
    }
}
