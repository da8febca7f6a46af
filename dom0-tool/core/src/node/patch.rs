//! Patches: what a chunk stored as a few blocks over an older one is made of (DESIGN 4.2).

use super::{Bitmap, ChunkEntry, ChunkFormat};
use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::place::Place;

/// Size of a block, in bytes.
pub const BLOCK: usize = 4096;

/// What a new patch would stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchPlan {
    /// Id of the base's content.
    pub base: ChunkId,
    /// Where the base lies, stored whole.
    pub base_place: Place,
    /// The blocks that differ from the base, as far as is known.
    pub bitmap: Bitmap,
}

/// Plans a patch over what is stored, `changed` being the blocks in which the new content differs from the old entry's. A patch over a
/// patch takes the older one's base and blocks along. `None`: the old entry has no content to stand on, nothing changed, or so
/// many blocks did that the patch could not pay.
pub fn plan(format: ChunkFormat, old: &ChunkEntry, changed: &Bitmap) -> Option<PatchPlan> {
    let plan = match old {
        ChunkEntry::Chunk { id, place } => PatchPlan {
            base: *id,
            base_place: *place,
            bitmap: *changed,
        },
        ChunkEntry::Patched(patched) => PatchPlan {
            base: patched.base,
            base_place: patched.base_place,
            bitmap: patched.bitmap.union(changed),
        },
        ChunkEntry::Lost { .. } => return None,
    };
    let half = format.blocks() >> 1;
    (1..=half)
        .contains(&(plan.bitmap.count() as usize))
        .then_some(plan)
}

/// Whether a patch of this sealed length pays where the whole chunk would take `whole`: at most half of it. Who does not know the whole
/// chunk's length takes the base's.
pub fn pays(patch: u32, whole: u32) -> bool {
    u64::from(patch).saturating_mul(2) <= u64::from(whole)
}

/// The blocks in which two contents of the same chunk differ. Both are one chunk long; otherwise the shorter is taken to differ in what it lacks.
pub fn changed_blocks(format: ChunkFormat, old: &[u8], new: &[u8]) -> Bitmap {
    let mut bitmap = Bitmap::empty(format);
    let mut old = old.chunks(BLOCK);
    for (number, block) in new.chunks(BLOCK).enumerate() {
        if old.next() != Some(block) {
            bitmap.set(number);
        }
    }
    bitmap
}

/// The patch's body: the blocks of the bitmap, taken from the new content, in order.
pub fn gather(bitmap: &Bitmap, new: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity((bitmap.count() as usize).saturating_mul(BLOCK));
    for (number, block) in new.chunks(BLOCK).enumerate() {
        if bitmap.has(number) {
            body.extend_from_slice(block);
        }
    }
    body
}

/// Puts the blocks of a patch over its base, which becomes the patched content.
pub fn apply(base: &mut [u8], bitmap: &Bitmap, body: &[u8]) -> Result<()> {
    let wrong = FormatError::Mismatch("patch");
    let mut blocks = body.chunks_exact(BLOCK);
    for (number, block) in base.chunks_exact_mut(BLOCK).enumerate() {
        if bitmap.has(number) {
            block.copy_from_slice(blocks.next().ok_or_else(|| wrong.clone())?);
        }
    }
    if blocks.next().is_some() || !blocks.remainder().is_empty() {
        return Err(wrong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Alias;
    use crate::node::Patched;

    fn format() -> ChunkFormat {
        ChunkFormat::new(16).unwrap()
    }

    fn place(offset: u64) -> Place {
        Place {
            alias: Alias(1),
            offset,
            length: 100,
        }
    }

    fn written(content: &[u8], blocks: &[usize], byte: u8) -> Vec<u8> {
        let mut new = content.to_vec();
        for block in blocks {
            new[block * BLOCK + 7] = byte;
        }
        new
    }

    proptest! {
        #[test]
        fn a_patch_over_a_patch_gives_the_newest_content(first in prop::collection::vec(0..16_usize, 1..4), second in prop::collection::vec(0..16_usize, 1..4)) {
            let old = vec![1; 16 * BLOCK];
            let middle = written(&old, &first, 2);
            let new = written(&middle, &second, 3);
            let patch = plan(format(), &ChunkEntry::Chunk { id: ChunkId([1; 32]), place: place(0) }, &changed_blocks(format(), &old, &middle)).unwrap();
            let entry = ChunkEntry::Patched(Box::new(Patched {
                id: ChunkId([2; 32]), base: patch.base, base_place: patch.base_place, bitmap: patch.bitmap, place: place(200),
            }));
            let patch = plan(format(), &entry, &changed_blocks(format(), &middle, &new)).unwrap();
            prop_assert_eq!(patch.base_place, place(0));
            let mut content = old;
            apply(&mut content, &patch.bitmap, &gather(&patch.bitmap, &new)).unwrap();
            prop_assert_eq!(content, new);
        }
    }

    #[test]
    fn a_patch_never_costs_more_than_half_of_the_chunk() {
        assert!(pays(50, 100));
        assert!(!pays(51, 100));
        let old = ChunkEntry::Chunk {
            id: ChunkId([1; 32]),
            place: place(0),
        };
        let mut changed = Bitmap::empty(format());
        assert_eq!(plan(format(), &old, &changed), None);
        (0..8).for_each(|block| changed.set(block));
        assert!(plan(format(), &old, &changed).is_some());
        changed.set(8);
        assert_eq!(plan(format(), &old, &changed), None);
    }

    #[test]
    fn a_patch_of_another_length_is_refused() {
        let mut bitmap = Bitmap::empty(format());
        bitmap.set(3);
        for length in [0, BLOCK - 1, BLOCK + 1, 2 * BLOCK] {
            let mut base = vec![0; 16 * BLOCK];
            assert!(apply(&mut base, &bitmap, &vec![1; length]).is_err());
        }
    }
}
