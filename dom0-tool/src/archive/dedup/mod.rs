//! Finding a chunk that the archive has already, within the dedup domain of its volume (DESIGN 4.5 and 4.6).
//!
//! The table in memory gives hints: an id like this was seen in that volume's session at that chunk number. A hint counts after the full id was
//! read there from an authenticated node of a session that is in the archive now. So neither a stale or altered file of dom0 nor anything that
//! happened to the archive meanwhile leads to a wrong backup, only to a chunk that is stored twice. What was found damaged has no
//! content to share and is not taken; a chunk that is a patch over another one is not either.

mod cached;
mod file;
mod roots;
mod table;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use nacre_core::ids::{ChunkId, DomainNumber, SessionSeq, VolumeId};
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Place, Root, TreeKind};
use nacre_core::session::Session;
use nacre_core::tree::{Compare, Diff, lookup};

use super::{Archive, Nodes, Result};
use cached::{Cached, NodeCache};
use file::Kept;
use roots::Roots;
use table::{Part, Seen};

/// What a run needs to find chunks. Shared by its threads.
pub struct Dedup {
    nodes: Arc<Nodes>,
    cache: NodeCache,
    index: RwLock<Index>,
    /// What was stored or found since the last commit.
    fresh: Mutex<Fresh>,
}

struct Index {
    kept: Kept,
    slots: HashMap<(VolumeId, SessionSeq), u32>,
    roots: Roots,
    domains: HashMap<VolumeId, DomainNumber>,
    /// Domains whose volumes are in the index up to their newest sessions.
    complete: HashSet<DomainNumber>,
    changed: bool,
}

#[derive(Default)]
struct Fresh {
    chunks: HashMap<(DomainNumber, ChunkId), Held>,
    shared: HashSet<Place>,
}

/// A chunk that the next commit will have.
#[derive(Clone, Copy)]
struct Held {
    place: Place,
    volume: VolumeId,
    chunk: u64,
}

impl Dedup {
    /// What dom0 keeps of the index. It serves a domain after [`prepare`](Self::prepare).
    pub fn open(archive: &Archive) -> Result<Self> {
        let kept = file::load(archive.memory().dir(), archive.id());
        Self::with(archive, kept.unwrap_or_default())
    }

    /// An empty index.
    pub fn anew(archive: &Archive) -> Result<Self> {
        Self::with(archive, Kept::default())
    }

    fn with(archive: &Archive, kept: Kept) -> Result<Self> {
        let slots = (0..).zip(&kept.slots).map(|(at, slot)| (*slot, at));
        let index = Index {
            slots: slots.collect(),
            roots: Roots::new(&archive.sessions()?),
            domains: HashMap::new(),
            complete: HashSet::new(),
            changed: false,
            kept,
        };
        Ok(Self {
            nodes: archive.nodes(),
            cache: NodeCache::default(),
            index: RwLock::new(index),
            fresh: Mutex::default(),
        })
    }

    /// Makes the index serve a volume's domain: where it is not up to what the archive has, the trees of the domain's volumes are walked.
    pub fn prepare(&self, archive: &Archive, volume: VolumeId) -> Result<()> {
        let mut index = self.write();
        let volumes = archive.head().volumes.iter();
        index.domains = volumes.map(|known| (known.id, known.domain)).collect();
        let Some(domain) = index.domains.get(&volume).copied() else {
            return Ok(());
        };
        if !index.complete.insert(domain) {
            return Ok(());
        }
        let of_domain = index.domains.iter().filter(|(_, of)| **of == domain);
        let mut members: Vec<VolumeId> = of_domain.map(|(member, _)| *member).collect();
        members.sort_unstable();
        for member in members {
            index.take_volume(&self.nodes, member)?;
        }
        Ok(())
    }

    /// Where the archive has a chunk with this id, stored whole, in the domain of a volume that is to have it at a chunk number. The
    /// caller must enter what it is told. What cannot be read is not found.
    pub fn find(&self, volume: VolumeId, chunk: u64, id: &ChunkId) -> Option<Place> {
        let (domain, hint) = {
            let index = self.read();
            let domain = *index.domains.get(&volume)?;
            (domain, index.hint(domain, id))
        };
        let known = self
            .fresh()
            .chunks
            .get(&(domain, *id))
            .map(|held| held.place);
        let place = match (known, hint) {
            (Some(place), _) => place,
            (None, Some((root, number))) => self.follow(&root, number, id)?,
            (None, None) => return None,
        };
        let mut fresh = self.fresh();
        fresh.shared.insert(place);
        let held = Held {
            place,
            volume,
            chunk,
        };
        fresh.chunks.entry((domain, *id)).or_insert(held);
        Some(place)
    }

    /// Where the domain of a volume has a chunk with this id, by the index and the trees alone.
    pub fn place_of(&self, volume: VolumeId, id: &ChunkId) -> Option<Place> {
        let (root, number) = {
            let index = self.read();
            let domain = *index.domains.get(&volume)?;
            index.hint(domain, id)?
        };
        self.follow(&root, number, id)
    }

    /// Looks into a tree whether a hint is right.
    fn follow(&self, root: &Root, chunk: u64, wanted: &ChunkId) -> Option<Place> {
        let mut source = Cached {
            nodes: &self.nodes,
            cache: &self.cache,
        };
        // A node that cannot be read is for `arch-check` to tell: here it only means that nothing was found.
        let found = lookup::<ChunkEntry, _>(&mut source, TreeKind::Chunks, root, &[chunk]).ok()?;
        match found.entries.into_iter().next().flatten()? {
            ChunkEntry::Chunk { id, place } if id == *wanted => Some(place),
            _ => None,
        }
    }

    /// A chunk was stored.
    pub fn stored(&self, volume: VolumeId, chunk: u64, id: ChunkId, place: Place) {
        let Some(domain) = self.read().domains.get(&volume).copied() else {
            return;
        };
        let held = Held {
            place,
            volume,
            chunk,
        };
        self.fresh().chunks.entry((domain, id)).or_insert(held);
    }

    /// The items that were found since the last commit: more than one chunk may need them.
    pub fn shared(&self) -> Vec<Place> {
        self.fresh().shared.iter().copied().collect()
    }

    /// A commit is in the archive: it has all that was stored and found before, and changed these sessions; `None`: the session is gone.
    pub fn committed(&self, sessions: &BTreeMap<SessionSeq, Option<Session>>) {
        let fresh = std::mem::take(&mut *self.fresh());
        let mut index = self.write();
        index.roots.advance(sessions);
        for ((_, id), held) in fresh.chunks {
            if let Some((seq, _)) = index.roots.newest(held.volume) {
                index.enter((held.volume, seq), held.chunk, &id);
            }
        }
        let volumes = sessions.values().flatten().flat_map(|s| &s.volumes);
        let volumes: HashSet<VolumeId> = volumes.map(|at| at.volume).collect();
        for volume in volumes {
            // Of other domains nothing was looked at: their volumes are walked when they are needed.
            if index.is_complete(volume) {
                index.is_done(volume);
            }
        }
    }

    /// Whether the index has no more room.
    pub fn is_full(&self) -> bool {
        self.read().kept.table.is_full()
    }

    /// Keeps the index in dom0 for the next run.
    pub fn save(&self, archive: &Archive) -> Result<()> {
        let mut index = self.write();
        if !index.changed && index.kept.head == archive.head_hash() {
            return Ok(());
        }
        index.kept.head = archive.head_hash();
        file::save(archive.memory().dir(), archive.id(), &mut index.kept)
    }

    fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// In which tree, at which chunk number, a chunk may be.
    fn hint(&self, domain: DomainNumber, id: &ChunkId) -> Option<(Root, u64)> {
        let seen = self.kept.table.get(Part::of(id))?;
        let (volume, seq) = self.kept.slots.get(seen.slot as usize)?;
        let (_, root) = self.roots.from(*volume, *seq)?;
        let same = self.domains.get(volume) == Some(&domain);
        same.then(|| (root, u64::from(seen.chunk)))
    }

    fn is_complete(&self, volume: VolumeId) -> bool {
        let domain = self.domains.get(&volume);
        domain.is_some_and(|domain| self.complete.contains(domain))
    }

    /// Brings a volume up to its newest session: walks from session to session only where they differ.
    fn take_volume(&mut self, nodes: &Nodes, volume: VolumeId) -> Result<()> {
        let trees: Vec<(SessionSeq, Root)> = self.roots.of_volume(volume).collect();
        let done = self.kept.done.iter().find(|done| done.0 == volume);
        let done = done.map(|(_, seq, root)| (*seq, *root));
        let known = done.and_then(|done| trees.iter().position(|tree| *tree == done));
        let (mut before, next) = match known {
            Some(at) => (trees.get(at).map_or(Root::Empty, |tree| tree.1), at + 1),
            None => (Root::Empty, 0),
        };
        let mut source = nodes;
        for (seq, root) in trees.iter().skip(next) {
            let mut diff =
                Diff::<ChunkEntry>::new(TreeKind::Chunks, &before, root, Compare::Places);
            while let Some(batch) = diff.next(&mut source)? {
                for cell in batch.entries {
                    if let Some(ChunkEntry::Chunk { id, .. }) = cell.new {
                        self.enter((volume, *seq), cell.key, &id);
                    }
                }
            }
            before = *root;
        }
        if next < trees.len() {
            self.is_done(volume);
        }
        Ok(())
    }

    fn is_done(&mut self, volume: VolumeId) {
        self.changed = true;
        self.kept.done.retain(|done| done.0 != volume);
        if let Some((seq, root)) = self.roots.newest(volume) {
            self.kept.done.push((volume, seq, root));
        }
    }

    fn enter(&mut self, at: (VolumeId, SessionSeq), chunk: u64, id: &ChunkId) {
        // Chunk numbers above are those of volumes of more than 256 TiB.
        let (Some(slot), Ok(chunk)) = (self.slot(at), u32::try_from(chunk)) else {
            return;
        };
        let (part, seen) = (Part::of(id), Seen { slot, chunk });
        if self.kept.table.put(part, seen) {
            let total = self.kept.table.len();
            self.kept.log.push(part, seen, total);
            self.changed = true;
        }
    }

    fn slot(&mut self, at: (VolumeId, SessionSeq)) -> Option<u32> {
        if let Some(slot) = self.slots.get(&at) {
            return Some(*slot);
        }
        let slot = u32::try_from(self.kept.slots.len()).ok()?;
        self.kept.slots.push(at);
        self.slots.insert(at, slot);
        Some(slot)
    }
}
