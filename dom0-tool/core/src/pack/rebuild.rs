//! What the directories of all packs tell when index objects are lost (DESIGN 4.1; doc/FORMAT.md, section 5).

use std::collections::BTreeMap;

use super::{Directory, DirectoryEntry, PackKind, PackRecord, PackState, Part};
use crate::ids::{Alias, ChunkId, KeyGeneration, PackName, SessionSeq, VolumeId};
use crate::node::{Bitmap, ChunkEntry, ChunkFormat, Patched};
use crate::place::{Place, Pointer, Root, TreeKind};

/// A pack that was found in the store, and its directory.
#[derive(Clone, Debug)]
pub struct FoundPack {
    /// Its name.
    pub name: PackName,
    /// The key generation with which its directory opened.
    pub key_generation: KeyGeneration,
    /// Size of the object.
    pub size: u64,
    /// What its trailer says it holds.
    pub kind: PackKind,
    /// Its directory.
    pub directory: Directory,
}

/// The pack table as far as directories tell it: nothing is known to be dead, and a pack that is only named as an origin is moved.
pub fn rebuild_packs(found: &[FoundPack]) -> BTreeMap<Alias, PackRecord> {
    let mut packs = BTreeMap::new();
    for pack in found {
        let items = pack.directory.items.iter();
        let others = items.filter(|item| owner(&item.entry) != Some(TreeKind::Packs));
        let others = others.fold(0_u64, |sum, item| {
            sum.saturating_add(u64::from(item.length))
        });
        let own = pack.size.saturating_sub(others);
        let record = PackRecord::new(pack.kind, pack.name, pack.key_generation, pack.size, own);
        packs.insert(pack.directory.alias, record);
    }
    for pack in found {
        for item in &pack.directory.items {
            let origin = item
                .origin
                .and_then(|(index, offset)| Some((pack.directory.origins.get(index)?, offset)));
            let Some((origin, offset)) = origin else {
                continue;
            };
            let length = u64::from(item.length);
            let moved = packs.entry(origin.alias).or_insert_with(|| {
                let mut record =
                    PackRecord::new(pack.kind, origin.name, origin.key_generation, 0, 0);
                record.state = PackState::Moved;
                record
            });
            // A pack that is still there needs no copies: the deletion was cut short, or the copy is the leftover.
            if moved.state == PackState::Moved {
                moved.size = moved.size.max(offset.saturating_add(length));
                moved.parts.push(Part {
                    start: offset,
                    length,
                    alias: pack.directory.alias,
                    offset: item.offset,
                });
            }
        }
    }
    for pack in found {
        let mut sources: Vec<Alias> = pack.directory.origins.iter().map(|o| o.alias).collect();
        sources.retain(|source| {
            let parts = packs.get(source).map(|record| &record.parts);
            parts.is_some_and(|parts| parts.iter().any(|part| part.alias == pack.directory.alias))
        });
        sources.sort_unstable();
        sources.dedup();
        if let Some(record) = packs.get_mut(&pack.directory.alias) {
            record.sources = sources;
        }
    }
    for record in packs.values_mut() {
        record.parts.sort_by_key(|part| part.start);
        // The same item may lie in two packs if a copy was cut short: one is enough.
        record.parts.dedup_by_key(|part| part.start);
        if record.state == PackState::Moved {
            // What was not copied was dead.
            let mut at = 0;
            for part in &record.parts {
                record.dead.insert(at, part.start);
                at = part.start.saturating_add(part.length);
            }
        }
    }
    packs
}

fn owner(entry: &DirectoryEntry) -> Option<TreeKind> {
    match entry {
        DirectoryEntry::Node { tree, .. } | DirectoryEntry::Record { tree, .. } => Some(*tree),
        _ => None,
    }
}

/// Every item that was found, under the place by which nodes know it.
fn places(found: &[FoundPack]) -> impl Iterator<Item = (Place, &DirectoryEntry)> {
    found.iter().flat_map(|pack| {
        pack.directory.items.iter().filter_map(|item| {
            let (alias, offset) = match item.origin {
                None => (pack.directory.alias, item.offset),
                Some((index, offset)) => (pack.directory.origins.get(index)?.alias, offset),
            };
            let place = Place {
                alias,
                offset,
                length: item.length,
            };
            Some((place, &item.entry))
        })
    })
}

/// The newest node at the left edge of each tree, which is its root unless the tree has shrunk since: for chunk trees by volume and session, for the others
/// under volume 0 and session 0.
pub fn find_roots(found: &[FoundPack]) -> BTreeMap<(TreeKind, VolumeId, SessionSeq), Root> {
    let mut roots: BTreeMap<(TreeKind, VolumeId, SessionSeq), (Place, Root)> = BTreeMap::new();
    for (place, entry) in places(found) {
        let DirectoryEntry::Node {
            tree,
            level,
            volume,
            prefix: 0,
            session,
            raw_length,
            digest,
        } = entry
        else {
            continue;
        };
        let root = Root::Node {
            level: *level,
            pointer: Pointer {
                place,
                raw_length: *raw_length,
                digest: *digest,
            },
        };
        // Inside a pack the root stands behind the nodes below it; later packs have higher aliases.
        let newest = roots
            .entry((*tree, *volume, *session))
            .or_insert((place, root));
        if newest.0 < place {
            *newest = (place, root);
        }
    }
    roots
        .into_iter()
        .map(|(key, (_, root))| (key, root))
        .collect()
}

/// What is known of a volume at a session when its nodes are lost: for each chunk the newest item that was written for it up to then. Zeroed chunks and chunks
/// that were found elsewhere (dedup, returned content) leave no item, so this is a salvage, not a restore: every id is to be checked, and the age of the
/// content is unsure.
pub fn salvage_volume(
    format: ChunkFormat,
    found: &[FoundPack],
    volume: VolumeId,
    session: SessionSeq,
) -> BTreeMap<u64, ChunkEntry> {
    let mut whole: BTreeMap<ChunkId, Place> = BTreeMap::new();
    for (place, entry) in places(found) {
        if let DirectoryEntry::Chunk { id, .. } = entry {
            whole.insert(*id, place);
        }
    }
    let mut newest: BTreeMap<u64, (SessionSeq, Place, ChunkEntry)> = BTreeMap::new();
    for (place, entry) in places(found) {
        let (owner, chunk, written, entry) = match entry {
            DirectoryEntry::Chunk {
                volume,
                chunk,
                session,
                id,
            } => (
                volume,
                chunk,
                session,
                Some(ChunkEntry::Chunk { id: *id, place }),
            ),
            DirectoryEntry::Patch {
                volume,
                chunk,
                session,
                id,
                base,
                bitmap,
            } => {
                let patched = whole.get(base).and_then(|base_place| {
                    let mut reader = crate::bytes::Reader::new("a pack directory", bitmap);
                    Some(ChunkEntry::Patched(Box::new(Patched {
                        id: *id,
                        base: *base,
                        base_place: *base_place,
                        bitmap: Bitmap::parse(format, &mut reader).ok()?,
                        place,
                    })))
                });
                (volume, chunk, session, patched)
            }
            _ => continue,
        };
        let Some(entry) = entry.filter(|_| *owner == volume && *written <= session) else {
            continue;
        };
        let age = (*written, place);
        match newest.get(&chunk.0) {
            Some((known, at, _)) if (*known, *at) >= age => {}
            _ => {
                newest.insert(chunk.0, (age.0, age.1, entry));
            }
        }
    }
    newest
        .into_iter()
        .map(|(chunk, (_, _, entry))| (chunk, entry))
        .collect()
}
