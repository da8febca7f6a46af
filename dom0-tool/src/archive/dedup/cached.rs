//! Nodes of chunk trees that were read a moment ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nacre_core::node::Node;
use nacre_core::place::{Place, Pointer, TreeKind};
use nacre_core::tree::NodeSource;

use crate::archive::{Error, Nodes, Result};

/// Nodes in each of two generations. A node takes some 5 KiB, so the whole takes some 40 MiB at most.
const GENERATION: usize = 4096;

/// Opened nodes of chunk trees, by place. A place is never written twice, so what is here is never stale.
#[derive(Default)]
pub struct NodeCache {
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Place, Arc<Node>>,
    old: HashMap<Place, Arc<Node>>,
}

impl Generations {
    fn get(&mut self, place: &Place) -> Option<Arc<Node>> {
        if let Some(node) = self.young.get(place) {
            return Some(Arc::clone(node));
        }
        let node = self.old.remove(place)?;
        self.put(*place, Arc::clone(&node));
        Some(node)
    }

    fn put(&mut self, place: Place, node: Arc<Node>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, node);
    }
}

/// The index through the cache.
pub struct Cached<'a> {
    /// The index.
    pub nodes: &'a Nodes,
    /// The cache.
    pub cache: &'a NodeCache,
}

impl NodeCache {
    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeSource for Cached<'_> {
    type Error = Error;

    fn nodes(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Arc<Node>>> {
        self.each_node(tree, pointers).into_iter().collect()
    }

    fn each_node(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Vec<Result<Arc<Node>>> {
        // A node is looked for under its place alone, and was checked against a pointer when it came in: one to the same place says the same.
        let known: Vec<Option<Arc<Node>>> = {
            let mut cache = self.cache.lock();
            let here = |pointer: &Pointer| cache.get(&pointer.place);
            pointers.iter().map(here).collect()
        };
        let asked: Vec<Pointer> = pointers
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(pointer, _)| *pointer)
            .collect();
        let mut fetched = if asked.is_empty() {
            Vec::new().into_iter()
        } else {
            let mut source = self.nodes;
            source.each_node(tree, &asked).into_iter()
        };
        let mut cache = self.cache.lock();
        let mut take = |(pointer, known): (&Pointer, Option<Arc<Node>>)| match known {
            Some(node) => Ok(node),
            None => {
                let node = fetched.next().unwrap_or_else(|| Err(Error::internal()))?;
                cache.put(pointer.place, Arc::clone(&node));
                Ok(node)
            }
        };
        pointers.iter().zip(known).map(&mut take).collect()
    }

    fn records(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Vec<u8>>> {
        let mut source = self.nodes;
        source.records(tree, pointers)
    }
}
