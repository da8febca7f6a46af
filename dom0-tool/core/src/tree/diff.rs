//! Comparing two trees, reading only where they differ.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{NodeSource, WINDOW, fetch};
use crate::node::{LeafEntry, Node, child, first_key};
use crate::place::{MAX_LEVEL, Place, Pointer, Root, TreeKind};

/// What counts as a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Other content. Equal digests are skipped, wherever they lie.
    Content,
    /// Other items: the same content elsewhere is a difference too. What lies at the same place is skipped.
    Places,
}

/// An entry that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<E> {
    /// Its key.
    pub key: u64,
    /// What the old tree holds; `None` is zero or absent.
    pub old: Option<E>,
    /// What the new tree holds.
    pub new: Option<E>,
}

/// Some differences, in order of keys, and the nodes that were read for them.
#[derive(Clone, Debug)]
pub struct DiffBatch<E> {
    /// The entries that differ.
    pub entries: Vec<Difference<E>>,
    /// Nodes of the old tree that the new one does not have at the same key ([`Compare::Places`]: does not have at all).
    pub old_nodes: Vec<Place>,
    /// The first key below each of these nodes.
    pub old_firsts: Vec<u64>,
    /// Nodes of the new tree that the old one does not have.
    pub new_nodes: Vec<Place>,
}

/// The node of one tree over some keys. It may be of a lower level than asked for: that tree is lower, and this is its root.
type Side = Option<(u8, Pointer)>;

/// The nodes of a pair, old and new.
type Read = (Option<Arc<Node>>, Option<Arc<Node>>);

#[derive(Clone, Debug)]
struct Pair {
    number: u64,
    old: Side,
    new: Side,
}

/// A comparison of two trees of the same kind.
#[derive(Clone, Debug)]
pub struct Diff<E> {
    tree: TreeKind,
    compare: Compare,
    window: usize,
    waiting: Vec<VecDeque<Pair>>,
    nodes: (Vec<Place>, Vec<Place>),
    firsts: Vec<u64>,
    kind: std::marker::PhantomData<E>,
}

impl<E: LeafEntry + 'static> Diff<E> {
    /// Compares an old tree with a new one.
    pub fn new(tree: TreeKind, old: &Root, new: &Root, compare: Compare) -> Self {
        let mut diff = Self {
            tree,
            compare,
            window: WINDOW,
            waiting: vec![VecDeque::new(); usize::from(MAX_LEVEL).saturating_add(1)],
            nodes: (Vec::new(), Vec::new()),
            firsts: Vec::new(),
            kind: std::marker::PhantomData,
        };
        let side = |root: &Root| match root {
            Root::Empty => None,
            Root::Node { level, pointer } => Some((*level, *pointer)),
        };
        let (old, new) = (side(old), side(new));
        let level = old.iter().chain(&new).map(|(level, _)| *level).max();
        if let Some(level) = level {
            let number = 0;
            diff.enqueue(level, Pair { number, old, new });
        }
        diff
    }

    /// Reads this many pairs of nodes at a time instead of [`WINDOW`].
    #[must_use]
    pub fn with_window(mut self, pairs: usize) -> Self {
        self.window = pairs.max(1);
        self
    }

    fn enqueue(&mut self, level: u8, pair: Pair) {
        let same = match (&pair.old, &pair.new, self.compare) {
            (Some((one, old)), Some((two, new)), Compare::Content) => {
                one == two && old.digest == new.digest
            }
            (old, new, _) => old == new,
        };
        if !same && let Some(queue) = self.waiting.get_mut(usize::from(level)) {
            queue.push_back(pair);
        }
    }

    /// The next differences; `None` at the end. A batch may hold nodes only.
    pub fn next<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<DiffBatch<E>>, S::Error> {
        loop {
            let lowest = (0_u8..)
                .zip(&self.waiting)
                .find(|(_, queue)| !queue.is_empty());
            let Some((level, queue)) = lowest else {
                let batch = self.batch(Vec::new());
                let empty = batch.old_nodes.is_empty() && batch.new_nodes.is_empty();
                return Ok((!empty).then_some(batch));
            };
            let count = queue.len().min(self.window);
            let pairs: Vec<Pair> = self
                .waiting
                .get_mut(usize::from(level))
                .map(|queue| queue.drain(..count).collect())
                .unwrap_or_default();
            let read = self.read(source, level, &pairs)?;
            if level == 0 {
                let mut entries = Vec::new();
                for (pair, (old, new)) in pairs.iter().zip(&read) {
                    self.compare_leaves(pair.number, old.as_deref(), new.as_deref(), &mut entries);
                }
                return Ok(Some(self.batch(entries)));
            }
            for (pair, (old, new)) in pairs.iter().zip(&read) {
                self.descend(level, pair, old.as_deref(), new.as_deref());
            }
        }
    }

    fn batch(&mut self, entries: Vec<Difference<E>>) -> DiffBatch<E> {
        let (old_nodes, new_nodes) = std::mem::take(&mut self.nodes);
        DiffBatch {
            entries,
            old_nodes,
            old_firsts: std::mem::take(&mut self.firsts),
            new_nodes,
        }
    }

    /// Reads the nodes of all pairs in one batch.
    fn read<S: NodeSource>(
        &mut self,
        source: &mut S,
        level: u8,
        pairs: &[Pair],
    ) -> Result<Vec<Read>, S::Error> {
        let here = |side: &Side| side.filter(|(at, _)| *at == level).map(|(_, node)| node);
        let old: Vec<Option<Pointer>> = pairs.iter().map(|pair| here(&pair.old)).collect();
        let new: Vec<Option<Pointer>> = pairs.iter().map(|pair| here(&pair.new)).collect();
        let pointers: Vec<Pointer> = old.iter().chain(&new).flatten().copied().collect();
        let mut nodes = fetch(source, self.tree, level, &pointers)?.into_iter();
        let read = pairs.iter().zip(&old).filter(|(_, node)| node.is_some());
        self.firsts
            .extend(read.map(|(pair, _)| first_key(pair.number, level)));
        let mut take = |wanted: &[Option<Pointer>], places: &mut Vec<Place>| {
            places.extend(wanted.iter().flatten().map(|pointer| pointer.place));
            let nodes = wanted
                .iter()
                .map(|pointer| pointer.and_then(|_| nodes.next()));
            nodes.collect::<Vec<_>>()
        };
        let old = take(&old, &mut self.nodes.0);
        let new = take(&new, &mut self.nodes.1);
        Ok(old.into_iter().zip(new).collect())
    }

    fn descend(&mut self, level: u8, pair: &Pair, old: Option<&Node>, new: Option<&Node>) {
        let below = level.saturating_sub(1);
        let old = sides(below, &pair.old, old);
        let new = sides(below, &pair.new, new);
        join(&old, &new, |slot, old, new| {
            let pair = Pair {
                number: child(pair.number, slot),
                old: old.copied(),
                new: new.copied(),
            };
            self.enqueue(below, pair);
        });
    }

    fn compare_leaves(
        &self,
        number: u64,
        old: Option<&Node>,
        new: Option<&Node>,
        entries: &mut Vec<Difference<E>>,
    ) {
        let (old, new) = (old.map(Node::entries::<E>), new.map(Node::entries::<E>));
        join(
            old.unwrap_or_default(),
            new.unwrap_or_default(),
            |slot, old, new| {
                let same = match (old, new, self.compare) {
                    (Some(old), Some(new), Compare::Content) => old.same_content(new),
                    (old, new, _) => old == new,
                };
                if !same {
                    entries.push(Difference {
                        key: child(number, slot),
                        old: old.cloned(),
                        new: new.cloned(),
                    });
                }
            },
        );
    }
}

/// What one tree has below a pair, slot by slot.
fn sides(below: u8, side: &Side, node: Option<&Node>) -> Vec<(u8, (u8, Pointer))> {
    match (node, side) {
        (Some(node), _) => {
            let children = node.children().iter();
            children
                .map(|(slot, child)| (*slot, (below, *child)))
                .collect()
        }
        // The root of a lower tree waits for its level.
        (None, Some(side)) => vec![(0, *side)],
        (None, None) => Vec::new(),
    }
}

/// Visits the slots of two nodes in order.
fn join<T>(old: &[(u8, T)], new: &[(u8, T)], mut visit: impl FnMut(u8, Option<&T>, Option<&T>)) {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let slot = match (old.peek(), new.peek()) {
            (Some((one, _)), Some((two, _))) => *one.min(two),
            (Some((slot, _)), None) | (None, Some((slot, _))) => *slot,
            (None, None) => return,
        };
        let mine = old.next_if(|(at, _)| *at == slot).map(|(_, value)| value);
        let other = new.next_if(|(at, _)| *at == slot).map(|(_, value)| value);
        visit(slot, mine, other);
    }
}
