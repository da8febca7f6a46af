//! The content of a version of a volume, as the hashes of its chunks.

use std::collections::BTreeMap;

use blake3::Hash;
use nacre::archive::{Archive, ChunkReader, Error, Nodes};
use nacre_core::head::Volume;
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Place, Root, TreeKind};
use nacre_core::session::SessionVolume;
use nacre_core::tree::{Compare, Diff};

/// Hashes of the chunks that were read already, by where their items lie.
pub type KnownHashes = BTreeMap<Vec<Place>, Hash>;

/// Reads a version of a volume to its last byte, and what lies at one place once. A hash for each chunk; holes are zeros.
pub fn chunk_hashes(
    archive: &Archive,
    volume: &Volume,
    at: &SessionVolume,
    known: &mut KnownHashes,
) -> Result<Vec<Hash>, Error> {
    readable_chunk_hashes(archive, volume, at, known, &mut |_, error| Err(error))
}

/// The same, where somebody says what stands for a chunk that cannot be read.
#[allow(clippy::unwrap_used, reason = "a test cannot go on without it")]
pub fn readable_chunk_hashes(
    archive: &Archive,
    volume: &Volume,
    at: &SessionVolume,
    known: &mut KnownHashes,
    unreadable: &mut dyn FnMut(&ChunkEntry, Error) -> Result<Hash, Error>,
) -> Result<Vec<Hash>, Error> {
    let size = archive.chunk_size();
    let (nodes, ids) = (archive.nodes(), archive.volume_ids(volume));
    let mut source: &Nodes = &nodes;
    let mut diff =
        Diff::<ChunkEntry>::new(TreeKind::Chunks, &Root::Empty, &at.root, Compare::Places);
    let mut entries = Vec::new();
    while let Some(batch) = diff.next(&mut source)? {
        let there = batch.entries.into_iter();
        entries.extend(there.filter_map(|cell| Some((cell.key, cell.new?))));
    }
    let places = |entry: &ChunkEntry| entry.items().collect::<Vec<Place>>();
    let unknown = entries
        .iter()
        .filter(|(_, entry)| !known.contains_key(&places(entry)));
    let task: Vec<(u64, ChunkEntry)> = unknown.cloned().collect();
    let mut hashes = Vec::new();
    ChunkReader::new(&nodes, &ids, size).read(&task, &mut |_, content, _| {
        let hash = match content {
            Ok(content) => blake3::hash(content),
            Err(error) => unreadable(&task[hashes.len()].1, error)?,
        };
        hashes.push(hash);
        Ok(())
    })?;
    known.extend(task.iter().map(|(_, entry)| places(entry)).zip(hashes));
    let zeros = blake3::hash(&vec![0; size]);
    let mut chunks = vec![zeros; usize::try_from(at.size.div_ceil(size as u64)).unwrap()];
    for (number, entry) in &entries {
        // Behind its end a volume has no chunks.
        chunks[usize::try_from(*number).unwrap()] = known[&places(entry)];
    }
    Ok(chunks)
}
