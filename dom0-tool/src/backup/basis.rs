//! What a volume is compared with, and which of its chunks have to be looked at at all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use nacre_core::ids::{SessionSeq, VolumeId};
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Root, TreeKind};
use nacre_core::tree::{Compare, Diff};

use crate::archive::{Archive, Nodes, Result, Sessions};
use crate::joints::{Changes, FrozenVolume, VolumeRange};

/// Chunk numbers: sorted, apart, none empty.
pub type ChunkRanges = Arc<[Range<u64>]>;

/// The last finished session of a volume that was read from a local snapshot.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its number.
    pub seq: SessionSeq,
    /// The volume's tree in it.
    root: Root,
    /// The volume's size in it.
    size: u64,
    /// The snapshot's identity.
    pub identity: Vec<u8>,
}

/// For each volume the last finished session that was read from a snapshot, where there is one.
///
/// If the newest session is an unfinished one, that is kept beside it, because of an unfinished session no snapshot may be trusted: parts of
/// it are older. The session must still be there, since what the snapshot held is known by its tree only.
pub fn finished(archive: &Archive, sessions: &Sessions) -> BTreeMap<VolumeId, Finished> {
    let of_volume = |volume: &nacre_core::head::Volume| {
        let newest = volume.newest?;
        let (seq, identity) = if sessions.get(newest)?.unfinished {
            volume.finished()?
        } else {
            (newest, volume.snapshot())
        };
        let session = sessions.get(seq).filter(|session| !session.unfinished)?;
        let at = session.volume(volume.id)?;
        let found = Finished {
            seq,
            root: at.root,
            size: at.size,
            identity: identity.to_vec(),
        };
        (!identity.is_empty()).then_some((volume.id, found))
    };
    archive
        .head()
        .volumes
        .iter()
        .filter_map(of_volume)
        .collect()
}

/// Which chunks of a volume are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// All of them. With the reason, if there is one that the user should know.
    Everything(Option<String>),
    /// These; all others are as the tree has them that is compared with.
    Only {
        /// The chunks.
        chunks: ChunkRanges,
        /// Bytes that the storage says may have changed; for an estimate.
        changed: u64,
    },
}

impl Look {
    /// The chunks, of a volume of so many.
    pub fn chunks(&self, count: u64) -> ChunkRanges {
        match self {
            Self::Only { chunks, .. } => Arc::clone(chunks),
            Self::Everything(_) => (count > 0).then_some(0..count).into_iter().collect(),
        }
    }
}

/// Says which chunks have to be compared with the volume's newest tree `base`.
///
/// Outside of what changed since the snapshot of a finished session, the volume is as in that session. So a chunk may be left out there
/// if the newest tree has it as that session has it: always if it is that session's own tree; if it is one that an interrupted run left, but for
/// the chunks in which the two trees differ (one that the run stored may have got its old content back since).
pub fn look(
    nodes: &Nodes,
    frozen: &dyn FrozenVolume,
    base: &Root,
    finished: Option<&Finished>,
) -> Result<Look> {
    let Some(finished) = finished else {
        let why = "no finished session of it was read from a snapshot";
        let worth_telling = !frozen.identity().is_empty() && *base != Root::Empty;
        return Ok(Look::Everything(worth_telling.then(|| why.to_owned())));
    };
    let ranges = match frozen.changes_since(&finished.identity) {
        Ok(Changes::Ranges(ranges)) => ranges,
        Ok(Changes::Everything(why)) => return Ok(Look::Everything(Some(why))),
        // What cannot be known by a short cut is found out the long way.
        Err(error) => return Ok(Look::Everything(Some(error.to_string()))),
    };
    let chunk_size = nodes.format().chunk_size() as u64;
    let count = frozen.size().div_ceil(chunk_size);
    let inside = |range: VolumeRange| range.start..range.end.min(frozen.size());
    let resized = resized(finished.size, frozen.size());
    let bytes = merged(ranges.into_iter().chain(resized).map(inside).collect());
    let changed = bytes.iter().map(|range| range.end - range.start).sum();
    let whole = |range: &Range<u64>| range.start / chunk_size..range.end.div_ceil(chunk_size);
    let mut chunks: Vec<Range<u64>> = bytes.iter().map(whole).collect();
    if *base != finished.root {
        add_differences(nodes, &finished.root, base, count, &mut chunks)?;
    }
    Ok(Look::Only {
        chunks: merged(chunks).into(),
        changed,
    })
}

/// The same ranges sorted, put together where they touch, without empty ones.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| range.start < range.end);
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let joins = next.start <= last.end;
        if joins {
            last.end = last.end.max(next.end);
        }
        joins
    });
    ranges
}

/// What a new size changes, whatever the storage says of it: the last chunk reads otherwise behind its old or its new end.
fn resized(old: u64, new: u64) -> Option<VolumeRange> {
    let start = old.min(new).saturating_sub(1);
    (old != new && start < new).then_some(VolumeRange { start, end: new })
}

/// Adds the chunks below `count` in which two trees differ.
fn add_differences(
    nodes: &Nodes,
    old: &Root,
    new: &Root,
    count: u64,
    chunks: &mut Vec<Range<u64>>,
) -> Result<()> {
    let mut diff = Diff::<ChunkEntry>::new(TreeKind::Chunks, old, new, Compare::Content);
    let mut source = nodes;
    while let Some(batch) = diff.next(&mut source)? {
        for key in batch.entries.iter().map(|cell| cell.key) {
            match chunks.last_mut() {
                Some(last) if last.end == key && key < count => last.end += 1,
                _ => chunks.push(key..(key + 1).min(count)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_size_changes_the_last_chunk_both_ways() {
        let range = |start, end| Some(VolumeRange { start, end });
        assert_eq!(resized(100, 100), None);
        assert_eq!(resized(100, 300), range(99, 300));
        assert_eq!(resized(300, 100), range(99, 100));
        assert_eq!(resized(300, 0), None);
        assert_eq!(resized(0, 10), range(0, 10));
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "one range is a case too")]
    fn ranges_are_put_together() {
        assert_eq!(merged(vec![5..7, 0..2, 2..3, 6..6, 6..9]), [0..3, 5..9]);
        assert_eq!(merged(vec![0..9, 1..2, 3..4]), [0..9]);
        assert_eq!(merged(Vec::new()), []);
    }
}
