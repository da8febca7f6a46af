//! The old tree of an edit: its inner nodes on the way to what changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::{Node, first_key, slot};
use crate::place::{FAN_BITS, Pointer, Root, TreeKind};
use crate::tree::{NodeSource, fetch};

#[derive(Clone, Debug)]
pub(super) struct OldTree {
    tree: TreeKind,
    root: Root,
    cut: Option<u64>,
    /// By level and prefix.
    inner: BTreeMap<(u8, u64), Arc<Node>>,
}

impl OldTree {
    pub(super) fn new(tree: TreeKind, root: Root, cut: Option<u64>) -> Self {
        Self {
            tree,
            root,
            cut,
            inner: BTreeMap::new(),
        }
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    pub(super) fn cut(&self) -> Option<u64> {
        self.cut
    }

    /// Level of the old root; `None` if there is none.
    pub(super) fn height(&self) -> Option<u8> {
        match self.root {
            Root::Empty => None,
            Root::Node { level, .. } => Some(level),
        }
    }

    /// Whether everything below a node is removed by the cut.
    pub(super) fn is_cut(&self, level: u8, number: u64) -> bool {
        self.cut.is_some_and(|cut| first_key(number, level) >= cut)
    }

    /// The old node at a level, if there is one that is not cut off. Its parent must be loaded.
    pub(super) fn pointer(&self, level: u8, number: u64) -> Option<Pointer> {
        let Root::Node {
            level: height,
            pointer,
        } = &self.root
        else {
            return None;
        };
        if self.is_cut(level, number) {
            return None;
        }
        if level == *height {
            return (number == 0).then_some(*pointer);
        }
        let parent = self.node(level.checked_add(1)?, number >> FAN_BITS)?;
        let children = parent.children();
        let at = children
            .binary_search_by_key(&slot(number), |(at, _)| *at)
            .ok()?;
        children.get(at).map(|(_, child)| *child)
    }

    /// A loaded inner node.
    pub(super) fn node(&self, level: u8, number: u64) -> Option<&Arc<Node>> {
        self.inner.get(&(level, number))
    }

    /// Whether one of the loaded nodes above a node is empty, as only one is that stands for a lost one.
    pub(super) fn is_empty_above(&self, below: u8, number: u64) -> bool {
        let levels = below.saturating_add(1)..=self.height().unwrap_or(0);
        let mut above = levels.filter_map(|level| {
            let up = u32::from(level.saturating_sub(below)).saturating_mul(FAN_BITS);
            self.node(level, number.checked_shr(up).unwrap_or(0))
        });
        above.any(|node| node.children().is_empty())
    }

    /// Forgets the nodes of a level; nobody asks for them again.
    pub(super) fn forget(&mut self, level: u8) {
        self.inner.retain(|(other, _), _| *other > level);
    }

    /// Loads every inner node above the nodes with these sorted prefixes at a level, a level at a time from the top.
    pub(super) fn load<S: NodeSource>(
        &mut self,
        source: &mut S,
        numbers: &[u64],
        below: u8,
    ) -> Result<(), S::Error> {
        let Some(height) = self.height() else {
            return Ok(());
        };
        for level in (below.saturating_add(1)..=height).rev() {
            let up = u32::from(level.saturating_sub(below)).saturating_mul(FAN_BITS);
            let mut wanted: Vec<u64> = numbers
                .iter()
                .map(|number| number.checked_shr(up).unwrap_or(0))
                .collect();
            wanted.dedup();
            wanted.retain(|number| self.node(level, *number).is_none());
            let found: Vec<(u64, Pointer)> = wanted
                .into_iter()
                .filter_map(|number| Some((number, self.pointer(level, number)?)))
                .collect();
            let pointers: Vec<Pointer> = found.iter().map(|(_, pointer)| *pointer).collect();
            let nodes = fetch(source, self.tree, level, &pointers)?;
            let nodes = found.iter().zip(nodes);
            self.inner
                .extend(nodes.map(|((number, _), node)| ((level, *number), node)));
        }
        Ok(())
    }
}
