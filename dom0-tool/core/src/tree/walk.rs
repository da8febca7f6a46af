//! Walking the entries of a tree over a range of keys.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::{NodeSource, WINDOW, fetch};
use crate::node::{LeafEntry, Node, child, prefix};
use crate::place::{MAX_LEVEL, Pointer, Root, TreeKind};

/// A walk over the leaves of one tree, in order of keys. Between batches it holds at most a window of nodes of each level.
#[derive(Clone, Debug)]
pub struct Walk {
    tree: TreeKind,
    keys: Range<u64>,
    window: usize,
    /// For each level, the nodes still to be read there, in order: prefix and pointer.
    waiting: Vec<VecDeque<(u64, Pointer)>>,
}

/// A leaf, and which keys it holds.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The keys of its slots begin at 64 times this number.
    pub prefix: u64,
    /// The leaf.
    pub node: Arc<Node>,
}

/// Some leaves of a walk, in order.
#[derive(Clone, Debug)]
pub struct WalkBatch {
    /// The leaves.
    pub leaves: Vec<Leaf>,
    keys: Range<u64>,
}

impl WalkBatch {
    /// The entries within the range that is walked, with their keys.
    pub fn entries<E: LeafEntry + 'static>(&self) -> impl Iterator<Item = (u64, &E)> {
        self.leaves.iter().flat_map(|leaf| {
            let entries = leaf.node.entries::<E>().iter();
            entries
                .map(|(slot, entry)| (child(leaf.prefix, *slot), entry))
                .filter(|(key, _)| self.keys.contains(key))
        })
    }
}

impl Walk {
    /// Walks the keys of a range.
    pub fn new(tree: TreeKind, root: &Root, keys: Range<u64>) -> Self {
        let mut waiting = vec![VecDeque::new(); usize::from(MAX_LEVEL).saturating_add(1)];
        if let Root::Node { level, pointer } = root
            && let Some(queue) = waiting.get_mut(usize::from(*level))
            && touches(0, *level, &keys)
        {
            queue.push_back((0, *pointer));
        }
        Self {
            tree,
            keys,
            window: WINDOW,
            waiting,
        }
    }

    /// Reads this many nodes at a time instead of [`WINDOW`].
    #[must_use]
    pub fn with_window(mut self, nodes: usize) -> Self {
        self.window = nodes.max(1);
        self
    }

    /// The next leaves; `None` at the end. A batch may hold no entry of the range.
    pub fn next<S: NodeSource>(&mut self, source: &mut S) -> Result<Option<WalkBatch>, S::Error> {
        loop {
            // The lowest nodes first: their keys come before those of any node waiting above.
            let lowest = (0_u8..)
                .zip(&self.waiting)
                .find(|(_, queue)| !queue.is_empty());
            let Some((level, queue)) = lowest else {
                return Ok(None);
            };
            let count = queue.len().min(self.window);
            let batch: Vec<(u64, Pointer)> = self
                .waiting
                .get_mut(usize::from(level))
                .map(|queue| queue.drain(..count).collect())
                .unwrap_or_default();
            let pointers: Vec<Pointer> = batch.iter().map(|(_, pointer)| *pointer).collect();
            let nodes = fetch(source, self.tree, level, &pointers)?;
            let leaves = batch.iter().zip(nodes);
            let Some(below) = level.checked_sub(1) else {
                let leaves = leaves
                    .map(|((prefix, _), node)| Leaf {
                        prefix: *prefix,
                        node,
                    })
                    .collect();
                return Ok(Some(WalkBatch {
                    leaves,
                    keys: self.keys.clone(),
                }));
            };
            for ((prefix, _), node) in leaves {
                let keys = &self.keys;
                let children = node
                    .children()
                    .iter()
                    .map(|(slot, pointer)| (child(*prefix, *slot), *pointer))
                    .filter(|(prefix, _)| touches(*prefix, below, keys));
                if let Some(queue) = self.waiting.get_mut(usize::from(below)) {
                    queue.extend(children);
                }
            }
        }
    }
}

/// Whether a node may hold a key of the range.
fn touches(number: u64, level: u8, keys: &Range<u64>) -> bool {
    let last = keys.end.saturating_sub(1);
    !keys.is_empty() && (prefix(keys.start, level)..=prefix(last, level)).contains(&number)
}
