//! Which bytes of which packs each chunk of each version needs, found by a walk over the whole archive.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use blake3::Hash;
use nacre::archive::{Archive, Nodes};
use nacre_core::ids::{Alias, PackName, SessionSeq};
use nacre_core::node::{ChunkEntry, RecordEntry};
use nacre_core::object_name::ObjectName;
use nacre_core::pack::PackRecord;
use nacre_core::place::{Place, Root, TreeKind};
use nacre_tests::walk_tree;

use super::model::Volumes;

type Objects = BTreeMap<ObjectName, Vec<u8>>;

/// Bytes of a pack.
pub type Spot = (PackName, Range<usize>);

/// A version of a volume.
type Version = (String, SessionSeq);

#[derive(Default)]
pub struct Needs {
    /// What the content of each chunk needs.
    chunks: BTreeMap<(Version, usize), Vec<Spot>>,
    /// The nodes of the tree of each version.
    trees: BTreeMap<Version, Vec<Spot>>,
    /// Everything else: the archive's own records.
    records: Vec<Spot>,
}

struct Packs {
    names: BTreeMap<Alias, PackName>,
    records: BTreeMap<Alias, PackRecord>,
}

impl Packs {
    fn of(archive: &Archive) -> Self {
        let homes = archive.head().homes.iter();
        let mut packs = Self {
            names: homes.map(|home| (home.alias, home.name)).collect(),
            records: BTreeMap::new(),
        };
        let visited = archive.each_pack(|alias, record| {
            packs.names.insert(alias, record.name);
            packs.records.insert(alias, record);
            Ok(())
        });
        visited.unwrap();
        packs
    }

    fn spot(&self, place: Place) -> Spot {
        let record = self.records.get(&place.alias);
        let (holder, offset) =
            record.map_or((place.alias, place.offset), |it| it.resolve(place).unwrap());
        let start = usize::try_from(offset).unwrap();
        (self.names[&holder], start..start + place.length as usize)
    }
}

impl Needs {
    /// Of an archive without damage.
    pub fn of(archive: &Archive) -> Self {
        let (nodes, packs) = (archive.nodes(), Packs::of(archive));
        let mut needs = Self::default();
        needs.records(archive, &nodes, &packs);
        let sessions = archive.sessions().unwrap();
        for volume in &archive.head().volumes {
            for (seq, _, at) in sessions.of_volume(volume.id) {
                let version = (volume.name.clone(), seq);
                let mut tree = BTreeSet::new();
                let kind = TreeKind::Chunks;
                let entries =
                    walk_tree::<ChunkEntry>(&nodes, kind, &Root::Empty, &at.root, &mut tree);
                for (chunk, entry) in entries {
                    let spots = entry.items().map(|item| packs.spot(item)).collect();
                    let chunk = usize::try_from(chunk).unwrap();
                    needs.chunks.insert((version.clone(), chunk), spots);
                }
                let tree = tree.into_iter().map(|node| packs.spot(node)).collect();
                needs.trees.insert(version, tree);
            }
        }
        needs
    }

    fn records(&mut self, archive: &Archive, nodes: &Nodes, packs: &Packs) {
        let head = archive.head();
        let mut places = BTreeSet::new();
        for (tree, root) in [
            (TreeKind::Sessions, head.sessions),
            (TreeKind::Counters, head.counters),
            (TreeKind::Heads, head.history),
            (TreeKind::Packs, head.packs),
        ] {
            let entries = walk_tree::<RecordEntry>(nodes, tree, &Root::Empty, &root, &mut places);
            for (_, entry) in entries {
                if let RecordEntry::Record(pointer) = entry {
                    places.insert(pointer.place);
                }
            }
        }
        self.records = places.into_iter().map(|place| packs.spot(place)).collect();
    }

    /// Bytes that something needs: of data, or of the index.
    pub fn spots(&self, data: bool) -> Vec<Spot> {
        let index = self.trees.values().flatten().chain(&self.records);
        let mut spots: Vec<Spot> = if data {
            self.chunks.values().flatten().cloned().collect()
        } else {
            index.cloned().collect()
        };
        spots.sort_by_key(|(name, range)| (*name, range.start));
        spots.dedup();
        spots
    }

    /// What is hit where these objects became those.
    pub fn hit(&self, volumes: &Volumes, before: &Objects, after: &Objects) -> Hit {
        let is_hit = |(name, range): &Spot| {
            let bytes = |objects: &Objects| {
                let object = objects.get(&ObjectName::Pack(*name))?;
                object.get(range.clone()).map(<[u8]>::to_vec)
            };
            bytes(before) != bytes(after)
        };
        let mut hit = Hit {
            records: self.records.iter().any(is_hit),
            ..Hit::default()
        };
        for (version, nodes) in &self.trees {
            if nodes.iter().any(is_hit) {
                hit.trees.insert(version.clone());
            }
        }
        for ((version, chunk), spots) in &self.chunks {
            if spots.iter().any(is_hit) {
                let content = volumes.get(&version.0).and_then(|all| all.get(&version.1));
                // What lies behind the end belongs to no content.
                if let Some(hash) = content.and_then(|content| content.chunks.get(*chunk)) {
                    hit.contents.insert(*hash);
                    hit.chunks.insert((version.clone(), *chunk));
                }
            }
        }
        hit
    }
}

/// What damage hits.
#[derive(Clone, Debug, Default)]
pub struct Hit {
    /// Whether the archive's own records are hit.
    pub records: bool,
    /// Versions whose trees are hit.
    pub trees: BTreeSet<Version>,
    /// Chunks whose data is hit.
    pub chunks: BTreeSet<(Version, usize)>,
    /// Their contents.
    pub contents: HashSet<Hash>,
}

impl Hit {
    /// Whether nothing that is needed is hit.
    pub fn is_nothing(&self) -> bool {
        !self.records && self.trees.is_empty() && self.chunks.is_empty()
    }

    /// Whether the index is hit: more can be gone then than the chunks that are hit themselves.
    pub fn is_index(&self) -> bool {
        self.records || !self.trees.is_empty()
    }
}
