//! Everything that an archive shows: every version of every volume, read to its last byte.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use blake3::{Hash, Hasher};
use nacre::archive::{Archive, Error};
use nacre::joints::{Progress, VolumeRange};
use nacre::restore::{Compare, RestoreOptions, Version, Watch, restore};
use nacre_core::head::Volume;
use nacre_core::ids::SessionSeq;
use nacre_core::session::SessionVolume;
use nacre_tests::{KnownHashes, MemoryGoal, chunk_hashes};

use super::start::CHUNK;

/// What one version of a volume reads as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub finished: bool,
    pub hash: Hash,
    pub lost: Vec<VolumeRange>,
}

/// The versions of each volume, oldest first.
pub type Seen = BTreeMap<String, BTreeMap<SessionSeq, Content>>;

/// Reads every chunk of everything, those that are there several times once.
pub fn read(archive: &Archive) -> Result<Seen, Error> {
    read_with(archive, &mut |archive, volume, versions| {
        let mut known = KnownHashes::new();
        let read = |at: &&SessionVolume| {
            let chunks = chunk_hashes(archive, volume, at, &mut known)?;
            Ok((together(at.size, chunks.into_iter()), Vec::new()))
        };
        versions.iter().map(read).collect()
    })
}

/// Reads every version by itself, with what is lost of it.
pub fn read_damaged(archive: &Archive) -> Result<Seen, Error> {
    read_with(archive, &mut |archive, volume, versions| {
        let read = |at: &&SessionVolume| restored(archive, volume, at);
        versions.iter().map(read).collect()
    })
}

type Reads = Result<Vec<(Hash, Vec<VolumeRange>)>, Error>;

fn read_with(
    archive: &Archive,
    read: &mut dyn FnMut(&Archive, &Volume, &[&SessionVolume]) -> Reads,
) -> Result<Seen, Error> {
    let sessions = archive.sessions()?;
    let mut seen = Seen::new();
    for volume in &archive.head().volumes {
        let (keys, versions): (Vec<_>, Vec<_>) = sessions
            .of_volume(volume.id)
            .map(|(seq, session, at)| ((seq, !session.unfinished), at))
            .unzip();
        let contents = read(archive, volume, &versions)?.into_iter();
        let versions = keys.into_iter().zip(contents);
        let versions = versions.map(|((seq, finished), (hash, lost))| {
            let content = Content {
                finished,
                hash,
                lost,
            };
            (seq, content)
        });
        seen.insert(volume.name.clone(), versions.collect());
    }
    Ok(seen)
}

/// The hash of a volume's content, made of those of its chunks.
pub fn hash_of(content: &[u8]) -> Hash {
    let mut chunk = vec![0; CHUNK];
    let hashes = content.chunks(CHUNK).map(|bytes| {
        chunk.fill(0);
        chunk[..bytes.len()].copy_from_slice(bytes);
        blake3::hash(&chunk)
    });
    together(content.len() as u64, hashes)
}

fn together(size: u64, chunks: impl Iterator<Item = Hash>) -> Hash {
    let mut all = Hasher::new();
    all.update(&size.to_le_bytes());
    chunks.for_each(|hash| {
        all.update(hash.as_bytes());
    });
    all.finalize()
}

fn restored(
    archive: &Archive,
    volume: &Volume,
    at: &SessionVolume,
) -> Result<(Hash, Vec<VolumeRange>), Error> {
    let goal = MemoryGoal::new(usize::try_from(at.size).unwrap());
    let version = Version {
        root: at.root,
        size: at.size,
    };
    let options = RestoreOptions {
        threads: 1,
        compare: Compare::Nothing,
    };
    let watch = Watch {
        progress: &Progress::default(),
        stop: &AtomicBool::new(false),
    };
    let (nodes, ids) = (archive.nodes(), archive.volume_ids(volume));
    let report = restore(&nodes, &ids, version, &goal, options, watch)?;
    let lost = report.damage.ranges().map(|(range, _)| range).collect();
    Ok((hash_of(&goal.into_content()), lost))
}
