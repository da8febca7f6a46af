//! A lost piece of a volume's tree, guessed from what other sessions and the packs' directories say. The digest that its parent holds tells whether a
//! guess is right: equal digests mean equal content (doc/FORMAT.md, 6.2), so nothing is taken on trust.

use std::collections::{BTreeMap, HashMap};

use nacre_core::hash::DigestKey;
use nacre_core::ids::{Alias, ChunkId, Digest, PackName, SessionSeq, VolumeId};
use nacre_core::node::{Bitmap, ChunkEntry, ChunkFormat, Node, Patched};
use nacre_core::pack::{DirectoryEntry, FoundPack, PackKind};
use nacre_core::place::{Place, Pointer, Root, TreeKind};
use nacre_core::tree::Walk;

use super::survey::{Lost, LostRange, Point};
use crate::archive::{Archive, Nodes, Result};

/// Entries by chunk.
pub type Cells = BTreeMap<u64, ChunkEntry>;

/// What packs hold for chunks of one volume: for which session it was written, and as what.
type Written = BTreeMap<u64, Vec<(SessionSeq, ChunkEntry)>>;

/// The lost nodes of a volume whose content is certain, by place.
pub fn rebuild(
    archive: &Archive,
    volume: VolumeId,
    points: &[Point],
    lost: &[Lost],
) -> Result<HashMap<Place, Cells>> {
    let mut rebuilt = HashMap::new();
    if lost.iter().all(|lost| lost.nodes.is_empty()) {
        return Ok(rebuilt);
    }
    let written = written(archive, volume, lost)?;
    let nodes = archive.nodes();
    for (index, here) in lost.iter().enumerate() {
        for node in &here.nodes {
            if rebuilt.contains_key(&node.pointer.place) {
                continue;
            }
            let guess = Guess {
                nodes: &nodes,
                points,
                lost,
                written: &written,
                node,
                index,
            };
            if let Some(cells) = guess.right_one()? {
                rebuilt.insert(node.pointer.place, cells);
            }
        }
    }
    Ok(rebuilt)
}

/// Reads the directories of all data packs for what they hold of the lost ranges.
fn written(archive: &Archive, volume: VolumeId, lost: &[Lost]) -> Result<Written> {
    let nodes = archive.nodes();
    let ranges: Vec<_> = lost
        .iter()
        .flat_map(|lost| lost.nodes.iter().map(|node| node.keys.clone()))
        .collect();
    let mut written = Written::new();
    let mut bases: HashMap<ChunkId, Place> = HashMap::new();
    let mut patches = Vec::new();
    for (name, size) in data_packs(archive)? {
        let found = match nodes.directory(name, size) {
            Ok(found) => found,
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        for (place, entry) in places(&found) {
            match entry {
                DirectoryEntry::Chunk {
                    volume: owner,
                    chunk,
                    session,
                    id,
                } if *owner == volume && ranges.iter().any(|keys| keys.contains(&chunk.0)) => {
                    let entry = ChunkEntry::Chunk { id: *id, place };
                    bases.insert(*id, place);
                    written.entry(chunk.0).or_default().push((*session, entry));
                }
                DirectoryEntry::Patch { volume: owner, .. } if *owner == volume => {
                    patches.push((place, entry.clone()));
                }
                _ => {}
            }
        }
    }
    for (place, entry) in patches {
        if let Some((chunk, session, entry)) = patched(nodes.format(), &bases, place, &entry)
            && ranges.iter().any(|keys| keys.contains(&chunk))
        {
            written.entry(chunk).or_default().push((session, entry));
        }
    }
    for list in written.values_mut() {
        let place = |entry: &ChunkEntry| entry.items().last();
        list.sort_by_key(|(session, entry)| (*session, place(entry)));
    }
    Ok(written)
}

fn patched(
    format: ChunkFormat,
    bases: &HashMap<ChunkId, Place>,
    place: Place,
    entry: &DirectoryEntry,
) -> Option<(u64, SessionSeq, ChunkEntry)> {
    let DirectoryEntry::Patch {
        chunk,
        session,
        id,
        base,
        bitmap,
        ..
    } = entry
    else {
        return None;
    };
    let mut reader = nacre_core::bytes::Reader::new("a pack directory", bitmap);
    let patched = Patched {
        id: *id,
        base: *base,
        base_place: *bases.get(base)?,
        bitmap: Bitmap::parse(format, &mut reader).ok()?,
        place,
    };
    Some((chunk.0, *session, ChunkEntry::Patched(Box::new(patched))))
}

/// The data packs that the archive names, with their sizes.
fn data_packs(archive: &Archive) -> Result<Vec<(PackName, u64)>> {
    let mut records = Vec::new();
    super::records::each_pack(archive, &mut |_, record| {
        if record.kind == PackKind::Data {
            records.push((record.name, record.size));
        }
    })?;
    Ok(records)
}

/// Every item under the place by which nodes know it.
pub fn places(found: &FoundPack) -> impl Iterator<Item = (Place, &DirectoryEntry)> {
    found.directory.items.iter().filter_map(|item| {
        let (alias, offset): (Alias, u64) = match item.origin {
            None => (found.directory.alias, item.offset),
            Some((index, offset)) => (found.directory.origins.get(index)?.alias, offset),
        };
        let place = Place {
            alias,
            offset,
            length: item.length,
        };
        Some((place, &item.entry))
    })
}

/// Guesses about one lost node.
struct Guess<'a> {
    nodes: &'a Nodes,
    points: &'a [Point],
    lost: &'a [Lost],
    written: &'a Written,
    node: &'a LostRange,
    /// The newest session that has it.
    index: usize,
}

impl Guess<'_> {
    fn right_one(&self) -> Result<Option<Cells>> {
        let shares = |index: &usize| {
            let nodes = self.lost.get(*index).map(|lost| &lost.nodes);
            nodes.is_some_and(|nodes| nodes.iter().any(|n| n.pointer == self.node.pointer))
        };
        // The oldest session that has it is the one for which it was written.
        let oldest = (self.index..self.points.len()).take_while(shares).last();
        let oldest = oldest.unwrap_or(self.index);
        let seq = |index: usize| self.points.get(index).map(|point| point.seq);
        let Some(born) = seq(oldest) else {
            return Ok(None);
        };
        let older = self.cells_of(oldest.checked_add(1))?;
        let since = seq(oldest + 1).unwrap_or_default();
        let newer = self.cells_of(self.index.checked_sub(1))?;
        let mut guesses = Vec::new();
        if let Some(mut cells) = older {
            self.overlay(&mut cells, |session| session > since && session <= born);
            guesses.push(cells);
        }
        let mut all = Cells::new();
        self.overlay(&mut all, |session| session <= born);
        guesses.push(all);
        if let Some(mut cells) = newer {
            let later = seq(self.index).unwrap_or(born);
            for (chunk, list) in self.mine() {
                if list.iter().any(|(session, _)| *session > later) {
                    cells.remove(chunk);
                    let last = list.iter().rfind(|(session, _)| *session <= born);
                    cells.extend(last.map(|(_, entry)| (*chunk, entry.clone())));
                }
            }
            guesses.push(cells);
        }
        let (level, wanted) = (self.node.level, self.node.pointer.digest);
        let right = |cells: &Cells| digest(self.nodes.digests(), level, cells) == Some(wanted);
        Ok(guesses.into_iter().find(right))
    }

    /// What packs hold for the chunks of this node.
    fn mine(&self) -> impl Iterator<Item = (&u64, &Vec<(SessionSeq, ChunkEntry)>)> {
        self.written.range(self.node.keys.clone())
    }

    fn overlay(&self, cells: &mut Cells, wanted: impl Fn(SessionSeq) -> bool) {
        for (chunk, list) in self.mine() {
            let last = list.iter().rfind(|(session, _)| wanted(*session));
            cells.extend(last.map(|(_, entry)| (*chunk, entry.clone())));
        }
    }

    /// The entries of another session below this node, as far as they can be read.
    fn cells_of(&self, index: Option<usize>) -> Result<Option<Cells>> {
        let Some(point) = index.and_then(|index| self.points.get(index)) else {
            return Ok(None);
        };
        readable(self.nodes, &point.root, self.node.keys.clone()).map(Some)
    }
}

/// The digest of the node of a level over these entries, all of which lie below it; `None` if there are none.
fn digest(key: &DigestKey, level: u8, cells: &Cells) -> Option<Digest> {
    let tree = TreeKind::Chunks;
    let mut below: Vec<(u64, Digest)> = Vec::new();
    let mut leaf: Vec<(u8, ChunkEntry)> = Vec::new();
    let mut cells = cells.iter().peekable();
    while let Some((chunk, entry)) = cells.next() {
        leaf.push((nacre_core::node::slot(*chunk), entry.clone()));
        let number = nacre_core::node::prefix(*chunk, 0);
        let goes_on = cells
            .peek()
            .is_some_and(|(next, _)| nacre_core::node::prefix(**next, 0) == number);
        if !goes_on {
            let node = Node::leaf(tree, std::mem::take(&mut leaf));
            below.push((number, node.digest(key, &[])));
        }
    }
    for level in 1..=level {
        let mut here: Vec<(u64, Digest)> = Vec::new();
        let mut children = Vec::new();
        let mut rest = below.into_iter().peekable();
        while let Some((number, digest)) = rest.next() {
            let pointer = Pointer {
                place: Place {
                    alias: Alias(0),
                    offset: 0,
                    length: 1,
                },
                raw_length: 1,
                digest,
            };
            children.push((nacre_core::node::slot(number), pointer));
            let parent = number >> nacre_core::place::FAN_BITS;
            let goes_on = rest
                .peek()
                .is_some_and(|(next, _)| next >> nacre_core::place::FAN_BITS == parent);
            if !goes_on {
                let node = Node::inner(tree, level, std::mem::take(&mut children));
                here.push((parent, node.digest(key, &[])));
            }
        }
        below = here;
    }
    match below.as_slice() {
        [(_, digest)] => Some(*digest),
        _ => None,
    }
}

/// Entries of a tree in a range, as far as they can be read.
pub fn readable(nodes: &Nodes, root: &Root, chunks: std::ops::Range<u64>) -> Result<Cells> {
    let mut cells = Cells::new();
    let mut lost = Vec::new();
    let mut walk = Walk::new(TreeKind::Chunks, root, chunks);
    let mut source = nodes;
    while let Some(batch) = walk.next_tolerant(&mut source, &mut lost) {
        let entries = batch.entries::<ChunkEntry>();
        cells.extend(entries.map(|(chunk, entry)| (chunk, entry.clone())));
    }
    match lost.into_iter().find(|(_, error)| !error.is_damage()) {
        Some((_, error)) => Err(error),
        None => Ok(cells),
    }
}
