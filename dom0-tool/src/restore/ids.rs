//! Compares a local volume with a session by the ids of chunks: nothing but the index is read from the store.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nacre_core::hash::ChunkIdKey;

use super::run::{Version, Watch};
use crate::archive::{Error, KnownEntries, Nodes, Result};
use crate::joints::{AlignedBuffer, FrozenVolume, VolumeRange};

/// The chunks in which `frozen` differs from a version of it, as byte ranges of the larger of the two. Only chunks in `ranges` are looked at:
/// sorted, apart, none empty, inside the larger of the two.
pub fn differing_ids(
    nodes: &Arc<Nodes>,
    ids: &ChunkIdKey,
    version: Version,
    frozen: &dyn FrozenVolume,
    ranges: &Arc<[Range<u64>]>,
    watch: Watch<'_>,
) -> Result<Vec<VolumeRange>> {
    let chunk_size = nodes.format().chunk_size();
    let size = frozen.size().max(version.size);
    let mut known = KnownEntries::new(Arc::clone(nodes), &version.root, Arc::clone(ranges));
    let mut buffer = AlignedBuffer::new(chunk_size);
    let mut found: Vec<VolumeRange> = Vec::new();
    for range in ranges.iter() {
        known.take_below(range.start, &mut Vec::new())?;
        for chunk in range.clone() {
            if watch.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let start = chunk * chunk_size as u64;
            let end = (start + chunk_size as u64).min(size);
            let mut there = Vec::new();
            known.take_below(chunk + 1, &mut there)?;
            let there = there.pop().map(|(_, entry)| entry);
            let hole = frozen
                .next_data(start)?
                .is_none_or(|data| data.start >= end);
            if hole {
                buffer.fill(0);
            } else {
                frozen.read_at(start, &mut buffer)?;
            }
            let same = match &there {
                Some(entry) => !entry.is_lost() && *entry.id() == ids.id(&buffer),
                None => buffer.iter().all(|byte| *byte == 0),
            };
            watch.progress.scanned(end - start);
            match found.last_mut() {
                _ if same => {}
                Some(last) if last.end == start => last.end = end,
                _ => found.push(VolumeRange { start, end }),
            }
        }
    }
    Ok(found)
}
