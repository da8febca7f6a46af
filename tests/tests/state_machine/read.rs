//! Everything that an archive shows, read to its last byte.

use std::collections::BTreeMap;

use blake3::Hash;
use nacre::archive::{Archive, ChunkReader, Error, Nodes};
use nacre_core::head::Volume;
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Place, Root, TreeKind};
use nacre_core::session::SessionVolume;
use nacre_core::tree::{Compare, Diff};

use super::machine::CHUNK;
use super::model::{Content, Volumes};

/// Hashes of the chunks that were read already.
type Known = BTreeMap<Vec<Place>, Hash>;

/// Reads every chunk of everything, those that are there several times once.
pub fn read(archive: &Archive) -> Result<Volumes, Error> {
    let sessions = archive.sessions()?;
    let mut known = Known::new();
    let mut all = Volumes::new();
    for volume in &archive.head().volumes {
        let versions = all.entry(volume.name.clone()).or_default();
        for (seq, session, at) in sessions.of_volume(volume.id) {
            let content = Content {
                finished: !session.unfinished,
                size: at.size,
                chunks: chunks(archive, volume, at, &mut known)?,
            };
            versions.insert(seq, content);
        }
    }
    Ok(all)
}

fn chunks(
    archive: &Archive,
    volume: &Volume,
    at: &SessionVolume,
    known: &mut Known,
) -> Result<Vec<Hash>, Error> {
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
    ChunkReader::new(&nodes, &ids, CHUNK).read(&task, &mut |_, content, _| {
        hashes.push(blake3::hash(content?));
        Ok(())
    })?;
    known.extend(task.iter().map(|(_, entry)| places(entry)).zip(hashes));
    let mut chunks = vec![
        blake3::hash(&vec![0; CHUNK]);
        usize::try_from(at.size.div_ceil(CHUNK as u64)).unwrap()
    ];
    for (number, entry) in &entries {
        // Behind its end a volume has no chunks.
        chunks[usize::try_from(*number).unwrap()] = known[&places(entry)];
    }
    Ok(chunks)
}
