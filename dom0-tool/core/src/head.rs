//! The head: the small sealed object that names everything else (doc/FORMAT.md, section 8).

mod codec;
mod names;
mod sealed;
mod watched;

pub use names::Then;
pub use sealed::HeadKeys;

use crate::bytes::is_text;
use crate::error::{FormatError, Result};
use crate::ids::{
    Alias, ArchiveId, DomainId, DomainNumber, Epoch, Generation, HeadHash, HeaderHash,
    KeyGeneration, PackName, SessionSeq, VolumeId,
};
use crate::lists::Extensions;
use crate::place::Root;

/// Longest volume name in bytes.
pub const MAX_NAME: usize = 255;
/// Largest head object in bytes.
pub const MAX_HEAD: u32 = 16 << 20;
/// Volume extension: identity of the local snapshot that the newest session was read from.
const SNAPSHOT: u64 = 2;
/// Volume extension, while the newest session is unfinished: number of the last finished one, and the identity of its snapshot.
const FINISHED: u64 = 4;

/// How new items are compressed, unless the user says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By zstd with this level.
    Zstd(i32),
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd(3)
    }
}

/// The next numbers that nothing has yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextNumbers {
    /// Of packs.
    pub alias: Alias,
    /// Of sessions.
    pub session: SessionSeq,
    /// Of volumes.
    pub volume: VolumeId,
    /// Of dedup domains.
    pub domain: DomainNumber,
}

impl Default for NextNumbers {
    fn default() -> Self {
        Self {
            alias: Alias(1),
            session: SessionSeq(1),
            volume: VolumeId(1),
            domain: DomainNumber(1),
        }
    }
}

/// A dedup domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its number in this archive.
    pub number: DomainNumber,
    /// What its id key is derived from.
    pub id: DomainId,
    /// What people call it.
    pub name: String,
}

/// A volume as the head knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its number, which stays when it is renamed.
    pub id: VolumeId,
    /// Its dedup domain.
    pub domain: DomainNumber,
    /// What the user said of it.
    pub description: String,
    /// Its newest session, finished or not; none: it has no data yet.
    pub newest: Option<SessionSeq>,
    /// Its size in that session, in bytes.
    pub size: u64,
    /// Its tree in that session.
    pub root: Root,
    /// Values beyond these.
    pub extensions: Extensions,
}

impl Volume {
    /// Identity of the local snapshot that the newest session was read from; empty where there is none.
    pub fn snapshot(&self) -> &[u8] {
        self.extensions.get(SNAPSHOT).unwrap_or_default()
    }

    /// Remembers the identity of a local snapshot.
    pub fn set_snapshot(&mut self, identity: &[u8]) {
        self.extensions.set(SNAPSHOT, identity.to_vec());
    }

    /// While the newest session is unfinished: the last finished one that was read from a local snapshot, and the identity of that.
    pub fn finished(&self) -> Option<(SessionSeq, &[u8])> {
        let (seq, identity) = self.extensions.get(FINISHED)?.split_first_chunk::<8>()?;
        Some((SessionSeq(u64::from_le_bytes(*seq)), identity))
    }

    /// Remembers the last finished session and the identity of its snapshot.
    pub fn set_finished(&mut self, finished: Option<(SessionSeq, &[u8])>) {
        let value = finished.map_or_else(Vec::new, |(seq, identity)| {
            [&seq.0.to_le_bytes(), identity].concat()
        });
        self.extensions.set(FINISHED, value);
    }
}

/// Whether a text may name a volume: a relative path without empty, `.` and `..` parts, printable, of 255 bytes at most.
pub fn is_volume_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && is_text(name)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// A pack that holds nodes of the pack tree, which cannot be found through that tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its alias.
    pub alias: Alias,
    /// Its name.
    pub name: PackName,
    /// With which keys it is sealed.
    pub key_generation: KeyGeneration,
    /// Size of the object in bytes.
    pub size: u64,
    /// As in its pack record.
    pub own: u64,
    /// Number of nodes of the pack tree that live in it.
    pub nodes: u64,
}

/// The newest head of another archive that this machine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The other archive.
    pub archive: ArchiveId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The hash of that head.
    pub head: HeadHash,
}

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The archive.
    pub archive: ArchiveId,
    /// Its number.
    pub epoch: Epoch,
    /// Hash of the head that this one follows; zeros in the first.
    pub previous: HeadHash,
    /// Fresh for each head, so that two writers never write the same bytes.
    pub writer_nonce: [u8; 16],
    /// The header in force.
    pub header_generation: Generation,
    /// Its hash.
    pub header_hash: HeaderHash,
    /// Seconds since 1970 UTC; for people only.
    pub time: i64,
    /// The writer's default.
    pub compression: Compression,
    /// Free numbers.
    pub next: NextNumbers,
    /// Dedup domains, in rising order of number.
    pub domains: Vec<Domain>,
    /// Volumes, in rising order of name.
    pub volumes: Vec<Volume>,
    /// Root of the tree of sessions.
    pub sessions: Root,
    /// Root of the tree of packs.
    pub packs: Root,
    /// Root of the tree of run counters.
    pub counters: Root,
    /// Root of the tree of earlier heads.
    pub history: Root,
    /// Where the pack tree's nodes lie, in rising order of alias.
    pub homes: Vec<Home>,
    /// Packs with ranges or objects that are given away and may still be there, in rising order.
    pub freeing: Vec<Alias>,
    /// Newest heads of other archives, in rising order.
    pub witnesses: Vec<Witness>,
    /// Values beyond these.
    pub extensions: Extensions,
}

/// Extension of the head: a repair was begun and its recount is still due.
const DOUBT: u64 = 5;

impl Head {
    /// Whether counters and dead ranges may be wrong, since a repair was begun whose recount is still due. Nothing may be freed then.
    pub fn books_in_doubt(&self) -> bool {
        self.extensions.get(DOUBT).is_some()
    }

    /// Notes that they may be wrong, or that they are right again.
    pub fn set_books_in_doubt(&mut self, doubt: bool) {
        let value = if doubt { vec![1] } else { Vec::new() };
        self.extensions.set(DOUBT, value);
    }

    /// Whether a newer version left something in it that must be understood by who writes.
    pub fn forbids_writing(&self) -> bool {
        let volumes = self.volumes.iter();
        self.extensions.forbid_writing(&[DOUBT])
            || volumes
                .into_iter()
                .any(|it| it.extensions.forbid_writing(&[]))
    }

    /// The head of an archive in which there is nothing yet.
    pub fn first(
        archive: ArchiveId,
        header: (Generation, HeaderHash),
        compression: Compression,
    ) -> Self {
        Self {
            archive,
            epoch: Epoch(1),
            previous: HeadHash::default(),
            writer_nonce: [0; 16],
            header_generation: header.0,
            header_hash: header.1,
            time: 0,
            compression,
            next: NextNumbers::default(),
            domains: Vec::new(),
            volumes: Vec::new(),
            sessions: Root::Empty,
            packs: Root::Empty,
            counters: Root::Empty,
            history: Root::Empty,
            homes: Vec::new(),
            freeing: Vec::new(),
            witnesses: Vec::new(),
            extensions: Extensions::default(),
        }
    }

    /// A volume by name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        let at = self.volume_index(name).ok()?;
        self.volumes.get(at)
    }

    /// A volume by number.
    pub fn volume_by_id(&self, id: VolumeId) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.id == id)
    }

    /// A volume by number, to be changed. Its name is not.
    pub fn volume_by_id_mut(&mut self, id: VolumeId) -> Option<&mut Volume> {
        self.volumes.iter_mut().find(|volume| volume.id == id)
    }

    /// Enters a volume without data; an error when the name is taken or none, or there are no numbers left.
    pub fn add_volume(&mut self, name: &str, domain: DomainNumber) -> Result<VolumeId> {
        let bad = FormatError::OutOfRange("a volume's name");
        if !is_volume_name(name) {
            return Err(bad);
        }
        let Err(at) = self.volume_index(name) else {
            return Err(bad);
        };
        let id = self.next.volume;
        let next = id.0.checked_add(1);
        self.next.volume = VolumeId(next.ok_or(FormatError::OutOfRange("a volume's number"))?);
        self.volumes.insert(
            at,
            Volume {
                name: name.to_owned(),
                id,
                domain,
                description: String::new(),
                newest: None,
                size: 0,
                root: Root::Empty,
                extensions: Extensions::default(),
            },
        );
        Ok(id)
    }

    /// Takes a volume out of the table.
    pub fn remove_volume(&mut self, name: &str) -> Option<Volume> {
        let at = self.volume_index(name).ok()?;
        Some(self.volumes.remove(at))
    }

    /// Gives a volume another name, which holds from the next session on; an error when it is taken or none, or there is no such volume.
    pub fn rename_volume(&mut self, old: &str, new: &str) -> Result<()> {
        let bad = FormatError::OutOfRange("a volume's name");
        if !is_volume_name(new) || self.volume_index(new).is_ok() {
            return Err(bad);
        }
        let mut volume = self.remove_volume(old).ok_or(bad)?;
        volume.rename(new, self.next.session);
        let at = self
            .volumes
            .partition_point(|known| known.name.as_str() < new);
        self.volumes.insert(at, volume);
        Ok(())
    }

    /// A dedup domain by number.
    pub fn domain(&self, number: DomainNumber) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.number == number)
    }

    /// The number of the domain with that name; entered with `id` if there is none.
    pub fn domain_named(&mut self, name: &str, id: DomainId) -> DomainNumber {
        if let Some(domain) = self.domains.iter().find(|domain| domain.name == name) {
            return domain.number;
        }
        let number = self.next.domain;
        self.next.domain = DomainNumber(number.0.saturating_add(1));
        self.domains.push(Domain {
            number,
            id,
            name: name.to_owned(),
        });
        number
    }

    fn volume_index(&self, name: &str) -> Result<usize, usize> {
        self.volumes
            .binary_search_by(|volume| volume.name.as_str().cmp(name))
    }
}
