//! Comparing two trees, reading only where they differ.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::walk::touches;
use super::{NodeSource, WINDOW, fetch};
use crate::error::FormatError;
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

/// A node of one of the two trees that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostNode<X> {
    /// Whether it is the new tree's; otherwise the old one's.
    pub new: bool,
    /// The keys below it.
    pub keys: Range<u64>,
    /// Its level.
    pub level: u8,
    /// What its parent says of it.
    pub pointer: Pointer,
    /// Why it cannot be read.
    pub error: X,
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
    keys: Range<u64>,
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
            keys: 0..u64::MAX,
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

    /// Compares only the leaves that hold keys of a range; such a leaf is compared whole. Nodes elsewhere are not told of.
    #[must_use]
    pub fn within(mut self, keys: Range<u64>) -> Self {
        self.keys = keys;
        self
    }

    fn enqueue(&mut self, level: u8, pair: Pair) {
        let same = match (&pair.old, &pair.new, self.compare) {
            (Some((one, old)), Some((two, new)), Compare::Content) => {
                one == two && old.digest == new.digest
            }
            (old, new, _) => old == new,
        };
        if !same
            && touches(pair.number, level, &self.keys)
            && let Some(queue) = self.waiting.get_mut(usize::from(level))
        {
            queue.push_back(pair);
        }
    }

    /// The next differences; `None` at the end. A batch may hold nodes only.
    pub fn next<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<DiffBatch<E>>, S::Error> {
        while let Some((level, pairs)) = self.take() {
            let read = self.read(source, level, &pairs)?;
            if let Some(batch) = self.accept(level, &pairs, &read) {
                return Ok(Some(batch));
            }
        }
        Ok(self.last())
    }

    /// The next differences, as far as the trees can be read: nodes that cannot be are added to `lost`. Below such a node of the new tree nothing is
    /// told; below one of the old tree everything that the new one holds is told as a difference. Nodes that both trees share are not read
    /// here either, so what is lost in both is not told.
    pub fn next_tolerant<S: NodeSource>(
        &mut self,
        source: &mut S,
        lost: &mut Vec<LostNode<S::Error>>,
    ) -> Option<DiffBatch<E>> {
        while let Some((level, mut pairs)) = self.take() {
            let read = self.read_tolerant(source, level, &mut pairs, lost);
            if let Some(batch) = self.accept(level, &pairs, &read) {
                return Some(batch);
            }
        }
        self.last()
    }

    /// The next pairs to read, all of one level, the lowest first.
    fn take(&mut self) -> Option<(u8, Vec<Pair>)> {
        let (level, queue) = (0_u8..)
            .zip(&mut self.waiting)
            .find(|(_, queue)| !queue.is_empty())?;
        let count = queue.len().min(self.window);
        Some((level, queue.drain(..count).collect()))
    }

    /// Takes nodes that were read: leaves are compared, the children of others wait.
    fn accept(&mut self, level: u8, pairs: &[Pair], read: &[Read]) -> Option<DiffBatch<E>> {
        if level == 0 {
            let mut entries = Vec::new();
            for (pair, (old, new)) in pairs.iter().zip(read) {
                self.compare_leaves(pair.number, old.as_deref(), new.as_deref(), &mut entries);
            }
            return Some(self.batch(entries));
        }
        for (pair, (old, new)) in pairs.iter().zip(read) {
            self.descend(level, pair, old.as_deref(), new.as_deref());
        }
        None
    }

    /// Nodes that no batch has told of yet.
    fn last(&mut self) -> Option<DiffBatch<E>> {
        let batch = self.batch(Vec::new());
        let empty = batch.old_nodes.is_empty() && batch.new_nodes.is_empty();
        (!empty).then_some(batch)
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

    /// The same, but nodes that cannot be read are taken out of their pairs.
    fn read_tolerant<S: NodeSource>(
        &mut self,
        source: &mut S,
        level: u8,
        pairs: &mut [Pair],
        lost: &mut Vec<LostNode<S::Error>>,
    ) -> Vec<Read> {
        let here = |side: &Side| side.filter(|(at, _)| *at == level).map(|(_, node)| node);
        let sides = pairs
            .iter()
            .flat_map(|pair| [here(&pair.old), here(&pair.new)]);
        let pointers: Vec<Pointer> = sides.flatten().collect();
        let mut nodes = source.each_node(self.tree, &pointers).into_iter();
        let mut read = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let number = pair.number;
            let mut one = |side: &mut Side, new: bool| {
                let pointer = here(side)?;
                let wrong = || FormatError::Mismatch("an index node").into();
                let node = nodes.next().unwrap_or_else(|| Err(wrong()));
                match node {
                    Ok(node) if node.level() == level => return Some(node),
                    Ok(_) => lost.push(lost_node(new, number, level, pointer, wrong())),
                    Err(error) => lost.push(lost_node(new, number, level, pointer, error)),
                }
                *side = None;
                None
            };
            let (had_old, had_new) = (here(&pair.old), here(&pair.new));
            let (old, new) = (one(&mut pair.old, false), one(&mut pair.new, true));
            if let Some(pointer) = had_old {
                self.nodes.0.push(pointer.place);
                self.firsts.push(first_key(number, level));
            }
            self.nodes.1.extend(had_new.map(|pointer| pointer.place));
            read.push((old, new));
        }
        read
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

fn lost_node<X>(new: bool, number: u64, level: u8, pointer: Pointer, error: X) -> LostNode<X> {
    let next = number.checked_add(1).map(|next| first_key(next, level));
    let first = first_key(number, level);
    LostNode {
        new,
        // Behind the last node of a level there are no keys left.
        keys: first..next.filter(|next| *next > first).unwrap_or(u64::MAX),
        level,
        pointer,
        error,
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
