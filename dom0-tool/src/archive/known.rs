//! What the newest session says about a volume's chunks, walked beside the volume.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use nacre_core::node::ChunkEntry;
use nacre_core::place::{Root, TreeKind};
use nacre_core::tree::Walk;

use super::Result;
use super::nodes::Nodes;

/// The entries of a tree, in rising order of chunks.
pub struct KnownEntries {
    nodes: Arc<Nodes>,
    walk: Walk,
    waiting: VecDeque<(u64, ChunkEntry)>,
    ended: bool,
}

impl KnownEntries {
    /// The entries of the chunks in some ranges, which are sorted and apart. Neighbours outside may come along.
    pub fn new(nodes: Arc<Nodes>, root: &Root, ranges: Arc<[Range<u64>]>) -> Self {
        Self {
            walk: Walk::within(TreeKind::Chunks, root, ranges),
            nodes,
            waiting: VecDeque::new(),
            ended: false,
        }
    }

    /// Appends the entries of all chunks below `chunk` that were not taken yet.
    pub fn take_below(&mut self, chunk: u64, into: &mut Vec<(u64, ChunkEntry)>) -> Result<()> {
        loop {
            let taken = self.waiting.partition_point(|(number, _)| *number < chunk);
            into.extend(self.waiting.drain(..taken));
            if self.ended || !self.waiting.is_empty() {
                return Ok(());
            }
            let mut source: &Nodes = &self.nodes;
            match self.walk.next(&mut source)? {
                Some(batch) => {
                    let entries = batch.entries::<ChunkEntry>();
                    self.waiting
                        .extend(entries.map(|(number, entry)| (number, entry.clone())));
                }
                None => self.ended = true,
            }
        }
    }
}
