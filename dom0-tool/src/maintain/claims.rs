//! Several packs that claim one alias: a run that was cut short leaves packs under the aliases that the next run uses too. As long as the table of packs
//! can be read it says which one is meant. Where its record is lost, the index itself tells: what it expects at a place lies there in the right pack.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use nacre_core::ids::{Alias, ChunkId, Digest, PackName, VolumeId};
use nacre_core::node::{ChunkEntry, Node};
use nacre_core::pack::{DirectoryEntry, FoundPack, PackState, rebuild_packs};
use nacre_core::place::{Place, Pointer, Root, TreeKind};
use nacre_core::session::Session;
use nacre_core::tree::{Compare, Diff, LostNode, NodeSource, RecordTree};

use crate::archive::{Archive, Error, Nodes, Result};

/// Of several packs that claim one of the lost aliases, leaves the one that is meant: where the index needs none of them, none. An error where that cannot
/// be told; then nothing may be changed, for what is not chosen counts as left behind and may be removed.
pub fn settle(
    archive: &Archive,
    mut found: Vec<FoundPack>,
    is_lost: &dyn Fn(Alias) -> bool,
) -> Result<Vec<FoundPack>> {
    let mut claims = claims(&found, is_lost);
    let mut wrong: BTreeSet<(Alias, PackName)> = BTreeSet::new();
    for home in &archive.head().homes {
        if let Some(claims) = claims.get_mut(&home.alias) {
            claims.retain(|claim| {
                let right = claim.name == home.name;
                if !right {
                    wrong.insert((home.alias, claim.name));
                }
                right
            });
        }
    }
    claims.retain(|_, claims| claims.len() > 1);
    for (alias, claims) in &claims {
        wrong.extend(claims.iter().map(|claim| (*alias, claim.name)));
    }
    if claims.is_empty() {
        reject(&mut found, &wrong);
        return Ok(found);
    }
    let complete = sort_out(archive, &found, is_lost, &wrong, &mut claims)?;
    for (alias, claims) in claims {
        match decide(&claims, complete) {
            Decision::Right(name) => {
                wrong.remove(&(alias, name));
            }
            Decision::None => {}
            Decision::Unsure => return Err(unsure(alias, &claims)),
        }
    }
    reject(&mut found, &wrong);
    Ok(found)
}

/// Takes out the claims that the index contradicts, until it contradicts no other. Returns whether all of the index could be read then.
fn sort_out(
    archive: &Archive,
    found: &[FoundPack],
    is_lost: &dyn Fn(Alias) -> bool,
    disputed: &BTreeSet<(Alias, PackName)>,
    claims: &mut BTreeMap<Alias, Vec<Claim>>,
) -> Result<bool> {
    let nodes = archive.nodes();
    let mut loaded = BTreeSet::new();
    loop {
        let mut wrong = disputed.clone();
        for (alias, claims) in claims.iter_mut() {
            // What was moved can be found through these only.
            claims.sort_by_key(|claim| std::cmp::Reverse(claim.copies.len()));
            for claim in claims.iter_mut() {
                (claim.hits, claim.tried) = (0, false);
            }
            if let Some(first) = claims.first_mut().filter(|claim| !claim.copies.is_empty()) {
                first.tried = true;
                wrong.remove(&(*alias, first.name));
            }
        }
        let mut sure = found.to_vec();
        reject(&mut sure, &wrong);
        for alias in std::mem::take(&mut loaded) {
            nodes.packs().loaded(alias, None);
        }
        for (alias, record) in rebuild_packs(&sure) {
            if is_lost(alias) {
                nodes.packs().loaded(alias, Some(record));
                loaded.insert(alias);
            }
        }
        drop(sure);
        let mut judge = Judge {
            nodes: &nodes,
            found,
            claims: std::mem::take(claims),
            asked: BTreeSet::new(),
        };
        let complete = judge.walk(archive)?;
        *claims = judge.claims;
        let before: usize = claims.values().map(Vec::len).sum();
        for (alias, claims) in claims.iter_mut() {
            claims.retain(|claim| claim.misses == 0);
            loaded.insert(*alias);
        }
        let after: usize = claims.values().map(Vec::len).sum();
        if complete || before == after {
            for alias in loaded {
                nodes.packs().loaded(alias, None);
            }
            return Ok(complete);
        }
    }
}

/// A pack that claims an alias with its own directory, or of which another pack says that it had the alias.
struct Claim {
    name: PackName,
    /// What lies there.
    items: HashMap<(u64, u32), DirectoryEntry>,
    /// What lies there under the name of another pack.
    copies: HashSet<(PackName, u64, u32)>,
    /// How often the index expects something that lies there.
    hits: u64,
    /// How often it expects something else.
    misses: u64,
    /// Whether the index is read from it as long as nothing speaks against that.
    tried: bool,
}

fn claims(found: &[FoundPack], is_lost: &dyn Fn(Alias) -> bool) -> BTreeMap<Alias, Vec<Claim>> {
    let mut names: BTreeMap<Alias, BTreeSet<PackName>> = BTreeMap::new();
    for pack in found {
        let origins = pack.directory.origins.iter();
        let origins = origins.map(|origin| (origin.alias, origin.name));
        for (alias, name) in origins.chain([(pack.directory.alias, pack.name)]) {
            if is_lost(alias) {
                names.entry(alias).or_default().insert(name);
            }
        }
    }
    let several = names.into_iter().filter(|(_, names)| names.len() > 1);
    several
        .map(|(alias, names)| {
            let claims = names.into_iter().map(|name| claim(found, alias, name));
            (alias, claims.collect())
        })
        .collect()
}

fn claim(found: &[FoundPack], alias: Alias, name: PackName) -> Claim {
    let mut claim = Claim {
        name,
        items: HashMap::new(),
        copies: HashSet::new(),
        hits: 0,
        misses: 0,
        tried: false,
    };
    for pack in found {
        for item in &pack.directory.items {
            let origin = item
                .origin
                .and_then(|(index, offset)| Some((pack.directory.origins.get(index)?, offset)));
            if pack.name == name && pack.directory.alias == alias {
                let at = (item.offset, item.length);
                claim.items.insert(at, item.entry.clone());
                let copy = origin.map(|(from, offset)| (from.name, offset, item.length));
                claim.copies.extend(copy);
            }
            if let Some((from, offset)) = origin
                && (from.alias, from.name) == (alias, name)
            {
                let at = (offset, item.length);
                claim.items.insert(at, item.entry.clone());
            }
        }
    }
    claim
}

/// Takes out packs that are not the ones that their aliases mean, and what others say of such packs.
fn reject(found: &mut Vec<FoundPack>, wrong: &BTreeSet<(Alias, PackName)>) {
    found.retain(|pack| !wrong.contains(&(pack.directory.alias, pack.name)));
    for pack in found {
        let directory = &mut pack.directory;
        for item in &mut directory.items {
            let origin = item.origin.and_then(|(at, _)| directory.origins.get(at));
            if origin.is_some_and(|origin| wrong.contains(&(origin.alias, origin.name))) {
                item.origin = None;
            }
        }
    }
}

enum Decision {
    Right(PackName),
    None,
    Unsure,
}

/// Of claims that nothing contradicts. `complete`: whether everything was seen that the index needs.
fn decide(claims: &[Claim], complete: bool) -> Decision {
    match claims {
        [] => return Decision::None,
        [one] => return Decision::Right(one.name),
        _ if !complete => return Decision::Unsure,
        _ => {}
    }
    let is_needed = |claim: &Claim| claim.hits > 0 || !claim.copies.is_empty();
    if !claims.iter().any(is_needed) {
        return Decision::None;
    }
    // All of them hold the same as far as anything needs it. What was copied is needed under other aliases: one must hold all that the others have.
    let holds_all = |claim: &&Claim| {
        let mut others = claims.iter();
        others.all(|other| other.copies.is_subset(&claim.copies))
    };
    let best = claims.iter().find(holds_all);
    best.map_or(Decision::Unsure, |claim| Decision::Right(claim.name))
}

fn unsure(alias: Alias, claims: &[Claim]) -> Error {
    let names: Vec<String> = claims
        .iter()
        .map(|claim| nacre_core::object_name::ObjectName::Pack(claim.name).to_string())
        .collect();
    Error::refused(
        format!(
            "the record of pack {alias} is lost, and nothing tells which of {} it is: at most one of them is no leftover of an interrupted run. Nothing was \
             changed",
            names.join(" and ")
        ),
        "Copy the archive. In the copy take away all of these but one, and repair it. The right one is that with which the least is marked as lost.",
    )
}

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
struct Judge<'a> {
    nodes: &'a Nodes,
    found: &'a [FoundPack],
    claims: BTreeMap<Alias, Vec<Claim>>,
    /// Other aliases whose records were looked for.
    asked: BTreeSet<Alias>,
}

impl Judge<'_> {
    /// Looks at everything that is needed. Returns whether all of it that tells of content could be read.
    fn walk(&mut self, archive: &Archive) -> Result<bool> {
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
        if self.claims.contains_key(&place.alias) {
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
