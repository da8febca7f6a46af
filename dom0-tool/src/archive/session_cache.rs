//! The session tree as this machine has read it before (DESIGN 4.6): records of sessions that stay as they are cost the store nothing.
//!
//! A file holds a leaf of the tree and the records of its sessions that lie outside of it, and is named after the leaf's digest. What is in it is
//! looked for by the digest that it really has, keyed as the archive's, so that a file can be missing, old or altered, but never believed
//! wrongly. That it cannot be read or written costs time and is no error.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use nacre_core::bytes::{Reader, Writer};
use nacre_core::error::FormatError;
use nacre_core::ids::Digest;
use nacre_core::node::{Node, RecordEntry, record_digest};
use nacre_core::place::{MAX_RECORD, Pointer, TreeKind};
use nacre_core::tree::NodeSource;

use super::nodes::Nodes;
use super::{Error, Memory, Result};

/// How the names of the files begin.
const PREFIX: &str = "cache-sessions-";
/// A leaf has 64 sessions, of which each takes some 70 bytes for every volume.
const LIMIT: usize = 16 << 20;

/// The session tree, through the cache.
pub struct SessionCache<'a> {
    nodes: &'a Nodes,
    memory: &'a Memory,
    /// Leaves and records that the files hold, by digest.
    known: HashMap<Digest, Vec<u8>>,
    files: BTreeSet<String>,
    /// What was asked for: leaves, and records outside of them.
    leaves: BTreeMap<Digest, Leaf>,
    records: HashMap<Digest, Vec<u8>>,
}

struct Leaf {
    bytes: Vec<u8>,
    records: Vec<Digest>,
}

impl<'a> SessionCache<'a> {
    /// What is there.
    pub fn load(nodes: &'a Nodes, memory: &'a Memory) -> Self {
        let mut cache = Self {
            nodes,
            memory,
            known: HashMap::new(),
            files: BTreeSet::new(),
            leaves: BTreeMap::new(),
            records: HashMap::new(),
        };
        let names = memory.dir().list().unwrap_or_default();
        for name in names.into_iter().filter(|name| name.starts_with(PREFIX)) {
            if let Ok(Some(bytes)) = memory.dir().read(&name, LIMIT) {
                // What stands before a fault is as good as its digest.
                let _ = cache.take(&bytes);
            }
            cache.files.insert(name);
        }
        cache
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let mut reader = Reader::new("a cache of sessions", bytes);
        while reader.remaining() > 0 {
            let part = reader.blob(MAX_RECORD as usize)?;
            let digest = record_digest(self.nodes.digests(), part);
            self.known.insert(digest, part.to_vec());
        }
        Ok(())
    }

    /// Keeps what was read, and nothing else.
    pub fn save(&self) {
        let mut stale = self.files.clone();
        for (digest, leaf) in &self.leaves {
            let name = file_name(digest);
            let was_there = stale.remove(&name);
            let mut parts = leaf.records.iter().chain([digest]);
            if !was_there || !parts.all(|part| self.known.contains_key(part)) {
                // The disk may be full; the next command asks the store then.
                let _ = self.memory.dir().replace(&name, &self.encode(leaf));
            }
        }
        for name in stale {
            let _ = self.memory.dir().remove(&name);
        }
    }

    fn encode(&self, leaf: &Leaf) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.blob(&leaf.bytes);
        for record in leaf.records.iter().filter_map(|it| self.records.get(it)) {
            writer.blob(record);
        }
        writer.into_bytes()
    }

    fn known_node(&self, tree: TreeKind, pointer: &Pointer) -> Option<Arc<Node>> {
        let bytes = self.known.get(&pointer.digest)?;
        let (format, digests) = (self.nodes.format(), self.nodes.digests());
        let node = Node::open(format, digests, tree, pointer, bytes);
        node.ok().map(Arc::new)
    }

    /// Notes a leaf that is to be kept.
    fn note(&mut self, pointer: &Pointer, node: &Node) {
        if node.level() > 0 {
            return;
        }
        let entries = node.entries::<RecordEntry>().iter();
        let records = entries.filter_map(|(_, entry)| match entry {
            RecordEntry::Record(record) => Some(record.digest),
            RecordEntry::Inline(_) => None,
        });
        let leaf = Leaf {
            bytes: node.encode(),
            records: records.collect(),
        };
        self.leaves.insert(pointer.digest, leaf);
    }
}

fn file_name(digest: &Digest) -> String {
    let half = digest.0.first_chunk().copied().unwrap_or_default();
    format!("{PREFIX}{:032x}", u128::from_be_bytes(half))
}

/// Asks `fetch` for those of the pointers that `known` has nothing for. The answers are in the order of the pointers.
fn fill<T>(
    pointers: &[Pointer],
    mut known: Vec<Option<T>>,
    fetch: impl FnOnce(&[Pointer]) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let missing = pointers
        .iter()
        .zip(&known)
        .filter(|(_, known)| known.is_none());
    let missing: Vec<Pointer> = missing.map(|(pointer, _)| *pointer).collect();
    if !missing.is_empty() {
        let mut fetched = fetch(&missing)?.into_iter();
        for slot in known.iter_mut().filter(|slot| slot.is_none()) {
            *slot = fetched.next();
        }
    }
    let all: Option<Vec<T>> = known.into_iter().collect();
    all.ok_or_else(Error::internal)
}

impl NodeSource for SessionCache<'_> {
    type Error = Error;

    fn nodes(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Arc<Node>>> {
        let known = pointers
            .iter()
            .map(|it| self.known_node(tree, it))
            .collect();
        let mut source = self.nodes;
        let all = fill(pointers, known, |missing| source.nodes(tree, missing))?;
        for (pointer, node) in pointers.iter().zip(&all) {
            self.note(pointer, node);
        }
        Ok(all)
    }

    fn records(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Vec<u8>>> {
        let known = pointers
            .iter()
            .map(|pointer| self.known.get(&pointer.digest).cloned());
        let known = known.collect();
        let mut source = self.nodes;
        let all = fill(pointers, known, |missing| source.records(tree, missing))?;
        for (pointer, record) in pointers.iter().zip(&all) {
            self.records.insert(pointer.digest, record.clone());
        }
        Ok(all)
    }
}
