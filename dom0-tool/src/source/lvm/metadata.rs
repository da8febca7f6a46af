//! A thin pool's metadata, read from a metadata snapshot while the pool goes on working (Linux: drivers/md/dm-thin-metadata.c).
//!
//! Nothing is changed here. What is read is checked: checksums, block numbers, rising keys. Whatever the bytes are, reading ends, within
//! bounded memory, in a result or an error.
//!
//! ```text
//! superblock (block 0, and its frozen copy at `held root`):
//!   0 u32 checksum   4 u32 flags   8 u64 own block number   32 u64 magic   44 u32 time   48 u64 transaction   56 u64 held root
//!   320 u64 root of the mappings   328 u64 root of the devices' details   336 u32 data block size in sectors of 512 bytes
//! details: device id -> u64 mapped blocks, u64 transaction of creation, u32 time of creation, u32 time of the last snapshot of it
//! mappings: device id -> root of a tree: block of the volume -> u64: data block << 24 | time of the mapping
//! ```
//!
//! Time counts the snapshots of the pool. A snapshot made at time t holds mappings older than t only; whoever writes to it gets blocks of
//! their own, with a time of t or later.

use super::btree::{BLOCK, Node, check_sum, u32_at, u64_at};
use crate::joints::{AlignedBuffer, Ranges, SourceError, SourceErrorKind, VolumeRange};

pub(super) const MAGIC: u64 = 27_022_010;
/// What the checksum of a superblock is combined with (`SUPERBLOCK_CSUM_XOR`).
pub(super) const SUPERBLOCK_SALT: u32 = 160_774;
const SECTOR: u64 = 512;
/// Times of mappings have 24 bits; behind that they say nothing.
const TIME_LIMIT: u32 = 1 << 24;
const DETAILS_SIZE: usize = 24;
/// A tree of 2^64 keys in nodes at least a third full is not deeper.
const DEEPEST: usize = 12;
/// Leaves of one volume, at most: 32 MiB of memory; enough for 16 TiB in blocks of 64 KiB.
const MOST_LEAVES: usize = 2 << 20;
/// Nodes read together.
const BATCH: usize = 128;
/// Blocks between two wanted ones that are read along rather than left out.
const GAP: u64 = 8;
/// Mapped ranges of a volume that are kept apart.
const MOST_MAPPED: usize = 1 << 16;

/// Where blocks of metadata come from.
pub trait BlockReader {
    /// Fills `buffer`, a multiple of [`BLOCK`], from block `first` on.
    fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), SourceError>;
    /// What it is called.
    fn place(&self) -> String;
}

/// The metadata as the metadata snapshot holds it.
#[derive(Debug)]
pub struct Metadata<R> {
    reader: R,
    mappings: u64,
    details: u64,
    /// Bytes of a data block: the smallest piece that is mapped.
    pub data_block: u64,
}

/// What the pool knows of a thin device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Data blocks that are mapped.
    pub mapped: u64,
    /// The pool's transaction in which it was made.
    pub transaction: u64,
    /// The pool's time when it was made.
    pub created: u32,
    /// The pool's time when a snapshot of it was made last; that of its creation if none was.
    pub snapshotted: u32,
    root: u64,
}

/// How two devices differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only there, by whole data blocks.
    Ranges {
        /// What differs.
        changed: Ranges,
        /// What of that is mapped in the newer one, and so may hold anything but zeros. `None` where the set became too long and counts in what
        /// did not change.
        data: Option<Ranges>,
    },
    /// Somebody wrote to the older one, so that it is not what it was.
    OldWasWritten,
}

/// A leaf of a tree, and the smallest key it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LeafRef {
    key: u64,
    block: u64,
}

/// One data block of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    block: u64,
    data: u64,
    time: u32,
}

impl<R: BlockReader> Metadata<R> {
    /// Opens what the metadata snapshot holds, which must have been reserved.
    pub fn open(reader: R) -> Result<Self, SourceError> {
        let mut found = Self {
            reader,
            mappings: 0,
            details: 0,
            data_block: 0,
        };
        let held = found.superblock(0, |bytes| u64_at(bytes, 56))?;
        if held == 0 {
            return Err(found.damaged("no metadata snapshot is reserved"));
        }
        let fields = |bytes: &[u8]| {
            let roots = u64_at(bytes, 320).zip(u64_at(bytes, 328))?;
            Some((roots, u64::from(u32_at(bytes, 336)?) * SECTOR))
        };
        let (roots, data_block) = found.superblock(held, fields)?;
        (found.mappings, found.details) = roots;
        // The kernel allows 64 KiB to 1 GiB in steps of 64 KiB.
        if data_block == 0 || data_block % (64 << 10) != 0 || data_block > 1 << 30 {
            return Err(found.damaged("an impossible size of data blocks"));
        }
        found.data_block = data_block;
        Ok(found)
    }

    fn superblock<T>(
        &self,
        block: u64,
        fields: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, SourceError> {
        let bytes = self.block(block)?;
        check_sum(&bytes, block, 8, SUPERBLOCK_SALT).map_err(|what| self.damaged(what))?;
        if u64_at(&bytes, 32) != Some(MAGIC) {
            return Err(self.damaged("no superblock of a thin pool"));
        }
        fields(&bytes).ok_or_else(|| self.damaged("a short superblock"))
    }

    /// The device with that id, if there is one.
    pub fn device(&self, id: u32) -> Result<Option<Device>, SourceError> {
        let (id, details) = (u64::from(id), self.details);
        let found = self.look_up(details, id, DETAILS_SIZE, |value| {
            let times = u32_at(value, 16).zip(u32_at(value, 20));
            u64_at(value, 0).zip(u64_at(value, 8)).zip(times)
        })?;
        let Some(((mapped, transaction), (created, snapshotted))) = found else {
            return Ok(None);
        };
        let root = self.look_up(self.mappings, id, 8, |value| u64_at(value, 0))?;
        Ok(root.map(|root| Device {
            mapped,
            transaction,
            created,
            snapshotted,
            root,
        }))
    }

    /// What is mapped of a device; all else reads as zeros. With very many pieces small gaps are counted in.
    pub fn mapped(&self, device: &Device) -> Result<Ranges, SourceError> {
        let mut ranges = Ranges::new();
        let mut mappings = Mappings::new(self, self.leaves(device.root)?);
        while let Some(mapping) = mappings.next()? {
            ranges.push(self.range(mapping.block));
        }
        ranges.coarsen(MOST_MAPPED);
        Ok(ranges)
    }

    /// Where the content of `new` may differ from that of `old`, if `old` is as it was made.
    pub fn difference(&self, old: &Device, new: &Device) -> Result<Difference, SourceError> {
        if old.created >= TIME_LIMIT {
            return Ok(Difference::OldWasWritten);
        }
        let mut old_leaves = self.leaves(old.root)?;
        let mut new_leaves = self.leaves(new.root)?;
        // A leaf with a mapping that was written to `old` belongs to `old` alone, unless a snapshot was made of it afterwards.
        if old.snapshotted != old.created && self.was_written(old)? {
            return Ok(Difference::OldWasWritten);
        }
        drop_common(&mut old_leaves, &mut new_leaves);
        let mut before = Mappings::new(self, old_leaves);
        let mut after = Mappings::new(self, new_leaves);
        let (mut left, mut right) = (before.next()?, after.next()?);
        let (mut changed, mut data) = (Ranges::new(), Ranges::new());
        let mut bytes = 0_u64;
        loop {
            if left.is_some_and(|mapping| mapping.time >= old.created) {
                return Ok(Difference::OldWasWritten);
            }
            // In blocks that only the older one maps there are zeros now.
            let next = left.map(|m| m.block).into_iter();
            let Some(block) = next.chain(right.map(|m| m.block)).min() else {
                let data = Some(data).filter(|_| changed.total() == bytes);
                return Ok(Difference::Ranges { changed, data });
            };
            let here = |mapping: Option<Mapping>| mapping.filter(|m| m.block == block);
            let (old_data, new_data) = (here(left).map(|m| m.data), here(right).map(|m| m.data));
            if old_data != new_data {
                changed.push(self.range(block));
                bytes = bytes.saturating_add(self.data_block);
            }
            if old_data != new_data && new_data.is_some() {
                data.push(self.range(block));
            }
            if old_data.is_some() {
                left = before.next()?;
            }
            if new_data.is_some() {
                right = after.next()?;
            }
        }
    }

    /// Whether somebody wrote to a snapshot since it was made. Reads all of its mappings.
    pub fn was_written(&self, device: &Device) -> Result<bool, SourceError> {
        let mut mappings = Mappings::new(self, self.leaves(device.root)?);
        while let Some(mapping) = mappings.next()? {
            if mapping.time >= device.created {
                return Ok(true);
            }
        }
        Ok(device.created >= TIME_LIMIT)
    }

    fn range(&self, block: u64) -> VolumeRange {
        let start = block.saturating_mul(self.data_block);
        VolumeRange {
            start,
            end: start.saturating_add(self.data_block),
        }
    }

    fn look_up<T>(
        &self,
        root: u64,
        key: u64,
        value_size: usize,
        value: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, SourceError> {
        let mut block = root;
        for _ in 0..DEEPEST {
            let bytes = self.block(block)?;
            let node = Node::parse(&bytes, block, value_size).map_err(|what| self.damaged(what))?;
            let Some(at) = node.place_of(key) else {
                return Ok(None);
            };
            if node.is_leaf {
                let found = node.key(at) == Some(key);
                return Ok(node.value(at).filter(|_| found).and_then(value));
            }
            block = node.number(at).unwrap_or_default();
        }
        Err(self.damaged("a tree that is too deep"))
    }

    /// All leaves of a tree of mappings, in order. Level by level: a tree is as deep everywhere.
    fn leaves(&self, root: u64) -> Result<Vec<LeafRef>, SourceError> {
        let mut level = vec![LeafRef {
            key: 0,
            block: root,
        }];
        for _ in 0..DEEPEST {
            let first = level.first().map_or(root, |leaf| leaf.block);
            let bytes = self.block(first)?;
            if Node::parse(&bytes, first, 8)
                .map_err(|what| self.damaged(what))?
                .is_leaf
            {
                return Ok(level);
            }
            level = self.children(&level)?;
        }
        Err(self.damaged("a tree that is too deep"))
    }

    fn children(&self, level: &[LeafRef]) -> Result<Vec<LeafRef>, SourceError> {
        let mut children: Vec<LeafRef> = Vec::new();
        for batch in level.chunks(BATCH) {
            let bytes = self.blocks(batch)?;
            for (leaf, bytes) in batch.iter().zip(bytes.chunks_exact(BLOCK)) {
                let node = Node::parse(bytes, leaf.block, 8).map_err(|what| self.damaged(what))?;
                if node.is_leaf {
                    return Err(self.damaged("a tree of uneven depth"));
                }
                for (key, block) in node.entries() {
                    if children.last().is_some_and(|last| last.key >= key) {
                        return Err(self.damaged("a tree whose keys do not rise"));
                    }
                    children.push(LeafRef { key, block });
                }
                if children.len() > MOST_LEAVES {
                    let place = self.reader.place();
                    let detail = "the volume has too many mappings to be compared";
                    return Err(SourceError::new(SourceErrorKind::Io, place, detail));
                }
            }
        }
        Ok(children)
    }

    fn block(&self, block: u64) -> Result<AlignedBuffer, SourceError> {
        let mut buffer = AlignedBuffer::new(BLOCK);
        self.reader.read(block, &mut buffer)?;
        Ok(buffer)
    }

    /// The blocks of some nodes, in the order asked for; those that lie close together are read at once.
    fn blocks(&self, wanted: &[LeafRef]) -> Result<Vec<u8>, SourceError> {
        let mut order: Vec<(u64, usize)> = wanted
            .iter()
            .enumerate()
            .map(|(at, leaf)| (leaf.block, at))
            .collect();
        order.sort_unstable();
        let mut found = vec![0; wanted.len() * BLOCK];
        let mut rest = order.as_slice();
        while let Some((first, _)) = rest.first() {
            let together = |pair: &[(u64, usize)]| {
                pair[1].0 - pair[0].0 <= GAP && pair[1].0 - first < 2 * BATCH as u64
            };
            let count = 1 + rest.windows(2).take_while(|pair| together(pair)).count();
            let (run, later) = rest.split_at(count);
            let last = run.last().map_or(*first, |(block, _)| *block);
            let span = usize::try_from(last - first).unwrap_or_default() + 1;
            let mut buffer = AlignedBuffer::new(span * BLOCK);
            self.reader.read(*first, &mut buffer)?;
            for (block, at) in run {
                let from = usize::try_from(block - first).unwrap_or_default() * BLOCK;
                found[at * BLOCK..][..BLOCK].copy_from_slice(&buffer[from..][..BLOCK]);
            }
            rest = later;
        }
        Ok(found)
    }

    fn damaged(&self, what: &str) -> SourceError {
        let place = format!("the metadata of the thin pool ({})", self.reader.place());
        SourceError::new(SourceErrorKind::Unreadable, place, what)
    }
}

/// Drops the leaves that both have: what they map is the same.
fn drop_common(old: &mut Vec<LeafRef>, new: &mut Vec<LeafRef>) {
    let in_both = |leaf: &LeafRef, others: &[LeafRef]| {
        others
            .binary_search_by_key(&leaf.key, |other| other.key)
            .is_ok_and(|at| others[at] == *leaf)
    };
    let only_old: Vec<LeafRef> = old
        .iter()
        .filter(|leaf| !in_both(leaf, new))
        .copied()
        .collect();
    new.retain(|leaf| !in_both(leaf, old));
    *old = only_old;
}

/// The mappings of some leaves, one after another; their blocks rise.
struct Mappings<'a, R> {
    metadata: &'a Metadata<R>,
    leaves: std::vec::IntoIter<LeafRef>,
    read: std::vec::IntoIter<Mapping>,
    last: Option<u64>,
}

impl<'a, R: BlockReader> Mappings<'a, R> {
    fn new(metadata: &'a Metadata<R>, leaves: Vec<LeafRef>) -> Self {
        Self {
            metadata,
            leaves: leaves.into_iter(),
            read: Vec::new().into_iter(),
            last: None,
        }
    }

    fn next(&mut self) -> Result<Option<Mapping>, SourceError> {
        loop {
            if let Some(mapping) = self.read.next() {
                if self.last.is_some_and(|last| last >= mapping.block) {
                    return Err(self.metadata.damaged("a tree whose keys do not rise"));
                }
                self.last = Some(mapping.block);
                return Ok(Some(mapping));
            }
            let batch: Vec<LeafRef> = self.leaves.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(None);
            }
            let bytes = self.metadata.blocks(&batch)?;
            let mut read = Vec::with_capacity(batch.len() * 252);
            for (leaf, bytes) in batch.iter().zip(bytes.chunks_exact(BLOCK)) {
                let node = Node::parse(bytes, leaf.block, 8)
                    .map_err(|what| self.metadata.damaged(what))?;
                if !node.is_leaf {
                    return Err(self.metadata.damaged("a tree of uneven depth"));
                }
                read.extend(node.entries().map(|(block, value)| Mapping {
                    block,
                    data: value >> 24,
                    time: (value & 0x00ff_ffff) as u32,
                }));
            }
            self.read = read.into_iter();
        }
    }
}

#[cfg(test)]
mod tests;
