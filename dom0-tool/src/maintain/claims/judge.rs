//! What the index says of the packs that claim an alias.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nacre_core::ids::{Alias, ChunkId, Digest, PackName, VolumeId};
use nacre_core::node::{ChunkEntry, Node};
use nacre_core::pack::{DirectoryEntry, FoundPack, PackState, rebuild_packs};
use nacre_core::place::{Place, Pointer, Root, TreeKind};
use nacre_core::session::Session;
use nacre_core::tree::{Compare, Diff, LostNode, NodeSource, RecordTree};

use super::claim::Claim;
use crate::archive::{Archive, Error, Nodes, Result};

/// What the index expects at a place.
enum Expected {
    Node(TreeKind, Digest),
    Record(TreeKind, Digest),
    Content(ChunkId),
}

impl Expected {
    fn is(&self, entry: &DirectoryEntry) -> bool {
        match (self, entry) {
            (Self::Node(kind, wanted), DirectoryEntry::Node { tree, digest, .. })
            | (Self::Record(kind, wanted), DirectoryEntry::Record { tree, digest, .. }) => {
                kind == tree && wanted == digest
            }
            (
                Self::Content(wanted),
                DirectoryEntry::Chunk { id, .. } | DirectoryEntry::Patch { id, .. },
            ) => wanted == id,
            _ => false,
        }
    }
}

/// Reads the index and notes whose claims hold.
pub struct Judge<'a> {
    nodes: &'a Nodes,
    found: &'a [FoundPack],
    claims: BTreeMap<Alias, Vec<Claim>>,
    /// Aliases whose records were put together from packs.
    shown: &'a BTreeSet<Alias>,
    /// Other aliases whose records were looked for.
    asked: BTreeSet<Alias>,
}

impl<'a> Judge<'a> {
    /// Reads through `nodes`, to which these aliases were shown.
    pub fn new(
        nodes: &'a Nodes,
        found: &'a [FoundPack],
        claims: BTreeMap<Alias, Vec<Claim>>,
        shown: &'a BTreeSet<Alias>,
    ) -> Self {
        Self {
            nodes,
            found,
            claims,
            shown,
            asked: BTreeSet::new(),
        }
    }

    /// The claims, with what was noted of them.
    pub fn into_claims(self) -> BTreeMap<Alias, Vec<Claim>> {
        self.claims
    }

    /// Looks at everything that is needed. Returns whether all of it that tells of content could be read.
    pub fn walk(&mut self, archive: &Archive) -> Result<bool> {
        let head = archive.head();
        let mut volumes: BTreeMap<VolumeId, Vec<Root>> = BTreeMap::new();
        let mut complete = self.records(TreeKind::Sessions, head.sessions, |bytes| {
            let Ok(session) = Session::parse(bytes) else {
                return false;
            };
            for member in &session.volumes {
                volumes.entry(member.volume).or_default().push(member.root);
            }
            true
        })?;
        // What these have lost is counted anew or done without.
        self.records(TreeKind::Counters, head.counters, |_| true)?;
        self.records(TreeKind::Heads, head.history, |_| true)?;
        for volume in &head.volumes {
            volumes.entry(volume.id).or_default().push(volume.root);
        }
        for roots in volumes.values() {
            let mut before = Root::Empty;
            for root in roots {
                complete &= self.chunks(&before, root)?;
                before = *root;
            }
        }
        Ok(complete)
    }

    fn records(
        &mut self,
        tree: TreeKind,
        root: Root,
        mut visit: impl FnMut(&[u8]) -> bool,
    ) -> Result<bool> {
        let mut lost = Vec::new();
        let mut all = true;
        RecordTree { tree, root }.each_tolerant(self, 0..u64::MAX, &mut lost, |_, bytes| {
            all &= visit(&bytes);
        });
        let complete = all && lost.is_empty();
        match lost.into_iter().find(|(_, error)| !error.is_damage()) {
            Some((_, error)) => Err(error),
            None => Ok(complete),
        }
    }

    fn chunks(&mut self, before: &Root, root: &Root) -> Result<bool> {
        let mut diff = Diff::<ChunkEntry>::new(TreeKind::Chunks, before, root, Compare::Places);
        let mut lost: Vec<LostNode<Error>> = Vec::new();
        while let Some(batch) = diff.next_tolerant(self, &mut lost) {
            for entry in batch.entries.iter().filter_map(|cell| cell.new.as_ref()) {
                match entry {
                    ChunkEntry::Chunk { id, place } => self.saw(*place, &Expected::Content(*id)),
                    ChunkEntry::Patched(patched) => {
                        self.saw(patched.base_place, &Expected::Content(patched.base));
                        self.saw(patched.place, &Expected::Content(patched.id));
                    }
                    ChunkEntry::Lost { .. } => {}
                }
            }
        }
        let complete = lost.is_empty();
        match lost.into_iter().find(|node| !node.error.is_damage()) {
            Some(node) => Err(node.error),
            None => Ok(complete),
        }
    }

    /// The index needs something at a place.
    fn saw(&mut self, place: Place, expected: &Expected) {
        let (alias, offset) = self.holder(place);
        let Some(claims) = self.claims.get_mut(&alias) else {
            return;
        };
        for claim in claims.iter_mut() {
            match claim.items.get(&(offset, place.length)) {
                Some(entry) if expected.is(entry) => claim.hits += 1,
                _ => claim.misses += 1,
            }
        }
        let best = claims.iter_mut().find(|claim| claim.misses == 0);
        let best = best.filter(|claim| !claim.tried);
        if let Some(name) = best.map(|claim| {
            claim.tried = true;
            claim.name
        }) {
            self.try_out(alias, name);
        }
    }

    /// The pack that holds a place, if another does by now.
    fn holder(&mut self, place: Place) -> (Alias, u64) {
        let here = (place.alias, place.offset);
        // Where a record was put together from packs that may be the wrong ones, what lies in them contradicts no other.
        if self.claims.contains_key(&place.alias) || self.shown.contains(&place.alias) {
            return here;
        }
        let packs = self.nodes.packs();
        if packs.record(place.alias).is_none() && self.asked.insert(place.alias) {
            // One that cannot be read is damage that others tell.
            let _ = self.nodes.pack_record(place.alias);
        }
        let moved = packs.record(place.alias);
        let moved = moved.filter(|record| record.state == PackState::Moved);
        let holder = moved.and_then(|record| record.resolve(place));
        holder.unwrap_or(here)
    }

    /// Reads the index from this pack from here on. Digests are compared, so what is read is right; and the next contradiction brings another.
    fn try_out(&self, alias: Alias, name: PackName) {
        let concerns = |pack: &&FoundPack| {
            let mut origins = pack.directory.origins.iter();
            (pack.directory.alias, pack.name) == (alias, name)
                || pack.directory.alias != alias
                    && origins.any(|origin| (origin.alias, origin.name) == (alias, name))
        };
        let packs: Vec<FoundPack> = self.found.iter().filter(concerns).cloned().collect();
        let record = rebuild_packs(&packs).remove(&alias);
        self.nodes.packs().loaded(alias, record);
    }
}

impl NodeSource for Judge<'_> {
    type Error = Error;

    fn nodes(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Arc<Node>>> {
        self.each_node(tree, pointers).into_iter().collect()
    }

    fn each_node(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Vec<Result<Arc<Node>>> {
        for pointer in pointers {
            self.saw(pointer.place, &Expected::Node(tree, pointer.digest));
        }
        let mut source = self.nodes;
        source.each_node(tree, pointers)
    }

    fn records(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Vec<u8>>> {
        for pointer in pointers {
            self.saw(pointer.place, &Expected::Record(tree, pointer.digest));
        }
        let mut source = self.nodes;
        source.records(tree, pointers)
    }
}
