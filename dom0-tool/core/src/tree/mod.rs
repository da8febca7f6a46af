//! Persistent radix trees: walked, compared and edited copy-on-write (DESIGN 4.2; doc/FORMAT.md, section 6).
//!
//! A tree is a [`Root`](crate::place::Root) and two joints: where nodes are read from and where new ones go. Nodes are asked for in
//! batches, a whole level of a window at a time, so that a batch costs a store one round trip or a few.

mod diff;
mod edit;
mod lookup;
mod records;
mod rewrite;
mod walk;

pub use diff::{Compare, Diff, DiffBatch, Difference, LostNode};
pub use edit::{Edit, EditTarget, Edited, edit};
pub use lookup::{Found, lookup};
pub use records::{RecordTree, StagedRecords};
pub use rewrite::{RewriteTarget, Rewritten, rewrite};
pub use walk::{Leaf, Walk, WalkBatch};

use std::sync::Arc;

use crate::error::FormatError;
use crate::ids::{Digest, SessionSeq, VolumeId};
use crate::node::Node;
use crate::place::{Place, Pointer, TreeKind};

/// Nodes fetched in one batch, unless the caller says otherwise: 256 leaves are 2 GiB of a volume, and some 2 MiB of memory.
pub const WINDOW: usize = 256;

/// Where the nodes and records of an archive are read from.
pub trait NodeSource {
    /// What can go wrong.
    type Error: From<FormatError>;

    /// The nodes behind the pointers, in the same order, each opened with [`Node::open`].
    fn nodes(
        &mut self,
        tree: TreeKind,
        pointers: &[Pointer],
    ) -> Result<Vec<Arc<Node>>, Self::Error>;

    /// The same, but each with an answer of its own: for those who go on where some cannot be read.
    fn each_node(
        &mut self,
        tree: TreeKind,
        pointers: &[Pointer],
    ) -> Vec<Result<Arc<Node>, Self::Error>> {
        let mut one = |pointer: &Pointer| {
            let found = self.nodes(tree, std::slice::from_ref(pointer))?;
            let missing = || FormatError::Mismatch("an index node").into();
            found.into_iter().next().ok_or_else(missing)
        };
        pointers.iter().map(&mut one).collect()
    }

    /// The records behind the pointers, in the same order, each checked against its length and digest
    /// ([`record_digest`](crate::node::record_digest)).
    fn records(
        &mut self,
        tree: TreeKind,
        pointers: &[Pointer],
    ) -> Result<Vec<Vec<u8>>, Self::Error>;
}

/// A node to be stored, and what the pack's directory says of it.
#[derive(Clone, Copy, Debug)]
pub struct NodeItem<'a> {
    /// The tree it belongs to.
    pub tree: TreeKind,
    /// Its level.
    pub level: u8,
    /// The volume, for chunk trees; otherwise 0.
    pub volume: VolumeId,
    /// Its first key divided by 64^(level + 1).
    pub prefix: u64,
    /// The session it is written for; 0 if none.
    pub session: SessionSeq,
    /// Its digest.
    pub digest: Digest,
    /// Its encoded form.
    pub bytes: &'a [u8],
}

/// A record to be stored as an item of its own.
#[derive(Clone, Copy, Debug)]
pub struct RecordItem<'a> {
    /// The tree it belongs to.
    pub tree: TreeKind,
    /// Its key there.
    pub key: u64,
    /// Its digest.
    pub digest: Digest,
    /// The record.
    pub bytes: &'a [u8],
}

/// Where new nodes and records go.
pub trait NodeSink {
    /// What can go wrong.
    type Error: From<FormatError>;

    /// Stores a node. The answer is where it lies.
    fn put_node(&mut self, item: NodeItem<'_>) -> Result<Place, Self::Error>;

    /// Stores a record. The answer is where it lies.
    fn put_record(&mut self, item: RecordItem<'_>) -> Result<Place, Self::Error>;
}

/// As many nodes as pointers, or the source is at fault.
fn fetch<S: NodeSource>(
    source: &mut S,
    tree: TreeKind,
    level: u8,
    pointers: &[Pointer],
) -> Result<Vec<Arc<Node>>, S::Error> {
    if pointers.is_empty() {
        return Ok(Vec::new());
    }
    let nodes = source.nodes(tree, pointers)?;
    let fits = nodes.len() == pointers.len() && nodes.iter().all(|node| node.level() == level);
    if fits {
        Ok(nodes)
    } else {
        Err(FormatError::Mismatch("an index node").into())
    }
}

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod tests;
