//! Nodes of the index trees (doc/FORMAT.md, 6.1 and 6.2).

mod bitmap;
mod codec;
mod entry;
pub mod patch;

pub use bitmap::Bitmap;
pub use entry::{ChunkEntry, INLINE_LIMIT, LeafEntry, Patched, RecordEntry};

use crate::error::{FormatError, Result};
use crate::hash::DigestKey;
use crate::ids::Digest;
use crate::place::{FAN_BITS, FAN_OUT, MAX_LEVEL, Pointer, TreeKind};

const WHAT: &str = "an index node";

/// How large the archive's chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkFormat {
    bits: u8,
}

impl ChunkFormat {
    /// Chunks of 2^`bits` bytes, from 16 to 21.
    pub fn new(bits: u8) -> Result<Self> {
        if (16..=21).contains(&bits) {
            Ok(Self { bits })
        } else {
            Err(FormatError::OutOfRange("the chunk size"))
        }
    }

    /// The number in the header.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Size of a chunk, in bytes.
    pub fn chunk_size(self) -> usize {
        1 << self.bits
    }

    /// Blocks of 4 KiB in a chunk.
    pub fn blocks(self) -> usize {
        self.chunk_size() >> 12
    }

    /// Bytes of a bitmap of the blocks of a chunk.
    pub fn bitmap_bytes(self) -> usize {
        self.chunk_size() >> 15
    }
}

/// Slots of a node that are not empty, in rising order.
pub type Slots<T> = Vec<(u8, T)>;

/// What a node's slots hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Level 1 and up: the nodes below.
    Inner(Slots<Pointer>),
    /// Level 0 of a chunk tree.
    Chunks(Slots<ChunkEntry>),
    /// Level 0 of any other tree.
    Records(Slots<RecordEntry>),
}

/// One node of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    tree: TreeKind,
    level: u8,
    body: Body,
}

impl Node {
    /// A node of level 1 or higher over the given children, which are in order of slots and not none.
    pub fn inner(tree: TreeKind, level: u8, children: Slots<Pointer>) -> Self {
        Self {
            tree,
            level,
            body: Body::Inner(children),
        }
    }

    /// A leaf with the given entries, which are in order of slots and not none.
    pub fn leaf<E: LeafEntry>(tree: TreeKind, entries: Slots<E>) -> Self {
        Self {
            tree,
            level: 0,
            body: E::into_body(entries),
        }
    }

    /// The tree it belongs to.
    pub fn tree(&self) -> TreeKind {
        self.tree
    }

    /// Its level; 0 is a leaf.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// What its slots hold.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The nodes below; none for a leaf.
    pub fn children(&self) -> &[(u8, Pointer)] {
        match &self.body {
            Body::Inner(children) => children,
            _ => &[],
        }
    }

    /// The entries of a leaf; none for an inner node.
    pub fn entries<E: LeafEntry>(&self) -> &[(u8, E)] {
        E::from_body(&self.body).unwrap_or_default()
    }

    /// What a pointer to this node must say (FORMAT 6.2). `bytes` is its encoded form.
    pub fn digest(&self, key: &DigestKey, bytes: &[u8]) -> Digest {
        if self.tree != TreeKind::Chunks {
            return record_digest(key, bytes);
        }
        let mut mac = key.start();
        mac.update(&[self.level]);
        let mut next = 0_u8;
        let mut fill = |mac: &mut crate::hash::MacState, slot: u8| {
            let zeros = [0; FAN_OUT];
            let count = usize::from(slot.saturating_sub(next));
            mac.update(zeros.get(..count).unwrap_or(&zeros));
            next = slot.saturating_add(1);
        };
        match &self.body {
            Body::Inner(children) => children.iter().for_each(|(slot, child)| {
                fill(&mut mac, *slot);
                mac.update(&[1]);
                mac.update(&child.digest.0);
            }),
            Body::Chunks(entries) => entries.iter().for_each(|(slot, entry)| {
                fill(&mut mac, *slot);
                mac.update(&[if entry.is_lost() { 2 } else { 1 }]);
                mac.update(&entry.id().0);
            }),
            Body::Records(_) => {}
        }
        fill(&mut mac, 64);
        Digest(mac.finish())
    }

    /// Reads a node and checks that it is the one that `pointer` promises, of the tree that is being read.
    pub fn open(
        format: ChunkFormat,
        key: &DigestKey,
        tree: TreeKind,
        pointer: &Pointer,
        bytes: &[u8],
    ) -> Result<Self> {
        if bytes.len() != pointer.raw_length as usize {
            return Err(FormatError::Mismatch(WHAT));
        }
        let node = Self::parse(format, bytes)?;
        if node.tree != tree || node.digest(key, bytes) != pointer.digest {
            return Err(FormatError::Mismatch(WHAT));
        }
        Ok(node)
    }
}

/// Digest of a record, and of a node of any tree but the chunk trees.
pub fn record_digest(key: &DigestKey, bytes: &[u8]) -> Digest {
    key.mac(&[&[0xff], bytes])
}

/// Number of the node of this level on the way to a key: the key without the bits below.
pub fn prefix(key: u64, level: u8) -> u64 {
    let shift = u32::from(level).saturating_add(1).saturating_mul(FAN_BITS);
    key.checked_shr(shift).unwrap_or(0)
}

/// Slot of a child in its parent, given the child's prefix (or the key, in a leaf).
pub fn slot(child: u64) -> u8 {
    (child & 63) as u8
}

/// Prefix of the child in a slot (or the key, in a leaf) of the node with this prefix.
pub fn child(prefix: u64, slot: u8) -> u64 {
    prefix << FAN_BITS | u64::from(slot)
}

/// First key below the node of this level and prefix.
pub fn first_key(prefix: u64, level: u8) -> u64 {
    let shift = u32::from(level).saturating_add(1).saturating_mul(FAN_BITS);
    prefix.checked_shl(shift).unwrap_or(0)
}

/// How many slots a node of this level may use: at the top only those that a 64-bit key can choose.
fn slots_of(level: u8) -> u8 {
    if level == MAX_LEVEL { 16 } else { 64 }
}

#[cfg(test)]
mod tests;
