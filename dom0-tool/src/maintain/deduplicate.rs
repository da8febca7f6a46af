//! `arch-deduplicate`: chunks that are there twice in a dedup domain become one (DESIGN 4.5).
//!
//! Only the index changes: entries in all sessions of a volume that name one copy name another one afterwards. Each commit takes a
//! stretch of one volume through all of its sessions, so an interruption leaves what was done so far, and doing it again goes on from there.
//! Which copy stays is decided by the index that is made for this run: the newest that it has seen. One that the store has lost, as far as its listing
//! shows that, is none; what is in them is not read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use nacre_core::error::FormatError;
use nacre_core::ids::{Alias, ChunkId, SessionSeq, VolumeId};
use nacre_core::node::{ChunkEntry, Patched};
use nacre_core::place::{Place, Root};
use nacre_core::tree::{NodeItem, NodeSink, RecordItem, RewriteTarget, rewrite};

use super::objects::Objects;
use crate::archive::{Archive, Dedup, Error, Freed, Nodes, Result, Sessions};
use crate::joints::Clock;

/// Leaves written with one commit, 16 GiB of a volume: an index pack of some 8 MiB. Some 17 KiB of memory are kept for each.
const LEAVES: usize = 2048;

/// What was shared, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedChunks {
    /// Stored items that these volumes do not need any more.
    pub items: u64,
    /// Their sealed bytes. What other volumes still need of them stays.
    pub bytes: u64,
    /// How often an entry stays because the other copy is lost.
    pub lost: usize,
    /// Whether the index was too small to see everything.
    pub index_full: bool,
    /// What came free at the store.
    pub freed: Freed,
}

/// Shares what some volumes have twice, or have in common with any volume of their domains. With `dry_run` it only looks.
pub fn deduplicate(
    archive: &mut Archive,
    volumes: &[VolumeId],
    dry_run: bool,
    clock: &dyn Clock,
    stop: &AtomicBool,
) -> Result<SharedChunks> {
    let dedup = Dedup::anew(archive)?;
    for volume in volumes {
        dedup.prepare(archive, *volume)?;
    }
    let (nodes, objects) = (archive.nodes(), Objects::list(&archive.store())?);
    let mut choice = Choice {
        dedup: &dedup,
        nodes: &nodes,
        objects: &objects,
        spared: Spared::default(),
        lost: 0,
    };
    for volume in volumes {
        let mut from = Some(0);
        while let Some(start) = from {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let replace = |entry: &ChunkEntry| choice.entry(*volume, entry);
            from = if dry_run {
                look(archive, *volume, start, replace)?
            } else {
                share(archive, *volume, start, &dedup, clock, replace)?
            };
        }
    }
    let Choice {
        mut spared, lost, ..
    } = choice;
    spared.count();
    let freed = if dry_run {
        Freed::default()
    } else {
        archive.free()?
    };
    Ok(SharedChunks {
        items: spared.items,
        bytes: spared.bytes,
        lost,
        index_full: dedup.is_full(),
        freed,
    })
}

/// Items for which another copy is used, each counted once. Four bytes are kept of each: a large volume has millions.
#[derive(Default)]
struct Spared {
    /// Their offsets in each pack, rising.
    known: BTreeMap<Alias, Vec<u32>>,
    /// Those that may be known or not, and their lengths.
    fresh: Vec<(Alias, u32, u32)>,
    items: u64,
    bytes: u64,
}

/// So many are looked through together.
const FRESH: usize = 1 << 16;

impl Spared {
    fn add(&mut self, place: Place) {
        // No pack is larger than 256 MiB.
        let offset = u32::try_from(place.offset).unwrap_or(u32::MAX);
        self.fresh.push((place.alias, offset, place.length));
        if self.fresh.len() >= FRESH {
            self.count();
        }
    }

    /// Counts what is fresh and not known.
    fn count(&mut self) {
        self.fresh.sort_unstable();
        self.fresh
            .dedup_by_key(|(alias, offset, _)| (*alias, *offset));
        for pack in self.fresh.chunk_by(|one, next| one.0 == next.0) {
            let Some((alias, ..)) = pack.first() else {
                continue;
            };
            let known = self.known.entry(*alias).or_default();
            let is_new = |at: &u32| known.binary_search(at).is_err();
            let new: Vec<(u32, u32)> = pack
                .iter()
                .filter(|(_, offset, _)| is_new(offset))
                .map(|(_, offset, length)| (*offset, *length))
                .collect();
            self.items += new.len() as u64;
            self.bytes += new
                .iter()
                .map(|(_, length)| u64::from(*length))
                .sum::<u64>();
            known.reserve_exact(new.len());
            known.extend(new.iter().map(|(offset, _)| *offset));
            known.sort_unstable();
        }
        self.fresh.clear();
    }
}

/// Which copies stay.
struct Choice<'a> {
    dedup: &'a Dedup,
    nodes: &'a Nodes,
    objects: &'a Objects,
    spared: Spared,
    lost: usize,
}

impl Choice<'_> {
    /// What is to stand in place of an entry.
    fn entry(&mut self, volume: VolumeId, entry: &ChunkEntry) -> Option<ChunkEntry> {
        match entry {
            ChunkEntry::Chunk { id, place } => {
                let place = self.item(volume, id, *place)?;
                Some(ChunkEntry::Chunk { id: *id, place })
            }
            ChunkEntry::Patched(patched) => {
                let base_place = self.item(volume, &patched.base, patched.base_place)?;
                let patched = Patched {
                    base_place,
                    ..(**patched).clone()
                };
                Some(ChunkEntry::Patched(Box::new(patched)))
            }
            ChunkEntry::Lost { .. } => None,
        }
    }

    fn item(&mut self, volume: VolumeId, id: &ChunkId, place: Place) -> Option<Place> {
        let other = self.dedup.place_of(volume, id);
        let other = other.filter(|other| *other != place)?;
        if !self.is_there(other) {
            self.lost += 1;
            return None;
        }
        self.spared.add(place);
        Some(other)
    }

    /// Whether the store shows what holds an item. Where that cannot be told the item is left alone, too.
    fn is_there(&self, place: Place) -> bool {
        let located = self.nodes.locate_all(&[place]).into_iter();
        let fault = located.map(|found| self.objects.fault(&found?));
        fault.into_iter().all(|fault| matches!(fault, Ok(None)))
    }
}

fn trees(sessions: &Sessions, volume: VolumeId) -> Vec<(SessionSeq, Root)> {
    let of_volume = sessions.of_volume(volume);
    of_volume.map(|(seq, _, at)| (seq, at.root)).collect()
}

/// Shares a stretch of a volume; where to go on.
fn share(
    archive: &mut Archive,
    volume: VolumeId,
    from: u64,
    dedup: &Dedup,
    clock: &dyn Clock,
    mut replace: impl FnMut(&ChunkEntry) -> Option<ChunkEntry>,
) -> Result<Option<u64>> {
    let sessions = archive.sessions()?;
    let trees = trees(&sessions, volume);
    let mut commit = archive.begin_small_commit();
    let rewritten =
        commit.rewrite_volume(volume, &trees, (from, LEAVES), |_, entry| replace(entry))?;
    if rewritten.leaves == 0 {
        return Ok(rewritten.next);
    }
    for ((seq, _), root) in trees.iter().zip(&rewritten.roots) {
        if let Some(session) = sessions.get(*seq) {
            let mut session = session.clone();
            session.set_root(volume, *root);
            commit.set_session(*seq, session);
        }
    }
    if let Some(root) = rewritten.roots.last() {
        commit.set_root(volume, *root);
    }
    let changed = commit.changed_sessions().clone();
    commit.finish(clock)?;
    dedup.committed(&changed);
    Ok(rewritten.next)
}

/// The same without writing anything.
fn look(
    archive: &Archive,
    volume: VolumeId,
    from: u64,
    mut replace: impl FnMut(&ChunkEntry) -> Option<ChunkEntry>,
) -> Result<Option<u64>> {
    let trees = trees(&archive.sessions()?, volume);
    let nodes = archive.nodes();
    let mut source: &Nodes = &nodes;
    let target = RewriteTarget {
        volume,
        key: nodes.digests(),
        from,
        most: LEAVES,
    };
    let looked = rewrite(target, &trees, &mut source, &mut Nowhere, |_, entry| {
        replace(entry)
    })?;
    Ok(looked.next)
}

/// Takes nodes and keeps none.
struct Nowhere;

impl NodeSink for Nowhere {
    type Error = FormatError;

    fn put_node(&mut self, _item: NodeItem<'_>) -> Result<Place, FormatError> {
        Ok(nowhere())
    }

    fn put_record(&mut self, _item: RecordItem<'_>) -> Result<Place, FormatError> {
        Ok(nowhere())
    }
}

fn nowhere() -> Place {
    Place {
        alias: Alias(u64::MAX),
        offset: 0,
        length: 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_spared_item_counts_once() {
        let (mut spared, mut model, mut bytes) = (Spared::default(), HashSet::new(), 0);
        let mut state = 1_u64;
        for _ in 0..3 * FRESH {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let place = Place {
                alias: Alias((state >> 60) % 7),
                offset: (state >> 33) % 20_000,
                length: 100,
            };
            spared.add(place);
            if model.insert((place.alias, place.offset)) {
                bytes += 100;
            }
        }
        spared.count();
        assert_eq!((spared.items, spared.bytes), (model.len() as u64, bytes));
        assert!(model.len() > FRESH);
    }
}
