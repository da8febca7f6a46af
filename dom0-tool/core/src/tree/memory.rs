//! Nodes in memory, with a count of what was read and written.

use std::collections::HashMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{NodeItem, NodeSink, NodeSource, RecordItem};
use crate::error::FormatError;
use crate::hash::{DigestKey, HashType, MacKey};
use crate::ids::Alias;
use crate::node::{ChunkFormat, Node, record_digest};
use crate::place::{Place, Pointer, TreeKind};

pub(crate) fn digest_key() -> DigestKey {
    DigestKey(MacKey::new(HashType::Blake3, Zeroizing::new([7; 32])))
}

/// Where everything is kept, by place.
#[derive(Clone, Default)]
pub(crate) struct Shelf {
    items: HashMap<Place, Vec<u8>>,
    next: u64,
    pub(crate) alias: u64,
    pub(crate) nodes_written: usize,
    pub(crate) bytes_written: usize,
}

/// A reader of the shelf as it was when it was made; it counts.
pub(crate) struct Reading<'a> {
    shelf: &'a Shelf,
    pub(crate) nodes: usize,
    pub(crate) batches: usize,
}

impl Shelf {
    pub(crate) fn read(&self) -> Reading<'_> {
        Reading {
            shelf: self,
            nodes: 0,
            batches: 0,
        }
    }

    /// An empty shelf for the next packs: an edit must not need to read what it has just written.
    pub(crate) fn fresh(&self) -> Self {
        Self {
            alias: self.alias + 1,
            ..Self::default()
        }
    }

    /// Takes over what was written to a fresh shelf.
    pub(crate) fn absorb(&mut self, fresh: Self) {
        self.items.extend(fresh.items);
        self.alias = fresh.alias;
        self.nodes_written += fresh.nodes_written;
        self.bytes_written += fresh.bytes_written;
    }

    fn put(&mut self, bytes: &[u8]) -> Place {
        let length = u32::try_from(bytes.len() + 41).unwrap();
        if self.next + u64::from(length) > 64 << 20 {
            (self.next, self.alias) = (0, self.alias + 1);
        }
        let place = Place {
            alias: Alias(self.alias + 1),
            offset: self.next,
            length,
        };
        self.next += u64::from(length);
        self.bytes_written += length as usize;
        self.items.insert(place, bytes.to_vec());
        place
    }

    pub(crate) fn forget(&mut self, place: &Place) {
        assert!(
            self.items.remove(place).is_some(),
            "dropped twice: {place:?}"
        );
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.items.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

impl NodeSink for Shelf {
    type Error = FormatError;

    fn put_node(&mut self, item: NodeItem<'_>) -> Result<Place, FormatError> {
        self.nodes_written += 1;
        Ok(self.put(item.bytes))
    }

    fn put_record(&mut self, item: RecordItem<'_>) -> Result<Place, FormatError> {
        Ok(self.put(item.bytes))
    }
}

impl NodeSource for Reading<'_> {
    type Error = FormatError;

    fn nodes(
        &mut self,
        tree: TreeKind,
        pointers: &[Pointer],
    ) -> Result<Vec<Arc<Node>>, FormatError> {
        self.nodes += pointers.len();
        self.batches += 1;
        let format = ChunkFormat::new(17)?;
        let open = |pointer: &Pointer| {
            let bytes = self.shelf.items.get(&pointer.place);
            let bytes = bytes.ok_or(FormatError::Mismatch("a shelf"))?;
            Ok(Arc::new(Node::open(
                format,
                &digest_key(),
                tree,
                pointer,
                bytes,
            )?))
        };
        pointers.iter().map(open).collect()
    }

    fn records(&mut self, _: TreeKind, pointers: &[Pointer]) -> Result<Vec<Vec<u8>>, FormatError> {
        self.batches += 1;
        let open = |pointer: &Pointer| {
            let bytes = self.shelf.items.get(&pointer.place);
            let bytes = bytes.ok_or(FormatError::Mismatch("a shelf"))?;
            assert_eq!(record_digest(&digest_key(), bytes), pointer.digest);
            Ok(bytes.clone())
        };
        pointers.iter().map(open).collect()
    }
}
