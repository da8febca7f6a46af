//! Everything that an archive shows, read to its last byte.

use blake3::Hash;
use nacre::archive::{Archive, Error};
use nacre_core::node::ChunkEntry;
use nacre_tests::{KnownHashes, readable_chunk_hashes};

use super::model::{Content, LOST, Volumes};

/// Reads every chunk of everything, those that are there several times once. What a repair has marked as lost is [`LOST`].
pub fn read(archive: &Archive) -> Result<Volumes, Error> {
    walk(archive, &mut |entry, error| match entry {
        Some(entry) if entry.is_lost() => Ok(LOST),
        _ => Err(error),
    })
}

/// The same where something is damaged: what cannot be read is [`LOST`], too.
pub fn read_what_is_left(archive: &Archive) -> Result<Volumes, Error> {
    walk(archive, &mut |_, error| {
        if error.is_damage() {
            Ok(LOST)
        } else {
            Err(error)
        }
    })
}

/// What stands for a chunk that cannot be read, or for one of a version whose tree cannot.
type Unreadable<'a> = &'a mut dyn FnMut(Option<&ChunkEntry>, Error) -> Result<Hash, Error>;

fn walk(archive: &Archive, unreadable: Unreadable<'_>) -> Result<Volumes, Error> {
    let sessions = archive.sessions()?;
    let mut known = KnownHashes::new();
    let mut all = Volumes::new();
    for volume in &archive.head().volumes {
        let versions = all.entry(volume.name.clone()).or_default();
        for (seq, session, at) in sessions.of_volume(volume.id) {
            let chunks = readable_chunk_hashes(archive, volume, at, &mut known, &mut |e, error| {
                unreadable(Some(e), error)
            });
            let chunks = match chunks {
                Ok(chunks) => chunks,
                Err(error) => {
                    let hash = unreadable(None, error)?;
                    let count = at.size.div_ceil(archive.chunk_size() as u64);
                    (0..count).map(|_| hash).collect()
                }
            };
            let content = Content {
                finished: !session.unfinished,
                size: at.size,
                chunks,
            };
            versions.insert(seq, content);
        }
    }
    Ok(all)
}
