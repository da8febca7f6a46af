//! What a volume is compared with, and which of its chunks have to be looked at at all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use nacre_core::ids::{SessionSeq, VolumeId};
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Root, TreeKind};
use nacre_core::tree::{Compare, Diff};

use crate::archive::{Archive, Nodes, Result, Sessions};
use crate::joints::{Changes, FrozenVolume, Ranges, VolumeRange};

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
pub fn finished(archive: &Archive, sessions: &Sessions) -> BTreeMap<VolumeId, Finished> {
    let of_volume = |volume: &nacre_core::head::Volume| {
        let (seq, at, identity) = sessions.snapshot_of(volume)?;
        let found = Finished {
            seq,
            root: at.root,
            size: at.size,
            identity: identity.to_vec(),
        };
        Some((volume.id, found))
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
        /// The bytes that the storage says may have changed.
        changed: Arc<Ranges>,
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
    let bytes = Ranges::of(&ranges)
        .union(&Ranges::of_resize(finished.size, frozen.size()))
        .clip(frozen.size());
    let mut chunks = Ranges::new();
    for range in bytes.as_slice() {
        chunks.push(VolumeRange {
            start: range.start / chunk_size,
            end: range.end.div_ceil(chunk_size),
        });
    }
    if *base != finished.root {
        chunks = chunks.union(&differences(nodes, &finished.root, base)?.clip(count));
    }
    let chunks = chunks.as_slice().iter();
    Ok(Look::Only {
        chunks: chunks.map(|range| range.start..range.end).collect(),
        changed: Arc::new(bytes),
    })
}

/// The chunks in which two trees differ.
fn differences(nodes: &Nodes, old: &Root, new: &Root) -> Result<Ranges> {
    let mut diff = Diff::<ChunkEntry>::new(TreeKind::Chunks, old, new, Compare::Content);
    let mut source = nodes;
    let mut chunks = Ranges::new();
    while let Some(batch) = diff.next(&mut source)? {
        for key in batch.entries.iter().map(|cell| cell.key) {
            chunks.push(VolumeRange {
                start: key,
                end: key + 1,
            });
        }
    }
    Ok(chunks)
}
