//! Making an archive: header twice, barrier, the first head, barrier.
//!
//! A crash before the head leaves a header without head: whoever comes next says so, and the user removes the folder. Nothing is lost, since nothing was
//! there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use nacre_core::entropy::draw;
use nacre_core::hash::HashType;
use nacre_core::head::{Compression, Head};
use nacre_core::header::{NewHeader, NewSlot, Unlocked};
use nacre_core::ids::{ArchiveId, HeadHash, OriginId};
use nacre_core::node::ChunkFormat;
use nacre_core::object_name::{Copy, ObjectClass, ObjectName};

use super::memory::Memory;
use super::nodes::Nodes;
use super::open::{BEGUN, MemoryOf, names, no_archive};
use super::{Archive, EntropySource, Error, Result};
use crate::joints::{Clock, PutOutcome, Store};

/// What is fixed when an archive is made.
pub struct InitOptions<'a> {
    /// Hash of chunk ids and digests.
    pub hash: HashType,
    /// Size of chunks.
    pub format: ChunkFormat,
    /// The writer's default.
    pub compression: Compression,
    /// Whether it is encrypted; then `slots` must not be empty.
    pub encrypted: bool,
    /// What opens it.
    pub slots: Vec<NewSlot<'a>>,
    /// dom0's memory of the archive.
    pub memory: MemoryOf<'a>,
    /// Randomness.
    pub entropy: EntropySource,
}

/// Makes an archive in an empty store.
pub fn init(store: Arc<dyn Store>, options: InitOptions<'_>, clock: &dyn Clock) -> Result<Archive> {
    refuse_if_used(store.as_ref())?;
    let mut entropy = (options.entropy)();
    let entropy = entropy.as_mut();
    let new = NewHeader {
        archive: ArchiveId(draw(entropy)),
        origin: OriginId(draw(entropy)),
        hash: options.hash,
        format: options.format,
        encrypted: options.encrypted,
    };
    let header = Unlocked::create(&new, &options.slots, entropy)
        .map_err(|error| Error::refused(error.to_string(), ""))?;
    let generation = header.description().generation;
    for copy in [Copy::A, Copy::B] {
        put_first(
            store.as_ref(),
            ObjectName::Header(generation, copy),
            header.bytes(),
        )?;
    }
    // The head names the header, so the header must be there first.
    store.barrier()?;

    let keys = header.keys();
    let named = (generation, header.hash());
    let mut head = Head::first(header.description().archive, named, options.compression);
    head.writer_nonce = draw(entropy);
    head.time = clock.now().seconds;
    head.set_watched(Some(&BTreeSet::new()));
    let object = keys
        .head_keys()
        .seal(&head, entropy)
        .ok_or_else(Error::internal)?;
    let memory = Memory::new((options.memory)(head.archive)?);
    let nodes = Nodes::new(&store, &keys, options.format);
    let mut archive = Archive {
        store,
        head_hash: HeadHash::of(&object),
        nodes: Arc::new(nodes),
        memory,
        entropy: options.entropy,
        highest: head.epoch,
        header,
        sessions: Mutex::default(),
        freed: BTreeSet::new(),
        domain_of: Box::new(super::alone),
        keys,
        head: head.clone(),
        unreadable: BTreeSet::new(),
        old_headers: Vec::new(),
        attempted: None,
        others: Vec::new(),
        forgotten: BTreeSet::new(),
        is_new_here: false,
    };
    archive.put_head(&head, &object)?;
    archive.advance(head, &object, &BTreeMap::new(), BTreeMap::new())?;
    Ok(archive)
}

/// An archive is made only where there is none.
fn refuse_if_used(store: &dyn Store) -> Result<()> {
    let classes = [ObjectClass::Header, ObjectClass::Head, ObjectClass::Pack];
    let shown = names(store, &classes)?;
    if shown.is_empty() {
        return Ok(());
    }
    Err(if is_begun_only(&shown) {
        cut_short()
    } else {
        already_there()
    })
}

/// Whether there are headers alone: what `arch-init` leaves that is cut short before its head.
fn is_begun_only(shown: &BTreeSet<ObjectName>) -> bool {
    shown
        .iter()
        .all(|name| matches!(name, ObjectName::Header(..)))
}

/// There are headers and no head.
pub(super) fn headless(store: &dyn Store) -> Result<Error> {
    let packs = names(store, &[ObjectClass::Pack])?;
    Ok(if packs.is_empty() {
        cut_short()
    } else {
        no_archive(false)
    })
}

/// Whoever makes the archive just now is soon done with it; nobody else can use what is there.
fn cut_short() -> Error {
    Error::refused(
        BEGUN,
        "Remove the folder `header` there, and run `nacre arch-init` again.",
    )
}

fn put_first(store: &dyn Store, name: ObjectName, object: &[u8]) -> Result<()> {
    match store.put_whole(name, object)? {
        PutOutcome::Created => Ok(()),
        PutOutcome::Exists => Err(already_there()),
    }
}

fn already_there() -> Error {
    Error::refused(
        "there is an archive at this target already",
        "Give another `--dest`, or send to the archive that is there.",
    )
}
