//! Trees whose entries are records: sessions, packs, run counters, head history.

use std::ops::Range;

use super::{EditTarget, Edited, NodeSink, NodeSource, RecordItem, Walk, edit, lookup};
use crate::error::FormatError;
use crate::hash::DigestKey;
use crate::ids::{SessionSeq, VolumeId};
use crate::node::{INLINE_LIMIT, RecordEntry, record_digest};
use crate::place::{MAX_RECORD, Pointer, Root, TreeKind};

/// A tree of records.
#[derive(Clone, Copy, Debug)]
pub struct RecordTree {
    /// Which one.
    pub tree: TreeKind,
    /// Its root.
    pub root: Root,
}

/// Changes of a record tree whose large records lie in their pack already, in order of keys.
#[derive(Clone, Debug, Default)]
pub struct StagedRecords {
    changes: Vec<(u64, Option<RecordEntry>)>,
}

impl RecordTree {
    /// The record of one key.
    pub fn get<S: NodeSource>(
        &self,
        source: &mut S,
        key: u64,
    ) -> Result<Option<Vec<u8>>, S::Error> {
        let found = self.get_many(source, &[key])?;
        Ok(found.into_iter().next().flatten())
    }

    /// The records of some keys, which rise: a batch for each level, and one for large records.
    pub fn get_many<S: NodeSource>(
        &self,
        source: &mut S,
        keys: &[u64],
    ) -> Result<Vec<Option<Vec<u8>>>, S::Error> {
        let entries = lookup(source, self.tree, &self.root, keys)?.entries;
        self.open(source, &entries)
    }

    /// The records that entries stand for.
    fn open<S: NodeSource>(
        &self,
        source: &mut S,
        entries: &[Option<RecordEntry>],
    ) -> Result<Vec<Option<Vec<u8>>>, S::Error> {
        let pointers: Vec<Pointer> = entries
            .iter()
            .filter_map(|entry| match entry {
                Some(RecordEntry::Record(pointer)) => Some(*pointer),
                _ => None,
            })
            .collect();
        let mut records = if pointers.is_empty() {
            Vec::new()
        } else {
            source.records(self.tree, &pointers)?
        }
        .into_iter();
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            all.push(match entry {
                None => None,
                Some(RecordEntry::Inline(bytes)) => Some(bytes.clone()),
                Some(RecordEntry::Record(_)) => {
                    let record = records.next();
                    Some(record.ok_or(FormatError::Mismatch("a record"))?)
                }
            });
        }
        Ok(all)
    }

    /// All records of a range of keys, in order. Large records are fetched in one batch for each window of leaves.
    pub fn range<S: NodeSource>(
        &self,
        source: &mut S,
        keys: Range<u64>,
    ) -> Result<Vec<(u64, Vec<u8>)>, S::Error> {
        let mut all = Vec::new();
        self.each(source, keys, |key, record| {
            all.push((key, record));
            Ok(())
        })?;
        Ok(all)
    }

    /// Calls `visit` for every record of a range of keys, in order, holding no more than a window of them.
    pub fn each<S: NodeSource>(
        &self,
        source: &mut S,
        keys: Range<u64>,
        mut visit: impl FnMut(u64, Vec<u8>) -> Result<(), S::Error>,
    ) -> Result<(), S::Error> {
        let mut walk = Walk::new(self.tree, &self.root, keys);
        while let Some(batch) = walk.next(source)? {
            let (keys, entries): (Vec<u64>, Vec<Option<RecordEntry>>) = batch
                .entries::<RecordEntry>()
                .map(|(key, entry)| (key, Some(entry.clone())))
                .unzip();
            let records = self.open(source, &entries)?;
            for (key, record) in keys.into_iter().zip(records) {
                if let Some(record) = record {
                    visit(key, record)?;
                }
            }
        }
        Ok(())
    }

    /// The same, as far as the tree can be read: ranges of keys whose records cannot be are added to `lost`, and the walk goes on behind them.
    pub fn each_tolerant<S: NodeSource>(
        &self,
        source: &mut S,
        keys: Range<u64>,
        lost: &mut Vec<(Range<u64>, S::Error)>,
        mut visit: impl FnMut(u64, Vec<u8>),
    ) {
        let mut walk = Walk::new(self.tree, &self.root, keys);
        while let Some(batch) = walk.next_tolerant(source, lost) {
            let (keys, entries): (Vec<u64>, Vec<Option<RecordEntry>>) = batch
                .entries::<RecordEntry>()
                .map(|(key, entry)| (key, Some(entry.clone())))
                .unzip();
            let all = self.open(source, &entries);
            let mut all = all.ok().map(Vec::into_iter);
            for (key, entry) in keys.into_iter().zip(&entries) {
                let record = match &mut all {
                    Some(records) => Ok(records.next()),
                    // One large record that is lost must not cost the others.
                    None => {
                        let one = self.open(source, std::slice::from_ref(entry));
                        one.map(|records| records.into_iter().next())
                    }
                };
                match record {
                    Ok(record) => {
                        if let Some(record) = record.flatten() {
                            visit(key, record);
                        }
                    }
                    Err(error) => lost.push((key..key.saturating_add(1), error)),
                }
            }
        }
    }

    /// Stores what is too large for a leaf. In a commit this comes before the nodes of any record tree (FORMAT 9). Keys must rise; `None` removes.
    pub fn stage<K: NodeSink>(
        tree: TreeKind,
        key: &DigestKey,
        changes: impl IntoIterator<Item = (u64, Option<Vec<u8>>)>,
        sink: &mut K,
    ) -> Result<StagedRecords, K::Error> {
        let mut staged = StagedRecords::default();
        for (number, record) in changes {
            let entry = match record {
                None => None,
                Some(bytes) if bytes.len() <= INLINE_LIMIT => Some(RecordEntry::Inline(bytes)),
                Some(bytes) => Some(put(tree, key, number, &bytes, sink)?),
            };
            staged.changes.push((number, entry));
        }
        Ok(staged)
    }

    /// Writes the nodes for staged changes.
    pub fn apply<S, K>(
        &self,
        key: &DigestKey,
        staged: StagedRecords,
        source: &mut S,
        sink: &mut K,
    ) -> Result<Edited, S::Error>
    where
        S: NodeSource,
        K: NodeSink,
        S::Error: From<K::Error>,
    {
        let target = EditTarget {
            tree: self.tree,
            volume: VolumeId(0),
            session: SessionSeq(0),
            key,
        };
        edit(target, &self.root, staged.changes, None, source, sink)
    }
}

fn put<K: NodeSink>(
    tree: TreeKind,
    key: &DigestKey,
    number: u64,
    bytes: &[u8],
    sink: &mut K,
) -> Result<RecordEntry, K::Error> {
    let raw_length = u32::try_from(bytes.len()).ok();
    let raw_length = raw_length
        .filter(|length| *length <= MAX_RECORD)
        .ok_or(FormatError::OutOfRange("a record"))?;
    let digest = record_digest(key, bytes);
    let item = RecordItem {
        tree,
        key: number,
        digest,
        bytes,
    };
    Ok(RecordEntry::Record(Pointer {
        place: sink.put_record(item)?,
        raw_length,
        digest,
    }))
}
