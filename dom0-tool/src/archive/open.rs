//! Opening an archive: headers, unlock, the newest head, freshness (DESIGN 4.4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use nacre_core::freshness::{Anchor, Freshness};
use nacre_core::head::{Head, HeadKeys, MAX_HEAD};
use nacre_core::header::{Candidates, HeaderError, Unlocked};
use nacre_core::ids::{ArchiveId, Epoch, Generation, HeadHash};
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_core::pack::{PackRecord, PackState};
use nacre_core::place::TreeKind;
use nacre_core::tree::RecordTree;

use super::fetch::Fetcher;
use super::memory::{Memory, Pin};
use super::nodes::Nodes;
use super::{Archive, EntropySource, Error, Result};
use crate::joints::{StateDir, Store};

/// Header objects that are read at most.
const MOST_HEADERS: usize = 16;
const MAX_HEADER_OBJECT: u32 = 64 << 10;

/// Where the key comes from: called with the headers that may be in force.
pub type Unlock<'a> = &'a mut dyn FnMut(Candidates) -> Result<Unlocked>;

/// Finds dom0's memory of an archive.
pub type MemoryOf<'a> = &'a dyn Fn(ArchiveId) -> Result<Arc<dyn StateDir>>;

/// How to open.
pub struct OpenOptions<'a> {
    /// What this machine remembers of the target: an archive that is pinned there, if one is.
    pub pin: Option<Pin>,
    /// Where the key comes from.
    pub unlock: Unlock<'a>,
    /// dom0's memory of the archive.
    pub memory: MemoryOf<'a>,
    /// Accept a store that is older than remembered, or does not continue it (`--force-allow-rollback`). It must be the same archive
    /// all the same, opened by the same keys, and encrypted if it was.
    pub allow_rollback: bool,
    /// Randomness for later commits.
    pub entropy: EntropySource,
}

/// Opens the archive in `store`.
pub fn open(store: Arc<dyn Store>, options: OpenOptions<'_>) -> Result<Archive> {
    let objects = read_headers(store.as_ref())?;
    if objects.is_empty() {
        return Err(no_archive(options.pin.is_some()));
    }
    let claimed = choose(&objects, None)?;
    let claim = claimed.newest().ok_or_else(|| no_archive(true))?;
    if let Some(pin) = &options.pin {
        pin.check(claim.description())?;
    }
    let id = claim.description().archive;
    let memory = Memory::new((options.memory)(id)?);
    let anchor = memory.anchor()?;
    let pinned = anchor.filter(|_| !options.allow_rollback);
    let candidates = choose(&objects, pinned.map(|anchor| anchor.header_generation))?;
    if anchor.is_some_and(|anchor| anchor.encrypted) && !candidates.encrypted() {
        return Err(Error::foreign("it is not encrypted", Some(id)));
    }
    let header = (options.unlock)(candidates)?;
    let keys = header.keys();
    // Not the newest master alone: a change of it may have come from another machine, or been cut short before the anchor.
    if anchor.is_some_and(|anchor| !keys.knows_pin(&anchor.pin)) {
        return Err(Error::foreign("its master key is another one", Some(id)));
    }
    let nodes = Nodes::new(
        Fetcher::new(Arc::clone(&store)),
        keys.opener(),
        keys.digest(),
        header.description().format,
    );
    let found = Heads {
        store: store.as_ref(),
        keys: &keys.head_keys(),
        nodes: &nodes,
    }
    .newest(&memory, anchor.as_ref())?;
    let highest = found.highest.max(memory.highest()?);
    let archive = Archive {
        store,
        head_hash: HeadHash::of(&found.object),
        nodes: Arc::new(nodes),
        memory,
        entropy: options.entropy,
        highest,
        header,
        sessions: Mutex::default(),
        freed: BTreeSet::new(),
        keys,
        head: found.head,
    };
    archive.settle(anchor.as_ref(), &found.object, options.allow_rollback)?;
    Ok(archive)
}

impl Archive {
    /// The last checks, for which the index is needed; then this head is remembered.
    fn settle(&self, anchor: Option<&Anchor>, object: &[u8], allow_rollback: bool) -> Result<()> {
        let head = &self.head;
        let id = self.header.description().archive;
        if head.archive != id {
            return Err(Error::foreign(
                "its head belongs to another archive",
                Some(id),
            ));
        }
        let named = (head.header_generation, head.header_hash);
        self.header
            .check_named(named.0, named.1)
            .map_err(|_| stale_header())?;
        // What was looked up for a head that was not put again must not be believed.
        self.nodes.packs().clear();
        self.nodes
            .packs()
            .advance(head.packs, &head.homes, &BTreeMap::new());
        if let Some(home) = head.homes.last() {
            self.nodes.fetcher().load_tail(home.name, home.size);
        }
        if let Some(anchor) = anchor {
            self.compare(anchor, allow_rollback)?;
        }
        let now = self.anchor();
        if anchor != Some(&now) {
            self.memory.remember(&now, object)?;
        }
        Ok(())
    }

    fn compare(&self, anchor: &Anchor, allow_rollback: bool) -> Result<()> {
        let (head, hash) = (&self.head, self.head_hash);
        let id = self.header.description().archive;
        let history = if head.epoch > anchor.epoch {
            self.head_of(anchor.epoch)?
        } else {
            None
        };
        match anchor.compare(head.archive, head.epoch, hash, history) {
            Freshness::Same | Freshness::Newer => Ok(()),
            Freshness::Foreign => Err(Error::foreign(
                "its head belongs to another archive",
                Some(id),
            )),
            _ if allow_rollback => self.memory.remember_highest(anchor.epoch),
            Freshness::Older { remembered, found } => Err(rolled_back(format!(
                "the store is older than this machine remembers: it shows epoch {found}, \
                 epoch {remembered} was there before"
            ))),
            Freshness::Forked { remembered } => Err(rolled_back(format!(
                "the store does not continue what this machine remembers: \
                 its epoch {} does not descend from epoch {remembered}",
                head.epoch
            ))),
        }
    }

    /// The hash that the history holds for an earlier epoch.
    fn head_of(&self, epoch: Epoch) -> Result<Option<HeadHash>> {
        let history = RecordTree {
            tree: TreeKind::Heads,
            root: self.head.history,
        };
        let mut source: &Nodes = &self.nodes;
        let record = history.get(&mut source, epoch.0)?;
        Ok(record
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(HeadHash))
    }
}

/// All copies of all headers. One that cannot be read is left out: the others may do.
fn read_headers(store: &dyn Store) -> Result<Vec<(Generation, Vec<u8>)>> {
    let mut names = BTreeSet::new();
    store.list(ObjectClass::Header, &mut |name, _| {
        names.insert(name);
    })?;
    let mut objects = Vec::new();
    let mut last = None;
    // The newest first, and not more of them than a store that plays with us may make us read.
    for name in names.iter().rev().take(MOST_HEADERS) {
        let ObjectName::Header(generation, _) = name else {
            continue;
        };
        match store.get_whole(*name, MAX_HEADER_OBJECT) {
            Ok(Some(object)) => objects.push((*generation, object)),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if objects.is_empty() => Err(error.into()),
        _ => Ok(objects),
    }
}

fn choose(objects: &[(Generation, Vec<u8>)], pinned: Option<Generation>) -> Result<Candidates> {
    let objects = objects.iter().map(|(number, bytes)| (*number, &bytes[..]));
    Candidates::choose(objects, pinned).map_err(header_error)
}

/// What is wrong with a header, as an error of the command.
pub fn header_error(error: HeaderError) -> Error {
    match error {
        HeaderError::Older { .. } | HeaderError::NotTheHeads(_) => stale_header(),
        other => Error::refused(other.to_string(), ""),
    }
}

struct FoundHead {
    head: Head,
    object: Vec<u8>,
    /// The highest epoch of which there is any sign.
    highest: Epoch,
}

/// The heads of a store.
struct Heads<'a> {
    store: &'a dyn Store,
    keys: &'a HeadKeys,
    nodes: &'a Nodes,
}

impl Heads<'_> {
    /// The newest head that opens. One that this machine wrote last and that the store has lost since is put again, if it can be.
    fn newest(&self, memory: &Memory, anchor: Option<&Anchor>) -> Result<FoundHead> {
        let mut epochs = BTreeSet::new();
        self.store.list(ObjectClass::Head, &mut |name, _| {
            if let ObjectName::Head(epoch) = name {
                epochs.insert(epoch);
            }
        })?;
        let shown = epochs.last().copied().unwrap_or_default();
        let highest = anchor.map_or(shown, |anchor| anchor.epoch.max(shown));
        if let Some(anchor) = anchor
            && shown < anchor.epoch
            && let Some(found) = self.put_again(memory, anchor, shown)?
        {
            return Ok(found);
        }
        let mut last = None;
        for epoch in epochs.iter().rev() {
            match self.read(*epoch) {
                Ok(Some((head, object))) => {
                    return Ok(FoundHead {
                        head,
                        object,
                        highest,
                    });
                }
                Ok(None) => {}
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| no_archive(anchor.is_some())))
    }

    fn read(&self, epoch: Epoch) -> Result<Option<(Head, Vec<u8>)>> {
        let name = ObjectName::Head(epoch);
        let Some(object) = self.store.get_whole(name, MAX_HEAD)? else {
            return Ok(None);
        };
        let head = self
            .keys
            .open(epoch, &object)
            .map_err(Error::damaged(name))?;
        Ok(Some((head, object)))
    }

    /// A power cut or a lying disk may have lost the last head although it was behind a barrier. If its predecessor is the newest there, and
    /// every pack of its commit too, it is put again.
    fn put_again(
        &self,
        memory: &Memory,
        anchor: &Anchor,
        shown: Epoch,
    ) -> Result<Option<FoundHead>> {
        let Some(object) = memory.last_head()? else {
            return Ok(None);
        };
        if HeadHash::of(&object) != anchor.head {
            return Ok(None);
        }
        let Ok(head) = self.keys.open(anchor.epoch, &object) else {
            return Ok(None);
        };
        let Some((before, bytes)) = self.read(shown)? else {
            return Ok(None);
        };
        if HeadHash::of(&bytes) != head.previous {
            return Ok(None);
        }
        match self.has_packs_of(&head, &before) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error),
        }
        self.store
            .put_whole(ObjectName::Head(anchor.epoch), &object)?;
        self.store.barrier()?;
        Ok(Some(FoundHead {
            head,
            object,
            highest: anchor.epoch,
        }))
    }

    /// Whether every pack that came with `head` is there, in its full length: the index pack, and then those that it names.
    fn has_packs_of(&self, head: &Head, before: &Head) -> Result<bool> {
        let is_there =
            |name, size| Ok::<_, Error>(self.store.stat(ObjectName::Pack(name))? == Some(size));
        for home in &head.homes {
            if !is_there(home.name, home.size)? {
                return Ok(false);
            }
        }
        self.nodes
            .packs()
            .advance(head.packs, &head.homes, &BTreeMap::new());
        let packs = RecordTree {
            tree: TreeKind::Packs,
            root: head.packs,
        };
        let mut source: &Nodes = self.nodes;
        let new = before.next.alias.0..head.next.alias.0;
        for (_, record) in packs.range(&mut source, new)? {
            let record = PackRecord::parse(&record)?;
            // What the same head gives away again may be gone.
            if record.state == PackState::Live && !is_there(record.name, record.size)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn no_archive(known: bool) -> Error {
    if known {
        return Error::Stale {
            sentence: "the archive that was at this target is gone".to_owned(),
            remedy: "Check that the right disk or qube is there.".to_owned(),
        };
    }
    Error::refused(
        "there is no archive at this target",
        "Check `--dest`, or create one with `nacre arch-init`.",
    )
}

fn rolled_back(sentence: String) -> Error {
    Error::Stale {
        sentence,
        remedy: "Look for the newer copy; if this one is all there is, accept it with \
                 `--force-allow-rollback`."
            .to_owned(),
    }
}

fn stale_header() -> Error {
    Error::Stale {
        sentence: "the store shows an old header, with keys that were changed since".to_owned(),
        remedy: "Look for the newer copy; if this one is all there is, accept it with \
                 `--force-allow-rollback`."
            .to_owned(),
    }
}
