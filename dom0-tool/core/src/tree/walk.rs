//! Walking the entries of a tree over a range of keys.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::{NodeSource, WINDOW, fetch};
use crate::error::FormatError;
use crate::node::{LeafEntry, Node, child, first_key, prefix};
use crate::place::{MAX_LEVEL, Pointer, Root, TreeKind};

/// A walk over the leaves of one tree, in order of keys. Between batches it holds at most a window of nodes of each level.
#[derive(Clone, Debug)]
pub struct Walk {
    tree: TreeKind,
    keys: Range<u64>,
    /// If given, only leaves that touch one of these ranges are read. Sorted and apart.
    only: Option<Arc<[Range<u64>]>>,
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
            only: None,
            window: WINDOW,
            waiting,
        }
    }

    /// Walks only the leaves that hold keys of some ranges, which are sorted and apart. Such a leaf is handed out whole: its other entries are
    /// for the caller to leave out.
    pub fn within(tree: TreeKind, root: &Root, ranges: Arc<[Range<u64>]>) -> Self {
        let start = ranges.first().map_or(0, |range| range.start);
        let end = ranges.last().map_or(0, |range| range.end);
        Self {
            only: Some(ranges),
            ..Self::new(tree, root, start..end)
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
        while let Some((level, batch)) = self.take() {
            let pointers: Vec<Pointer> = batch.iter().map(|(_, pointer)| *pointer).collect();
            let nodes = fetch(source, self.tree, level, &pointers)?;
            let read = batch.iter().map(|(prefix, _)| *prefix).zip(nodes);
            if let Some(found) = self.accept(level, read) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The next leaves, as far as they can be read: keys below nodes that cannot be are added to `lost`, and the walk goes on behind them.
    pub fn next_tolerant<S: NodeSource>(
        &mut self,
        source: &mut S,
        lost: &mut Vec<(Range<u64>, S::Error)>,
    ) -> Option<WalkBatch> {
        while let Some((level, batch)) = self.take() {
            let pointers: Vec<Pointer> = batch.iter().map(|(_, pointer)| *pointer).collect();
            let nodes = source.each_node(self.tree, &pointers);
            let mut read = Vec::with_capacity(batch.len());
            for ((prefix, _), node) in batch.iter().zip(nodes) {
                let wrong_level = || FormatError::Mismatch("an index node").into();
                match node {
                    Ok(node) if node.level() == level => read.push((*prefix, node)),
                    Ok(_) => lost.push((self.below(*prefix, level), wrong_level())),
                    Err(error) => lost.push((self.below(*prefix, level), error)),
                }
            }
            if let Some(found) = self.accept(level, read) {
                return Some(found);
            }
        }
        None
    }

    /// The next nodes to read, all of one level.
    fn take(&mut self) -> Option<(u8, Vec<(u64, Pointer)>)> {
        // The lowest nodes first: their keys come before those of any node waiting above.
        let (level, queue) = (0_u8..)
            .zip(&mut self.waiting)
            .find(|(_, queue)| !queue.is_empty())?;
        let count = queue.len().min(self.window);
        Some((level, queue.drain(..count).collect()))
    }

    /// Takes nodes that were read: leaves are handed out, the children of others wait.
    fn accept(
        &mut self,
        level: u8,
        nodes: impl IntoIterator<Item = (u64, Arc<Node>)>,
    ) -> Option<WalkBatch> {
        let Some(below) = level.checked_sub(1) else {
            let leaf = |(prefix, node)| Leaf { prefix, node };
            return Some(WalkBatch {
                leaves: nodes.into_iter().map(leaf).collect(),
                keys: self.keys.clone(),
            });
        };
        for (prefix, node) in nodes {
            let (keys, only) = (&self.keys, self.only.as_deref());
            let children = node
                .children()
                .iter()
                .map(|(slot, pointer)| (child(prefix, *slot), *pointer))
                .filter(|(prefix, _)| {
                    touches(*prefix, below, keys)
                        && only.is_none_or(|ranges| touches_any(*prefix, below, ranges))
                });
            if let Some(queue) = self.waiting.get_mut(usize::from(below)) {
                queue.extend(children);
            }
        }
        None
    }

    /// The keys of the range that lie below a node.
    fn below(&self, number: u64, level: u8) -> Range<u64> {
        let first = first_key(number, level).max(self.keys.start);
        let next = number.checked_add(1).map(|next| first_key(next, level));
        // Behind the last node of a level there are no keys left.
        let end = next.filter(|next| *next > first).unwrap_or(self.keys.end);
        first..end.min(self.keys.end)
    }
}

/// Whether a node may hold a key of the range.
pub(super) fn touches(number: u64, level: u8, keys: &Range<u64>) -> bool {
    let last = keys.end.saturating_sub(1);
    !keys.is_empty() && (prefix(keys.start, level)..=prefix(last, level)).contains(&number)
}

/// Whether a node may hold a key of one of the ranges, which are sorted and apart.
fn touches_any(number: u64, level: u8, ranges: &[Range<u64>]) -> bool {
    // The first range that does not end before the node's keys; if that one begins behind them, all do.
    let at = ranges.partition_point(|range| prefix(range.end.saturating_sub(1), level) < number);
    ranges
        .get(at)
        .is_some_and(|range| touches(number, level, range))
}
