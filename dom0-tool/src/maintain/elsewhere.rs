//! Where content may still be that an archive has lost: local copies of a volume, and other archives.
//!
//! Nothing vouches for what is found there: the caller says of each piece whether it is the one wanted, which it knows by its id.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use nacre_core::hash::ChunkIdKey;
use nacre_core::ids::ChunkId;
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Root, TreeKind};
use nacre_core::tree::{Compare, Diff};

use crate::archive::{Archive, ChunkReader, Nodes, Result};
use crate::joints::FrozenVolume;

/// So many chunks of another archive's index are looked up together.
const WINDOW: u64 = 4096;

/// A place that may have content of one volume.
pub struct Elsewhere {
    /// What the user calls it.
    pub name: String,
    held: Held,
}

enum Held {
    Local(Box<dyn FrozenVolume>),
    Versions(Box<Versions>),
}

impl Elsewhere {
    /// A volume as it is, and the snapshot kept of it.
    pub fn local(name: impl Into<String>, volume: Box<dyn FrozenVolume>) -> Self {
        Self {
            name: name.into(),
            held: Held::Local(volume),
        }
    }

    /// All versions of the volume of that name in another archive; `None` if it has none.
    pub fn archive(name: impl Into<String>, other: &Archive, volume: &str) -> Result<Option<Self>> {
        let Some(volume) = other.head().volume(volume) else {
            return Ok(None);
        };
        let (sessions, _) = other.readable_sessions()?;
        let of_volume = sessions.of_volume(volume.id).rev();
        let roots: Vec<Root> = of_volume.map(|(_, _, at)| at.root).collect();
        let versions = Versions {
            nodes: other.nodes(),
            ids: other.volume_ids(volume),
            roots,
            known: Known::default(),
        };
        Ok((!versions.roots.is_empty()).then(|| Self {
            name: name.into(),
            held: Held::Versions(Box::new(versions)),
        }))
    }

    /// Tells a local copy from which snapshot the newest session was read, which it may have kept.
    pub(super) fn expect(&self, snapshot: &[u8]) {
        if let Held::Local(volume) = &self.held {
            // Only for `read_before`, which says itself whether it can be used.
            let _ = volume.changes_since(snapshot);
        }
    }

    /// Fills `buffer` with what there is, or was, at `offset`, until `is_it` says that this is it. An error means that nothing can be had from
    /// here any more; what is damaged here or cannot be read is passed over.
    pub(super) fn find(
        &mut self,
        offset: u64,
        buffer: &mut [u8],
        is_it: &dyn Fn(&[u8]) -> bool,
    ) -> Result<bool> {
        match &mut self.held {
            Held::Local(volume) => {
                let now = offset < volume.size() && volume.read_at(offset, buffer).is_ok();
                if now && is_it(buffer) {
                    return Ok(true);
                }
                let before = volume.read_before(offset, buffer);
                Ok(before.unwrap_or(false) && is_it(buffer))
            }
            Held::Versions(versions) => versions.find(offset, buffer, is_it),
        }
    }
}

/// A volume's versions in another archive, the newest first.
struct Versions {
    nodes: Arc<Nodes>,
    ids: ChunkIdKey,
    roots: Vec<Root>,
    known: Known,
}

/// What the versions hold in some chunks: of each chunk with which version the entry changes, and to what.
#[derive(Default)]
struct Known {
    chunks: Range<u64>,
    changes: BTreeMap<u64, Vec<(usize, Option<ChunkEntry>)>>,
}

impl Known {
    /// The entry of a chunk in a version.
    fn entry(&self, chunk: u64, version: usize) -> Option<&ChunkEntry> {
        let changes = self.changes.get(&chunk)?;
        let since = changes.iter().rfind(|(at, _)| *at <= version);
        since.and_then(|(_, entry)| entry.as_ref())
    }

    /// The versions with which any of some chunks changes.
    fn turns(&self, chunks: Range<u64>) -> BTreeSet<usize> {
        let changes = self.changes.range(chunks).flat_map(|(_, list)| list);
        changes.map(|(version, _)| *version).collect()
    }
}

impl Versions {
    fn find(
        &mut self,
        offset: u64,
        buffer: &mut [u8],
        is_it: &dyn Fn(&[u8]) -> bool,
    ) -> Result<bool> {
        // The other archive's chunks may be of another size.
        let size = self.nodes.format().chunk_size() as u64;
        let end = offset.saturating_add(buffer.len() as u64);
        let chunks = offset / size..end.div_ceil(size);
        self.look_up(&chunks)?;
        let mut tried: Vec<Vec<Option<ChunkId>>> = Vec::new();
        for version in self.known.turns(chunks.clone()) {
            let entries = chunks.clone().map(|chunk| self.known.entry(chunk, version));
            let ids: Vec<_> = entries
                .map(|entry| entry.map(|entry| *entry.id()))
                .collect();
            if !tried.contains(&ids) {
                let whole = self.read(version, chunks.clone(), offset, buffer)?;
                if whole && is_it(buffer) {
                    return Ok(true);
                }
                tried.push(ids);
            }
        }
        Ok(false)
    }

    /// Looks up what all versions hold around these chunks: the newest as a whole, the others where they differ.
    fn look_up(&mut self, chunks: &Range<u64>) -> Result<()> {
        if self.known.chunks.start <= chunks.start && chunks.end <= self.known.chunks.end {
            return Ok(());
        }
        let start = chunks.start - chunks.start % WINDOW;
        let window = start..chunks.end.max(start.saturating_add(WINDOW));
        self.known = Known::default();
        let mut newer = Root::Empty;
        for (version, root) in self.roots.iter().enumerate() {
            let mut diff =
                Diff::<ChunkEntry>::new(TreeKind::Chunks, &newer, root, Compare::Content)
                    .within(window.clone());
            let (mut source, mut lost): (&Nodes, _) = (&self.nodes, Vec::new());
            while let Some(batch) = diff.next_tolerant(&mut source, &mut lost) {
                for change in batch.entries {
                    let list = self.known.changes.entry(change.key).or_default();
                    list.push((version, change.new));
                }
                // What cannot be read there is not found there.
                if let Some(fault) = lost.drain(..).find(|node| !node.error.is_damage()) {
                    return Err(fault.error);
                }
            }
            newer = *root;
        }
        self.known.chunks = window;
        Ok(())
    }

    /// Puts together what a version holds; `false` if some of it cannot be read.
    fn read(
        &self,
        version: usize,
        chunks: Range<u64>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<bool> {
        buffer.fill(0);
        let size = self.nodes.format().chunk_size();
        let entry = |chunk| Some((chunk, self.known.entry(chunk, version)?.clone()));
        let task: Vec<(u64, ChunkEntry)> = chunks.filter_map(entry).collect();
        let mut reader = ChunkReader::new(&self.nodes, &self.ids, size);
        let mut whole = true;
        reader.read(&task, &mut |chunk, content, _| match content {
            Ok(content) => {
                lay(content, chunk.saturating_mul(size as u64), buffer, offset);
                Ok(())
            }
            Err(error) if error.is_damage() => {
                whole = false;
                Ok(())
            }
            Err(error) => Err(error),
        })?;
        Ok(whole)
    }
}

/// Copies the part of `content`, which lies at `from`, that falls into `buffer`, which lies at `to`.
fn lay(content: &[u8], from: u64, buffer: &mut [u8], to: u64) {
    let behind = |ahead: u64| usize::try_from(ahead).unwrap_or(usize::MAX);
    let source = content.get(behind(to.saturating_sub(from))..);
    let goal = buffer.get_mut(behind(from.saturating_sub(to))..);
    if let (Some(source), Some(goal)) = (source, goal) {
        for (goal, source) in goal.iter_mut().zip(source) {
            *goal = *source;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lay;

    #[test]
    fn chunks_of_any_size_are_laid_where_they_belong() {
        let all: Vec<u8> = (0..32).collect();
        for (size, wanted) in [(4_usize, 8..16_usize), (8, 8..16), (16, 8..12)] {
            let mut buffer = vec![0; wanted.len()];
            for (number, chunk) in (0_u64..).zip(all.chunks(size)) {
                let end = (number + 1) * size as u64;
                if end > wanted.start as u64 && end - (size as u64) < wanted.end as u64 {
                    lay(
                        chunk,
                        number * size as u64,
                        &mut buffer,
                        wanted.start as u64,
                    );
                }
            }
            assert_eq!(buffer, all[wanted]);
        }
    }
}
