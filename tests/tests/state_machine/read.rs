//! Everything that an archive shows, read to its last byte.

use nacre::archive::{Archive, Error};
use nacre_tests::{KnownHashes, chunk_hashes};

use super::model::{Content, Volumes};

/// Reads every chunk of everything, those that are there several times once.
pub fn read(archive: &Archive) -> Result<Volumes, Error> {
    let sessions = archive.sessions()?;
    let mut known = KnownHashes::new();
    let mut all = Volumes::new();
    for volume in &archive.head().volumes {
        let versions = all.entry(volume.name.clone()).or_default();
        for (seq, session, at) in sessions.of_volume(volume.id) {
            let content = Content {
                finished: !session.unfinished,
                size: at.size,
                chunks: chunk_hashes(archive, volume, at, &mut known)?,
            };
            versions.insert(seq, content);
        }
    }
    Ok(all)
}
