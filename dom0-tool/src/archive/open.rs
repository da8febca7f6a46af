//! Opening an archive: headers, unlock, the newest head, freshness (DESIGN 4.4).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use nacre_core::freshness::{Anchor, Freshness};
use nacre_core::head::Head;
use nacre_core::header::{Candidates, Header, HeaderError, TooOld, UnlockError, Unlocked};
use nacre_core::ids::{ArchiveId, Epoch, Generation, HeadHash};
use nacre_core::keys::Keys;
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_core::place::TreeKind;
use nacre_core::tree::RecordTree;

use super::error::{REMOVED_KEY, REMOVED_KEY_REMEDY};
use super::heads::{FoundHead, Heads};
use super::memory::{Memory, Pin};
use super::nodes::Nodes;
use super::{Archive, EntropySource, Error, Result, Severity};
use crate::joints::{StateDir, Store};

/// Header objects that are read at most.
const MOST_HEADERS: usize = 16;
/// Old header objects that are removed with one commit.
const MOST_OLD_HEADERS: usize = 64;
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

/// How often opening begins anew because the store has changed meanwhile.
const ATTEMPTS: usize = 8;

/// Opens the archive in `store`.
///
/// Another writer may replace headers, heads and what they name while this one looks for them. What is wrong then counts only if the store still
/// shows what it showed after the last attempt.
pub fn open(store: Arc<dyn Store>, mut options: OpenOptions<'_>) -> Result<Archive> {
    let mut shown = None;
    for _ in 1..ATTEMPTS {
        match open_once(&store, &mut options) {
            Err(Error::Outrun) => {}
            Err(error) if may_pass(&error) => {
                let now = Some(names(
                    store.as_ref(),
                    &[ObjectClass::Header, ObjectClass::Head],
                )?);
                if shown == now {
                    return Err(error);
                }
                shown = now;
            }
            other => return other,
        }
    }
    open_once(&store, &mut options)
}

/// Whether something is wrong with the store that a change under way would explain.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Stale { .. } | Error::Foreign { .. })
        || matches!(error, Error::Refused { sentence, .. } if [NO_ARCHIVE, BEGUN].contains(&sentence.as_str()))
        || error.severity() == Severity::Integrity
}

/// What the store shows of some classes.
pub(super) fn names(store: &dyn Store, classes: &[ObjectClass]) -> Result<BTreeSet<ObjectName>> {
    let mut names = BTreeSet::new();
    for class in classes {
        store.list(*class, &mut |name, _| {
            names.insert(name);
        })?;
    }
    Ok(names)
}

fn open_once(store: &Arc<dyn Store>, options: &mut OpenOptions<'_>) -> Result<Archive> {
    let store = Arc::clone(store);
    let shown = read_headers(store.as_ref())?;
    let objects = &shown.objects;
    if objects.is_empty() {
        return Err(no_archive(options.pin.is_some()));
    }
    let claimed = choose(objects, None)?;
    let id = claimed_id(&claimed, options.pin)?;
    let remembered = Remembered::of(id, options.memory)?;
    let pinned = remembered.anchor.filter(|_| !options.allow_rollback);
    let candidates = choose(objects, pinned.map(|anchor| anchor.header_generation))?;
    remembered.check_encryption(candidates.encrypted())?;
    let opened = match (options.unlock)(candidates.clone()) {
        Err(Error::RemovedKey(older)) => return Err(why_older(&store, &older, pinned.as_ref())),
        other => other?,
    };
    let opened = opened.above(shown.taken);
    let keys = opened.keys();
    remembered.check_master(&keys, options.allow_rollback)?;
    let nodes = Nodes::new(&store, &keys, opened.description().format);
    let found = Heads {
        store: store.as_ref(),
        keys: &keys.head_keys(),
        nodes: &nodes,
        allow_rollback: options.allow_rollback,
    }
    .newest(remembered.known())?;
    let header = in_force(opened, &candidates, &found, options.allow_rollback)?;
    let keys = header.keys();
    let remembered = if header.description().archive == id {
        remembered
    } else {
        // A change of identity was cut short: what its header claims is not in force yet.
        if let Some(pin) = &options.pin {
            pin.check(header.description())?;
        }
        let remembered = Remembered::of(header.description().archive, options.memory)?;
        remembered.check_master(&keys, options.allow_rollback)?;
        remembered
    };
    let Remembered { memory, anchor, .. } = remembered;
    let highest = found.highest.max(memory.highest()?);
    let in_force = header.description().generation;
    let archive = Archive {
        store,
        head_hash: HeadHash::of(&found.object),
        nodes: Arc::new(nodes),
        memory,
        entropy: Arc::clone(&options.entropy),
        highest,
        unreadable: found.unreadable,
        old_headers: shown.older_than(in_force),
        header,
        sessions: Mutex::default(),
        freed: BTreeSet::new(),
        domain_of: Box::new(super::alone),
        keys,
        head: found.head,
        attempted: None,
        others: Vec::new(),
        forgotten: BTreeSet::new(),
        is_new_here: anchor.is_none(),
    };
    archive.settle(anchor.as_ref(), &found.object, options.allow_rollback)?;
    Ok(archive)
}

/// The key opens nothing but a header that is older than this machine has seen, and that is refused whatever else there is. Was the key removed, or
/// does the store show an older state, in which it was not? The newest head says which header is in force.
fn why_older(store: &Arc<dyn Store>, older: &TooOld, pinned: Option<&Anchor>) -> Error {
    let keys = older.keys();
    let heads = Heads {
        store: store.as_ref(),
        keys: &keys.head_keys(),
        nodes: &Nodes::new(store, &keys, older.format()),
        allow_rollback: false,
    };
    let newest = heads.newest(None);
    let is_older = |found: &FoundHead| {
        pinned.is_some_and(|pinned| found.head.header_generation < pinned.header_generation)
    };
    match newest {
        Ok(found) if is_older(&found) => stale_header(),
        // It names a header that the key does not open, or is sealed under a master of that one.
        Ok(_) | Err(Error::Stale { .. }) => removed_key(),
        Err(Error::Refused { .. }) => no_archive(true),
        Err(error) => error,
    }
}

/// Which archive this is to be: the newest header that the target's pin allows speaks for it.
fn claimed_id(claimed: &Candidates, pin: Option<Pin>) -> Result<ArchiveId> {
    let allowed = claimed
        .headers()
        .find(|header| pin.is_none_or(|pin| pin.check(header.description()).is_ok()));
    let claim = allowed.or_else(|| claimed.newest());
    let claim = claim.ok_or_else(|| no_archive(true))?.description();
    if let Some(pin) = pin {
        pin.check(claim)?;
    }
    Ok(claim.archive)
}

/// What this machine remembers of an archive.
struct Remembered {
    id: ArchiveId,
    memory: Memory,
    anchor: Option<Anchor>,
}

impl Remembered {
    fn of(id: ArchiveId, memory_of: MemoryOf<'_>) -> Result<Self> {
        let memory = Memory::new(memory_of(id)?);
        let anchor = memory.anchor()?;
        Ok(Self { id, memory, anchor })
    }

    /// The memory, and the newest head in it.
    fn known(&self) -> Option<(&Memory, &Anchor)> {
        Some((&self.memory, self.anchor.as_ref()?))
    }

    fn check_encryption(&self, encrypted: bool) -> Result<()> {
        if self.anchor.is_some_and(|anchor| anchor.encrypted) && !encrypted {
            return Err(Error::foreign("it is not encrypted", Some(self.id)));
        }
        Ok(())
    }

    /// Not the newest master alone: a change of it may have come from another machine, or been cut short before the anchor. A header
    /// without the remembered master is a rollback if this machine once knew any that it has, otherwise another archive.
    fn check_master(&self, keys: &Keys, allow_rollback: bool) -> Result<()> {
        let Some(anchor) = self.anchor else {
            return Ok(());
        };
        if keys.knows_pin(&anchor.pin) {
            return Ok(());
        }
        // A change that was cut short before the store was copied has left a header with a master that nobody has seen; it wraps the one before.
        let mut known = false;
        for pin in keys.former_pins().iter().chain([&keys.pin()]) {
            known |= self.memory.knew_pin(pin)?;
        }
        if !known {
            return Err(Error::foreign(
                "its master key is another one",
                Some(self.id),
            ));
        }
        if allow_rollback {
            return Ok(());
        }
        Err(stale_header())
    }
}

/// The header that the head names. Where it is lost, a newer one will do: a change of keys that was cut short. An older one only if the user
/// accepts that keys removed since open the archive again.
fn in_force(
    opened: Unlocked,
    candidates: &Candidates,
    found: &FoundHead,
    allow_rollback: bool,
) -> Result<Unlocked> {
    let named = (found.head.header_generation, found.head.header_hash);
    let own = opened.description().generation;
    let mut others = candidates.headers();
    if own > named.0
        && !found.unreadable.is_empty()
        && others.any(|header| header.description().generation > own)
        && !allow_rollback
    {
        // This header is of a change that was cut short. There is a newer one, and a head that cannot be read: probably it is sealed under the
        // master of that one, and names it.
        return Err(removed_key());
    }
    if own < named.0 && !allow_rollback && candidates.named(named.0, named.1, &opened).is_some() {
        // Older headers lie about while a change of keys is under way, and for ever where nothing is deleted. The master that they wrap is
        // the same, but whoever changed the keys did not want it to be found by this one.
        return Err(removed_key());
    }
    if let Some(header) = candidates.named(named.0, named.1, &opened) {
        let taken = opened.taken();
        return Ok(header.above(taken));
    }
    if opened.check_named(named.0, named.1).is_err() && !allow_rollback {
        return Err(stale_header());
    }
    Ok(opened.above(named.0))
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
        // What was looked up for a head that was not put again must not be believed.
        self.nodes.packs().clear();
        self.nodes.packs().show(head);
        if let Some(home) = head.homes.last() {
            self.nodes.fetcher().load_tail(home.name, home.size);
        }
        if let Some(anchor) = anchor {
            self.compare(anchor, allow_rollback)?;
        }
        self.check_witness(allow_rollback)?;
        let now = self.anchor();
        if anchor.is_none_or(|anchor| anchor.pin != now.pin) {
            self.memory.keep_former_pins(&self.keys.former_pins())?;
        }
        if anchor == Some(&now) || self.memory.remember_found(anchor, &now, object)? {
            return Ok(());
        }
        // Another command of this machine was faster. If it saw the same, all is well; if not, what was found here may be old.
        match self.memory.anchor()? {
            Some(known) if known == now => Ok(()),
            _ => Err(Error::Outrun),
        }
    }

    fn compare(&self, anchor: &Anchor, allow_rollback: bool) -> Result<()> {
        let (head, hash) = (&self.head, self.head_hash);
        let id = self.header.description().archive;
        let history = if head.epoch <= anchor.epoch {
            None
        } else if head.previous == anchor.head {
            // Its direct successor says so itself: the history, which may be damaged, is not needed.
            Some(anchor.head)
        } else {
            match self.head_of(anchor.epoch) {
                Err(error) if error.is_damage() && allow_rollback => None,
                other => other?,
            }
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
    pub(super) fn head_of(&self, epoch: Epoch) -> Result<Option<HeadHash>> {
        head_in_history(&self.nodes, &self.head, epoch)
    }
}

/// The hash that the history of a head holds for an earlier epoch.
pub(super) fn head_in_history(
    mut nodes: &Nodes,
    head: &Head,
    epoch: Epoch,
) -> Result<Option<HeadHash>> {
    let history = RecordTree {
        tree: TreeKind::Heads,
        root: head.history,
    };
    let record = history.get(&mut nodes, epoch.0)?;
    let hash = record.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    Ok(hash.map(HeadHash))
}

/// The headers of a store.
struct ShownHeaders {
    names: BTreeSet<ObjectName>,
    /// Whether one of them was not there any more when it was asked for.
    changing: bool,
    objects: Vec<(Generation, Vec<u8>)>,
    /// Behind the newest well-formed header, the last of the generations that follow without a gap: their names cannot be used.
    taken: Generation,
}

impl ShownHeaders {
    /// Copies of headers that a change of keys left behind.
    fn older_than(&self, generation: Generation) -> Vec<ObjectName> {
        older_headers(&self.names, generation)
    }
}

/// Of these names those of headers before a generation.
pub(super) fn older_headers(
    names: &BTreeSet<ObjectName>,
    generation: Generation,
) -> Vec<ObjectName> {
    let is_older =
        |name: &&ObjectName| matches!(name, ObjectName::Header(own, _) if *own < generation);
    let older = names.iter().filter(is_older).copied();
    older.take(MOST_OLD_HEADERS).collect()
}

/// All copies of all headers. One that cannot be read is left out: the others may do.
fn read_headers(store: &dyn Store) -> Result<ShownHeaders> {
    for _ in 1..ATTEMPTS {
        let shown = read_headers_once(store)?;
        // One that was listed and is gone since was in force a moment ago, and another one is by now: what a change of keys that was cut short has left
        // must not be taken for it.
        if !shown.changing || names(store, &[ObjectClass::Header])? == shown.names {
            return Ok(shown);
        }
    }
    read_headers_once(store)
}

fn read_headers_once(store: &dyn Store) -> Result<ShownHeaders> {
    let names = names(store, &[ObjectClass::Header])?;
    let mut changing = false;
    let mut objects = Vec::new();
    let mut last = None;
    // The newest first, and not more of them than a store that plays with us may make us read.
    for name in names.iter().rev().take(MOST_HEADERS) {
        let ObjectName::Header(generation, _) = name else {
            continue;
        };
        match store.get_whole(*name, MAX_HEADER_OBJECT) {
            Ok(Some(object)) => objects.push((*generation, object)),
            Ok(None) => changing = true,
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if objects.is_empty() => Err(error.into()),
        _ => Ok(ShownHeaders {
            taken: taken(&names, &objects),
            names,
            changing,
            objects,
        }),
    }
}

/// Numbers are not made up by the store: from a header that is one, only names that follow without a gap are passed over, and not many.
fn taken(names: &BTreeSet<ObjectName>, objects: &[(Generation, Vec<u8>)]) -> Generation {
    let generations: BTreeSet<Generation> = names.iter().filter_map(generation_of).collect();
    let is_header = |(number, bytes): &&(Generation, Vec<u8>)| {
        Header::parse(bytes).is_ok_and(|header| header.description().generation == *number)
    };
    let newest = objects.iter().filter(is_header).map(|(number, _)| *number);
    let mut taken = newest.max().unwrap_or_default();
    for _ in 0..MOST_HEADERS {
        if !generations.contains(&Generation(taken.0 + 1)) {
            break;
        }
        taken.0 += 1;
    }
    taken
}

fn generation_of(name: &ObjectName) -> Option<Generation> {
    match name {
        ObjectName::Header(generation, _) => Some(*generation),
        _ => None,
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
        HeaderError::OnlyOlder(older) => Error::RemovedKey(older),
        HeaderError::NoneUsable(error) => {
            Error::damaged("no copy of the header can be used")(error)
        }
        HeaderError::Unlock(UnlockError::Format(error)) => Error::damaged("the header")(error),
        other => Error::refused(other.to_string(), ""),
    }
}

const NO_ARCHIVE: &str = "there is no archive at this target";
pub(super) const BEGUN: &str =
    "an `nacre arch-init` was cut short at this target: there is a header and nothing else";

pub(super) fn no_archive(known: bool) -> Error {
    if known {
        return Error::Stale {
            sentence: "the archive that was at this target is gone".to_owned(),
            remedy: "Check that the right disk or qube is there.".to_owned(),
        };
    }
    Error::refused(
        NO_ARCHIVE,
        "Check `--dest`, or create one with `nacre arch-init`.",
    )
}

pub(super) fn rolled_back(sentence: String) -> Error {
    Error::Stale {
        sentence,
        remedy: "Look for the newer copy; if this one is all there is, accept it with \
                 `--force-allow-rollback`."
            .to_owned(),
    }
}

fn removed_key() -> Error {
    Error::refused(REMOVED_KEY, REMOVED_KEY_REMEDY)
}

pub(super) fn stale_header() -> Error {
    Error::Stale {
        sentence: "the store shows an old header, with keys that were changed since".to_owned(),
        remedy: "Look for the newer copy; if this one is all there is, accept it with \
                 `--force-allow-rollback`."
            .to_owned(),
    }
}
