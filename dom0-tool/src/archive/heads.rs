//! The newest head of a store, and one that the store has lost put there again (DESIGN 4.4).

use std::collections::BTreeSet;

use nacre_core::error::FormatError;
use nacre_core::freshness::Anchor;
use nacre_core::head::{Head, HeadKeys, MAX_HEAD};
use nacre_core::ids::{Epoch, HeadHash};
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_core::pack::{PackRecord, PackState};
use nacre_core::place::TreeKind;
use nacre_core::tree::RecordTree;

use super::init::headless;
use super::memory::Memory;
use super::nodes::Nodes;
use super::open::{no_archive, stale_header};
use super::race::put_unless_taken;
use super::{Error, Result};
use crate::joints::{Store, StoreErrorKind};

/// How often heads are listed anew because one of them has gone meanwhile.
const ATTEMPTS: usize = 8;

/// A head that opens.
pub(super) struct FoundHead {
    pub head: Head,
    pub object: Vec<u8>,
    /// The highest epoch of which there is any sign.
    pub highest: Epoch,
    /// Epochs behind it whose heads cannot be read.
    pub unreadable: BTreeSet<Epoch>,
}

/// The heads of a store.
pub(super) struct Heads<'a> {
    pub store: &'a dyn Store,
    pub keys: &'a HeadKeys,
    pub nodes: &'a Nodes,
    pub allow_rollback: bool,
}

/// The epochs of all heads that the store shows.
pub(super) fn shown_epochs(store: &dyn Store) -> Result<BTreeSet<Epoch>> {
    let mut epochs = BTreeSet::new();
    store.list(ObjectClass::Head, &mut |name, _| {
        if let ObjectName::Head(epoch) = name {
            epochs.insert(epoch);
        }
    })?;
    Ok(epochs)
}

impl Heads<'_> {
    /// The newest head that opens. One that this machine is known to have seen last and that the store has lost since is put again, if it can be.
    pub fn newest(&self, known: Option<(&Memory, &Anchor)>) -> Result<FoundHead> {
        for _ in 0..ATTEMPTS {
            if let Some(found) = self.newest_of(&shown_epochs(self.store)?, known)? {
                return Ok(found);
            }
        }
        Err(Error::Outrun)
    }

    /// `None`: a head was listed and is gone since. Then there are newer ones, and what an older one says that lies about tells nothing.
    fn newest_of(
        &self,
        epochs: &BTreeSet<Epoch>,
        known: Option<(&Memory, &Anchor)>,
    ) -> Result<Option<FoundHead>> {
        let shown = epochs.last().copied().unwrap_or_default();
        let highest = known.map_or(shown, |(_, anchor)| anchor.epoch.max(shown));
        let mut newest = epochs.last().map(|epoch| self.read(*epoch));
        if let Some((memory, anchor)) = known
            && shown == anchor.epoch
            && let Some(Err(error)) = &newest
        {
            if !self.is_lost(error) {
                return Err(error.clone());
            }
            if let Some(found) = self.remembered(memory, anchor)? {
                return Ok(Some(found));
            }
        }
        let mut last = None;
        for epoch in epochs.iter().rev() {
            match newest.take().unwrap_or_else(|| self.read(*epoch)) {
                Ok(Some((head, object))) => {
                    if let Some((memory, anchor)) = known
                        && *epoch < anchor.epoch
                        && let Some(found) = self.lost(memory, anchor, *epoch, epochs)?
                    {
                        return Ok(Some(found));
                    }
                    let unreadable = epochs.range(Epoch(epoch.0 + 1)..).copied().collect();
                    return Ok(Some(FoundHead {
                        head,
                        object,
                        highest,
                        unreadable,
                    }));
                }
                Ok(None) if !shown_epochs(self.store)?.contains(epoch) => {
                    return Ok(None);
                }
                Ok(None) => {}
                // Not torn by a power cut, but sealed under a master that this header does not have yet.
                Err(Error::Damaged {
                    error: FormatError::OutOfRange(HeadKeys::NO_KEY),
                    ..
                }) if !self.allow_rollback => return Err(stale_header()),
                Err(error) if self.is_lost(&error) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(match last {
            Some(error) => error,
            None if known.is_some() => no_archive(true),
            None => headless(self.store)?,
        })
    }

    /// What is damaged stays so: by one bad answer alone no older head may come to be taken for the newest, for whoever writes behind that one drops
    /// what others have written since.
    fn read(&self, epoch: Epoch) -> Result<Option<(Head, Vec<u8>)>> {
        match self.read_once(epoch) {
            Ok(None) => self.read_once(epoch),
            Err(error) if self.is_lost(&error) => self.read_once(epoch),
            other => other,
        }
    }

    /// Whether it is the head itself that cannot be read, and not the store just now. One of a later format is not lost, unless the user accepts an older state.
    fn is_lost(&self, error: &Error) -> bool {
        match error {
            Error::Store(error) if error.kind == StoreErrorKind::TooLarge => true,
            Error::Damaged { .. } if self.allow_rollback => true,
            error => error.is_damage(),
        }
    }

    fn read_once(&self, epoch: Epoch) -> Result<Option<(Head, Vec<u8>)>> {
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

    /// The newest head as this machine remembers it, if the store still has its name but not its bytes: what it says holds all the same. The next
    /// commit, of `arch-check --repair` for one, puts a whole one behind it.
    fn remembered(&self, memory: &Memory, anchor: &Anchor) -> Result<Option<FoundHead>> {
        let object = memory.last_head()?;
        let Some(object) = object.filter(|object| HeadHash::of(object) == anchor.head) else {
            return Ok(None);
        };
        let opened = self.keys.open(anchor.epoch, &object).ok();
        Ok(opened.map(|head| FoundHead {
            head,
            object,
            highest: anchor.epoch,
            unreadable: BTreeSet::new(),
        }))
    }

    /// The head that this machine wrote or saw last, where an earlier one is the newest that can be read.
    fn lost(
        &self,
        memory: &Memory,
        anchor: &Anchor,
        readable: Epoch,
        epochs: &BTreeSet<Epoch>,
    ) -> Result<Option<FoundHead>> {
        let found = if epochs.contains(&anchor.epoch) {
            self.remembered(memory, anchor)?
        } else {
            self.put_again(memory, anchor, readable)?
        };
        // What a power cut has torn may lie behind it.
        let unreadable: BTreeSet<Epoch> =
            epochs.range(Epoch(anchor.epoch.0 + 1)..).copied().collect();
        Ok(found.map(|found| FoundHead {
            highest: unreadable.last().copied().unwrap_or(anchor.epoch),
            unreadable,
            ..found
        }))
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
        let name = ObjectName::Head(anchor.epoch);
        if put_unless_taken(self.store, name, &object, MAX_HEAD)?.is_none() {
            // Another writer has gone on from its predecessor this very moment.
            return Ok(None);
        }
        self.store.barrier()?;
        Ok(Some(FoundHead {
            head,
            object,
            highest: anchor.epoch,
            unreadable: BTreeSet::new(),
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
        self.nodes.packs().show(head);
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
