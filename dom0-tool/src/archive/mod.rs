//! An opened archive: found, unlocked, checked for freshness; read through its index and changed by commits.

mod change;
mod chunks;
mod commit;
mod compact;
mod damage;
mod dedup;
mod directories;
mod error;
mod fetch;
mod free;
mod heads;
mod init;
mod known;
mod memory;
mod nodes;
mod open;
mod packs;
mod race;
mod rekey;
mod session_cache;
mod sessions;
pub mod tasks;
mod verified;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre_core::entropy::{Entropy, draw};
use nacre_core::freshness::Anchor;
use nacre_core::hash::ChunkIdKey;
use nacre_core::head::{Compression, Head, HeadKeys, MAX_HEAD};
use nacre_core::header::Unlocked;
use nacre_core::ids::{Alias, ArchiveId, DomainId, Epoch, HeadHash, SessionSeq};
use nacre_core::keys::Keys;
use nacre_core::node::ChunkFormat;
use nacre_core::object_name::ObjectName;
use nacre_core::pack::PackRecord;
use nacre_core::place::Root;
use nacre_core::seal::{Encoder, Sealer};

pub use change::Forgotten;
pub use chunks::ChunkReader;
use commit::SessionChanges;
pub use commit::{Commit, VolumeEdit};
pub use compact::{Compacted, Moves};
pub use damage::Damage;
pub use dedup::Dedup;
pub use error::{Error, Result, Severity};
pub use free::{Freed, Orphan};
pub use init::{InitOptions, init};
pub use known::KnownEntries;
pub use memory::{Memory, Pin, parse_id};
pub use nodes::{Nodes, SealedItem};
pub use open::{MemoryOf, OpenOptions, Unlock, header_error, open};
pub use packs::Located;
use race::put_unless_taken;
pub use rekey::{HeaderChange, OldHeaders};
pub use sessions::{LostRecords, Sessions, Wish};
pub use tasks::Task;
pub use verified::VerifiedVersions;

use crate::joints::Store;

/// Makes the randomness of one thread.
pub type EntropySource = Arc<dyn Fn() -> Box<dyn Entropy> + Send + Sync>;

/// Level at which index packs are compressed: they are small, and read more often than written.
const INDEX_LEVEL: i32 = 3;

/// An archive that is open.
pub struct Archive {
    store: Arc<dyn Store>,
    keys: Keys,
    head: Head,
    head_hash: HeadHash,
    nodes: Arc<Nodes>,
    memory: Memory,
    entropy: EntropySource,
    /// The highest epoch that was ever seen, in the store or by this machine.
    highest: Epoch,
    header: Unlocked,
    /// The sessions of the head, once somebody has asked for them.
    sessions: Mutex<Option<Sessions>>,
    /// What the head gives away and is freed by now, behind a barrier.
    freed: BTreeSet<Alias>,
    /// Epochs behind the head that was opened whose heads could not be read: torn by a power cut, or damaged.
    unreadable: BTreeSet<Epoch>,
    /// Headers that the one in force has replaced, as far as the store still shows them.
    old_headers: Vec<ObjectName>,
    /// The head that was last to be put, whatever came of it.
    attempted: Option<Attempted>,
    /// What this machine remembers of other archives.
    others: Vec<Anchor>,
    /// Archives that this machine was made to forget.
    forgotten: BTreeSet<ArchiveId>,
    /// Whether this machine had no memory of the archive when it was opened.
    is_new_here: bool,
    domain_of: DomainRule,
}

/// A head that was to be put: its epoch, and its hash.
pub type Attempted = (Epoch, HeadHash);

/// Names the dedup domain of a volume that is new to the archive.
pub type DomainRule = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Each volume in a domain of its own.
fn alone(volume: &str) -> String {
    format!("volume {volume}")
}

/// What is known of a volume before it is sent.
#[derive(Clone, Copy, Debug)]
pub struct VolumeState {
    /// Its number.
    pub id: nacre_core::ids::VolumeId,
    /// Its dedup domain.
    pub domain: DomainId,
    /// Its newest tree.
    pub root: Root,
    /// Its size in the newest session.
    pub size: u64,
    /// Its newest session, finished or not.
    pub newest: Option<SessionSeq>,
}

impl Archive {
    /// The store.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// The newest head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Its identity.
    pub fn id(&self) -> ArchiveId {
        self.head.archive
    }

    /// The head that was last to be put since the archive had the head `known`. Where the connection broke, an archive that is opened anew shows whether
    /// that commit was made.
    pub fn attempted_since(&self, known: HeadHash) -> Option<Attempted> {
        self.attempted.filter(|(_, head)| *head != known)
    }

    /// Hash of the newest head.
    pub fn head_hash(&self) -> HeadHash {
        self.head_hash
    }

    /// The index.
    pub fn nodes(&self) -> Arc<Nodes> {
        Arc::clone(&self.nodes)
    }

    /// Seals new items.
    pub fn sealer(&self) -> Arc<Sealer> {
        self.keys.sealer()
    }

    /// dom0's memory of it.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The unlocked header.
    pub fn header(&self) -> &Unlocked {
        &self.header
    }

    fn head_keys(&self) -> Arc<HeadKeys> {
        self.keys.head_keys()
    }

    /// The archive's keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The id key of a dedup domain.
    pub fn chunk_ids(&self, domain: DomainId) -> ChunkIdKey {
        self.keys.chunk_ids(domain)
    }

    /// The id key of a volume's dedup domain.
    pub fn volume_ids(&self, volume: &nacre_core::head::Volume) -> ChunkIdKey {
        let domain = self.head.domain(volume.domain).map(|domain| domain.id);
        self.keys.chunk_ids(domain.unwrap_or_default())
    }

    /// Size of a chunk in bytes.
    pub fn chunk_size(&self) -> usize {
        self.nodes.format().chunk_size()
    }

    /// How large chunks and their blocks are.
    pub fn format(&self) -> ChunkFormat {
        self.nodes.format()
    }

    /// How chunks are compressed.
    pub fn compression(&self) -> Compression {
        self.head.compression
    }

    /// Randomness.
    pub fn entropy_source(&self) -> EntropySource {
        Arc::clone(&self.entropy)
    }

    /// Compresses the index. Without compression for chunks there is none for the index either.
    fn index_encoder(&self) -> Encoder {
        Encoder::new(match self.head.compression {
            Compression::None => Compression::None,
            Compression::Zstd(_) => Compression::Zstd(INDEX_LEVEL),
        })
    }

    /// The epoch of the next head: above every one that was ever seen.
    fn next_epoch(&self) -> Epoch {
        Epoch(self.highest.max(self.head.epoch).0 + 1)
    }

    /// Begins a commit, whose index pack has the given alias.
    pub fn begin_commit(&mut self, index_alias: Alias) -> Commit<'_> {
        let entropy = (self.entropy)();
        Commit::begin(self, index_alias, entropy)
    }

    /// Begins a commit of a command that writes no packs but the index.
    pub fn begin_small_commit(&mut self) -> Commit<'_> {
        let alias = self.head.next.alias;
        self.begin_commit(alias)
    }

    /// Says into which dedup domains new volumes go; without it each has one of its own.
    pub fn set_domain_rule(&mut self, rule: DomainRule) {
        self.domain_of = rule;
    }

    /// Takes that rule away, for the same archive opened anew.
    pub fn take_domain_rule(&mut self) -> DomainRule {
        std::mem::replace(&mut self.domain_of, Box::new(alone))
    }

    /// Name of the dedup domain of a volume.
    pub fn domain_name(&self, volume: &nacre_core::head::Volume) -> &str {
        let domain = self.head.domain(volume.domain);
        domain.map_or("", |domain| domain.name.as_str())
    }

    /// Enters a volume in memory, if the archive does not have it; the next commit writes it.
    pub fn enter_volume(&mut self, name: &str) -> Result<VolumeState> {
        if self.head.volume(name).is_none() {
            let id = DomainId(draw((self.entropy)().as_mut()));
            let domain = (self.domain_of)(name);
            let domain = self.head.domain_named(&domain, id);
            self.head.add_volume(name, domain).map_err(|_| {
                Error::refused(
                    format!("{name:?} cannot name a volume"),
                    "Use a relative path of printable characters, at most 255 bytes long.",
                )
            })?;
        }
        self.volume_state(name)
    }

    fn volume_state(&self, name: &str) -> Result<VolumeState> {
        let volume = self.head.volume(name).ok_or_else(Error::internal)?;
        let domain = self.head.domain(volume.domain);
        Ok(VolumeState {
            id: volume.id,
            domain: domain.ok_or_else(Error::internal)?.id,
            root: volume.root,
            size: volume.size,
            newest: volume.newest,
        })
    }

    /// All sessions.
    pub fn sessions(&self) -> Result<Sessions> {
        let mut known = self.known_sessions();
        if let Some(sessions) = known.as_ref() {
            return Ok(sessions.clone());
        }
        let sessions = Sessions::read(self)?;
        *known = Some(sessions.clone());
        Ok(sessions)
    }

    fn known_sessions(&self) -> MutexGuard<'_, Option<Sessions>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions that can be read, and the numbers and reasons of those that cannot.
    pub fn readable_sessions(&self) -> Result<(Sessions, LostRecords)> {
        Sessions::read_tolerant(self)
    }

    /// Puts a head, created only if absent, and makes it durable.
    fn put_head(&mut self, head: &Head, object: &[u8]) -> Result<()> {
        self.attempted = Some((head.epoch, HeadHash::of(object)));
        let name = ObjectName::Head(head.epoch);
        // A head holds a random nonce: nobody else makes the same.
        if put_unless_taken(self.store.as_ref(), name, object, MAX_HEAD)?.is_none() {
            return Err(Error::Outrun);
        }
        self.check_race(head.epoch, HeadHash::of(object))?;
        Ok(self.store.barrier()?)
    }

    /// Makes the head durable, if it was found in the store and nobody has done so since: who put it may have been cut off before its barrier was
    /// answered, and a barrier reaches no further than what its own connection has put. So it is put again, which changes nothing.
    pub fn confirm(&self) -> Result<()> {
        if !self.memory.doubts(self.head_hash)? {
            return Ok(());
        }
        let object = self.memory.last_head()?.unwrap_or_default();
        if HeadHash::of(&object) != self.head_hash {
            // Another command of this machine has seen a newer one meanwhile.
            return Err(Error::Outrun);
        }
        let name = ObjectName::Head(self.head.epoch);
        if put_unless_taken(self.store.as_ref(), name, &object, MAX_HEAD)?.is_none() {
            return Err(Error::Outrun);
        }
        self.store.barrier()?;
        self.memory.confirmed(self.head_hash)
    }

    /// The head is in the store: from here on it is the archive.
    fn advance(
        &mut self,
        head: Head,
        object: &[u8],
        changed: &BTreeMap<Alias, Option<PackRecord>>,
        sessions: SessionChanges,
    ) -> Result<()> {
        let superseded = Epoch(self.head.epoch.0.saturating_sub(1));
        self.head_hash = HeadHash::of(object);
        self.nodes.packs().advance(head.packs, &head.homes, changed);
        if let Some(known) = self.known_sessions().as_mut() {
            known.change(sessions);
        }
        self.freed.clear();
        self.head = head;
        self.highest = self.head.epoch;
        self.memory.remember(&self.anchor(), object)?;
        self.forget_heads(superseded)?;
        self.forget_headers()
    }

    /// What this machine remembers of the newest head.
    fn anchor(&self) -> Anchor {
        Anchor {
            archive: self.head.archive,
            epoch: self.head.epoch,
            head: self.head_hash,
            header_generation: self.head.header_generation,
            pin: self.keys.pin(),
            encrypted: self.header.description().encrypted,
        }
    }

    /// Removes heads up to `epoch`: the newest and its predecessor stay. That they go is not needed for anything but room.
    fn forget_heads(&self, epoch: Epoch) -> Result<()> {
        if epoch.0 == 0 || self.store.capabilities().append_only {
            return Ok(());
        }
        Ok(self.store.delete(&[ObjectName::Head(epoch)])?)
    }
}
