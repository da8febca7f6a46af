//! The nodes of volumes that a commit has written and that are not in the store yet: what dies and what lives is counted with them.

use std::collections::HashMap;
use std::sync::Arc;

use nacre_core::error::FormatError;
use nacre_core::node::Node;
use nacre_core::pack::IndexPack;
use nacre_core::place::{Place, Pointer, TreeKind};
use nacre_core::tree::{NodeItem, NodeSink, NodeSource, RecordItem};

use super::super::nodes::Nodes;
use super::super::{Error, Result};

/// Nodes by place, encoded. As many as the commit has changed: of a checkpoint some MB.
pub type FreshNodes = HashMap<Place, Vec<u8>>;

/// Writes nodes into the index pack and keeps them.
pub struct Keeping<'a> {
    /// The index pack.
    pub index: &'a mut IndexPack,
    /// What was written.
    pub fresh: &'a mut FreshNodes,
}

impl NodeSink for Keeping<'_> {
    type Error = FormatError;

    fn put_node(&mut self, item: NodeItem<'_>) -> Result<Place, FormatError> {
        let bytes = item.bytes.to_vec();
        let place = self.index.put_node(item)?;
        self.fresh.insert(place, bytes);
        Ok(place)
    }

    fn put_record(&mut self, item: RecordItem<'_>) -> Result<Place, FormatError> {
        self.index.put_record(item)
    }
}

/// The archive's nodes, and those of the commit.
pub struct Overlay<'a> {
    /// In the store.
    pub nodes: &'a Nodes,
    /// Not there yet.
    pub fresh: &'a FreshNodes,
}

impl NodeSource for Overlay<'_> {
    type Error = Error;

    fn nodes(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Arc<Node>>> {
        let (format, digests) = (self.nodes.format(), self.nodes.digests());
        let known = |pointer: &Pointer| {
            let bytes = self.fresh.get(&pointer.place)?;
            Some(Node::open(format, digests, tree, pointer, bytes))
        };
        let stored: Vec<Pointer> = pointers
            .iter()
            .filter(|pointer| !self.fresh.contains_key(&pointer.place))
            .copied()
            .collect();
        let mut source = self.nodes;
        let mut stored = source.nodes(tree, &stored)?.into_iter();
        let one = |pointer| match known(pointer) {
            Some(node) => Ok(Arc::new(node?)),
            None => stored.next().ok_or_else(Error::internal),
        };
        pointers.iter().map(one).collect()
    }

    fn records(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Vec<u8>>> {
        let mut source = self.nodes;
        source.records(tree, pointers)
    }
}
