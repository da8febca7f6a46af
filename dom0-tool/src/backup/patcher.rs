//! Stores a chunk as the few blocks by which it differs from what the archive has of it, where that pays (DESIGN 4.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nacre_core::hash::ChunkIdKey;
use nacre_core::node::patch::{self, PatchPlan};
use nacre_core::node::{ChunkEntry, ChunkFormat};
use nacre_core::seal::{Encoder, ItemBuffer};

use crate::joints::{AlignedBuffer, FrozenVolume, Ranges};

/// After so many chunks in a row that made no patch …
const PATIENCE: u32 = 32;
/// … only every so manieth old chunk is still read and compared: where much is written anew, that would only double the reading.
const SAMPLE: u32 = 8;
/// Patches are made of blocks of this size.
const BLOCK: u64 = patch::BLOCK as u64;

/// The old content of one volume's chunks, for the workers.
pub struct Before<'v> {
    frozen: &'v dyn FrozenVolume,
    /// What the storage says may have changed since.
    changed: Arc<Ranges>,
    format: ChunkFormat,
    /// Chunks in a row without a patch. Only a measure of what to expect: exact order between threads does not matter.
    in_vain: AtomicU32,
}

impl<'v> Before<'v> {
    /// What the snapshot held to which the change map of `frozen` leads back.
    pub fn new(frozen: &'v dyn FrozenVolume, changed: Arc<Ranges>, format: ChunkFormat) -> Self {
        Self {
            frozen,
            changed,
            format,
            in_vain: AtomicU32::new(0),
        }
    }

    /// Puts the old content into `chunk`, which begins at `offset` and holds the new one: only what may have changed is read. Whether that
    /// makes the old chunk is for its id to tell, not for the storage. `false`: the old content is not at hand.
    fn put_back(&self, offset: u64, chunk: &mut [u8]) -> bool {
        let end = offset.saturating_add(chunk.len() as u64);
        let ranges = self.changed.as_slice();
        let first = ranges.partition_point(|range| range.end <= offset);
        let here = ranges.get(first..).unwrap_or_default().iter();
        let mut done = offset;
        for range in here.take_while(|range| range.start < end) {
            // In whole blocks, as direct reads want them; two ranges may share one.
            let start = (range.start.max(offset) / BLOCK * BLOCK).max(done);
            let stop = range.end.min(end).next_multiple_of(BLOCK).min(end);
            let place = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
            if start >= stop {
                continue;
            }
            let Some(part) = chunk.get_mut(place(start)..place(stop)) else {
                return false;
            };
            // Whether it cannot be read or is not there any more: stored whole, the chunk is as safe as ever.
            if !self.frozen.read_before(start, part).unwrap_or(false) {
                return false;
            }
            done = stop;
        }
        true
    }

    fn worth_trying(&self) -> bool {
        let in_vain = self.in_vain.load(Ordering::Relaxed);
        in_vain < PATIENCE || in_vain.is_multiple_of(SAMPLE)
    }

    fn tried(&self, made: bool) {
        if made {
            self.in_vain.store(0, Ordering::Relaxed);
        } else {
            // Wrapping round to zero only means to try again.
            self.in_vain.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One worker's memory for old chunks.
pub struct Patcher {
    old: Option<AlignedBuffer>,
}

/// A chunk that changed.
#[derive(Clone, Copy)]
pub struct Change<'c> {
    /// Its number.
    pub number: u64,
    /// What the archive has of it.
    pub entry: &'c ChunkEntry,
    /// What it is now.
    pub content: &'c [u8],
}

impl Patcher {
    /// Takes memory only when it is needed.
    pub fn new() -> Self {
        Self { old: None }
    }

    /// Encodes a patch into `item` and says what it stands on. `None`: the chunk is to be stored whole.
    pub fn encode(
        &mut self,
        before: &Before<'_>,
        ids: &ChunkIdKey,
        change: Change<'_>,
        encoder: &mut Encoder,
        item: &mut ItemBuffer,
    ) -> Option<PatchPlan> {
        let made = before
            .worth_trying()
            .then(|| self.attempt(before, ids, change, encoder, item))
            .flatten();
        before.tried(made.is_some());
        made
    }

    fn attempt(
        &mut self,
        before: &Before<'_>,
        ids: &ChunkIdKey,
        change: Change<'_>,
        encoder: &mut Encoder,
        item: &mut ItemBuffer,
    ) -> Option<PatchPlan> {
        let length = change.content.len();
        let old = self.old.get_or_insert_with(|| AlignedBuffer::new(length));
        let old = old.get_mut(..length)?;
        let offset = change.number.checked_mul(length as u64)?;
        old.copy_from_slice(change.content);
        if !before.put_back(offset, old) {
            return None;
        }
        // A rotten or altered snapshot must not poison the backup: a patch over anything but the archive's own content would.
        if ids.id(old) != *change.entry.id() {
            return None;
        }
        let changed = patch::changed_blocks(before.format, old, change.content);
        let plan = patch::plan(before.format, change.entry, &changed)?;
        item.encode(encoder, &patch::gather(&plan.bitmap, change.content));
        patch::pays(item.sealed_length(), plan.base_place.length).then_some(plan)
    }
}
