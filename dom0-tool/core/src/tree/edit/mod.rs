//! Editing a tree copy-on-write with a sorted stream of changes.

mod old;
mod raise;

use super::{NodeItem, NodeSink, NodeSource, WINDOW, fetch};
use crate::error::FormatError;
use crate::hash::DigestKey;
use crate::ids::{SessionSeq, VolumeId};
use crate::node::{LeafEntry, Node, Slots, first_key, prefix, slot};
use crate::place::{Place, Pointer, Root, TreeKind};
use old::OldTree;

/// Which tree is edited, for what.
#[derive(Clone, Copy, Debug)]
pub struct EditTarget<'a> {
    /// The kind of tree.
    pub tree: TreeKind,
    /// The volume, for chunk trees; otherwise 0.
    pub volume: VolumeId,
    /// The session that is being written; 0 if none.
    pub session: SessionSeq,
    /// Key of the digests.
    pub key: &'a DigestKey,
}

impl EditTarget<'_> {
    /// Encodes and stores a node.
    fn put<K: NodeSink>(
        &self,
        sink: &mut K,
        number: u64,
        node: &Node,
    ) -> Result<Pointer, K::Error> {
        let bytes = node.encode();
        let raw_length =
            u32::try_from(bytes.len()).map_err(|_| FormatError::OutOfRange("an index node"))?;
        let digest = node.digest(self.key, &bytes);
        let place = sink.put_node(NodeItem {
            tree: self.tree,
            level: node.level(),
            volume: self.volume,
            prefix: number,
            session: self.session,
            digest,
            bytes: &bytes,
        })?;
        Ok(Pointer {
            place,
            raw_length,
            digest,
        })
    }
}

/// Encodes and stores a node for others than an edit.
pub(super) fn put<K: NodeSink>(
    target: &EditTarget<'_>,
    sink: &mut K,
    number: u64,
    node: &Node,
) -> Result<Pointer, K::Error> {
    target.put(sink, number, node)
}

/// What an edit made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// The new tree.
    pub root: Root,
    /// Nodes of the old tree that the new one does not have, and records of entries that it replaced or removed. What lay wholly at or
    /// beyond `cut` was not read and is not listed.
    pub dropped: Vec<Place>,
}

/// A node of the new tree where the old one had another or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum New {
    /// It lies here.
    At(Pointer),
    /// At the left edge of the tree: its only content is this node of a lower level. It is written only if the tree turns out higher.
    Below {
        level: u8,
        pointer: Pointer,
        /// Whether it was written by this edit, and so cannot be read yet.
        fresh: bool,
    },
}

/// An edit in two phases, so that over many volumes all leaves can be written first and then the inner nodes level by level (FORMAT 9):
/// [`push`](Self::push) every change in order of keys, [`end_leaves`](Self::end_leaves), then [`raise`](Self::raise) until it says that
/// the top is reached, then [`finish`](Self::finish). Nodes that do not change are not written again. Memory: a window of leaves, and a
/// pointer for each changed leaf.
#[derive(Clone, Debug)]
pub struct Edit<'a, E> {
    target: EditTarget<'a>,
    old: OldTree,
    changes: Vec<(u64, Option<E>)>,
    leaves: usize,
    window: usize,
    /// The leaf that `cut` divides, until it was edited.
    divided: Option<u64>,
    /// Level of `changed`.
    level: u8,
    /// Nodes of this level that differ from the old tree, by prefix.
    changed: Vec<(u64, Option<New>)>,
    dropped: Vec<Place>,
}

impl<'a, E: LeafEntry + 'static> Edit<'a, E> {
    /// Begins to edit a tree. All keys from `cut` on are removed first; changes may set them again.
    pub fn new(target: EditTarget<'a>, root: &Root, cut: Option<u64>) -> Self {
        let mut dropped = Vec::new();
        let root = match (root, cut) {
            (Root::Node { pointer, .. }, Some(0)) => {
                dropped.push(pointer.place);
                Root::Empty
            }
            _ => *root,
        };
        let divided = cut.filter(|cut| slot(*cut) != 0).map(|cut| prefix(cut, 0));
        Self {
            target,
            old: OldTree::new(target.tree, root, cut),
            changes: Vec::new(),
            leaves: 0,
            window: WINDOW,
            divided,
            level: 0,
            changed: Vec::new(),
            dropped,
        }
    }

    /// Reads this many leaves at a time instead of [`WINDOW`].
    #[must_use]
    pub fn with_window(mut self, leaves: usize) -> Self {
        self.window = leaves.max(1);
        self
    }

    /// Sets an entry, or removes it. Keys must rise.
    pub fn push<S, K>(
        &mut self,
        source: &mut S,
        sink: &mut K,
        key: u64,
        entry: Option<E>,
    ) -> Result<(), S::Error>
    where
        S: NodeSource,
        K: NodeSink,
        S::Error: From<K::Error>,
    {
        if let Some((last, _)) = self.changes.last() {
            if *last >= key {
                return Err(FormatError::OutOfOrder("changes of a tree").into());
            }
            if prefix(*last, 0) != prefix(key, 0) {
                self.leaves = self.leaves.saturating_add(1);
            }
        }
        if self.leaves >= self.window {
            self.flush(source, sink, false)?;
        }
        self.changes.push((key, entry));
        Ok(())
    }

    /// Ends phase one: writes the leaves that are still held.
    pub fn end_leaves<S, K>(&mut self, source: &mut S, sink: &mut K) -> Result<(), S::Error>
    where
        S: NodeSource,
        K: NodeSink,
        S::Error: From<K::Error>,
    {
        self.flush(source, sink, true)
    }

    fn flush<S, K>(&mut self, source: &mut S, sink: &mut K, last: bool) -> Result<(), S::Error>
    where
        S: NodeSource,
        K: NodeSink,
        S::Error: From<K::Error>,
    {
        let changes = std::mem::take(&mut self.changes);
        self.leaves = 0;
        let mut numbers: Vec<u64> = changes.iter().map(|(key, _)| prefix(*key, 0)).collect();
        let reached = numbers.last().copied();
        if let Some(number) = self.divided
            && (last || reached.is_some_and(|reached| number <= reached))
        {
            numbers.push(number);
            numbers.sort_unstable();
            self.divided = None;
        }
        numbers.dedup();
        self.old.load(source, &numbers, 0)?;
        let old: Vec<Option<Pointer>> = numbers.iter().map(|n| self.old.pointer(0, *n)).collect();
        let known: Vec<Pointer> = old.iter().flatten().copied().collect();
        let mut nodes = fetch(source, self.target.tree, 0, &known)?.into_iter();
        let mut changes = changes.into_iter().peekable();
        for (number, pointer) in numbers.into_iter().zip(old) {
            let node = pointer.and_then(|_| nodes.next());
            let before = node.as_ref().map(|node| node.entries::<E>());
            let is_mine = |(key, _): &(u64, Option<E>)| prefix(*key, 0) == number;
            let asked = changes.peek().is_some_and(is_mine);
            let mine = std::iter::from_fn(|| changes.next_if(is_mine));
            let cut = self.old.cut().map(|cut| (cut, first_key(number, 0)));
            let after = merge(before.unwrap_or_default(), mine, cut, &mut self.dropped);
            // A node without entries stands for a lost one: the new tree must not have it.
            let is_empty = pointer.is_some() || self.old.is_empty_above(0, number);
            let stood_in = asked && after.is_empty() && is_empty;
            if before.unwrap_or_default() == after && !stood_in {
                continue;
            }
            self.dropped.extend(pointer.map(|pointer| pointer.place));
            let new = if after.is_empty() {
                None
            } else {
                let node = Node::leaf(self.target.tree, after);
                Some(New::At(self.target.put(sink, number, &node)?))
            };
            self.changed.push((number, new));
        }
        Ok(())
    }
}

/// Puts changes over the entries of a leaf. `cut`: the first key removed, and the leaf's first key. Records of entries that go are added to
/// `dropped`.
fn merge<E: LeafEntry>(
    before: &[(u8, E)],
    changes: impl Iterator<Item = (u64, Option<E>)>,
    cut: Option<(u64, u64)>,
    dropped: &mut Vec<Place>,
) -> Slots<E> {
    let stays = |at: u8| cut.is_none_or(|(cut, first)| first | u64::from(at) < cut);
    let mut after = Vec::with_capacity(before.len());
    let mut rest = before.iter().peekable();
    let keep = |(at, entry): &(u8, E), after: &mut Slots<E>, dropped: &mut Vec<Place>| {
        if stays(*at) {
            after.push((*at, entry.clone()));
        } else {
            dropped.extend(entry.own_item());
        }
    };
    for (key, entry) in changes {
        let at = slot(key);
        while let Some(old) = rest.next_if(|(other, _)| *other < at) {
            keep(old, &mut after, dropped);
        }
        if let Some((_, old)) = rest.next_if(|(other, _)| *other == at)
            && entry.as_ref() != Some(old)
        {
            dropped.extend(old.own_item());
        }
        after.extend(entry.map(|entry| (at, entry)));
    }
    rest.for_each(|old| keep(old, &mut after, dropped));
    after
}

/// Edits a tree in one go.
pub fn edit<E, S, K>(
    target: EditTarget<'_>,
    root: &Root,
    changes: impl IntoIterator<Item = (u64, Option<E>)>,
    cut: Option<u64>,
    source: &mut S,
    sink: &mut K,
) -> Result<Edited, S::Error>
where
    E: LeafEntry + 'static,
    S: NodeSource,
    K: NodeSink,
    S::Error: From<K::Error>,
{
    let mut edit = Edit::new(target, root, cut);
    for (key, entry) in changes {
        edit.push(source, sink, key, entry)?;
    }
    edit.end_leaves(source, sink)?;
    while edit.raise(source, sink)? {}
    edit.finish(source)
}
