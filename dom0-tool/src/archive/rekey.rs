//! A change of the header: key slots, the master key, the archive's identity (DESIGN 4.3).
//!
//! Order: the new header twice, barrier, a head that names it, barrier, the anchor; then the older headers go. A crash before that head is
//! in the store leaves the old header in force, although the new one opens the archive too; a crash after it leaves the new one in force and
//! the older ones lying about, which the head refuses and the next commit removes.

use std::sync::Arc;

use nacre_core::head::Head;
use nacre_core::header::Unlocked;
use nacre_core::ids::Generation;
use nacre_core::object_name::{Copy, ObjectClass, ObjectName};

use super::memory::Memory;
use super::nodes::Nodes;
use super::open::{names, older_headers};
use super::race::put_unless_taken;
use super::{Archive, Error, Result};
use crate::joints::{Clock, PutOutcome, StateDir};

/// What a header was replaced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderChange {
    /// What became of the headers before.
    pub old: OldHeaders,
}

/// What became of older headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldHeaders {
    /// They are gone from the store, as far as it can be believed.
    Removed,
    /// The store removes nothing: whoever reads it finds them.
    Kept,
}

impl Archive {
    /// What the next head says of the header: that of the archive in hand, whatever the head before said.
    pub(super) fn name_header(&self, head: &mut Head) {
        head.header_generation = self.header.description().generation;
        head.header_hash = self.header.hash();
        head.archive = self.header.description().archive;
    }

    /// Puts a new header in force, which was made from this archive's.
    pub fn replace_header(&mut self, next: Unlocked, clock: &dyn Clock) -> Result<HeaderChange> {
        let own = self.put_headers(&names_of(&next), next.bytes())?;
        // The head names the header, so the header must be there first.
        self.store.barrier()?;
        self.old_headers = self.headers_before(next.description().generation)?;
        self.take_over(next);
        let committed = self.begin_small_commit().finish(clock);
        if let Err(Error::Outrun | Error::Refused { .. }) = &committed {
            // Another writer was faster, so this header never comes into force; a key that he removed must not open it.
            drop(self.store.delete(&own));
        }
        committed?;
        Ok(HeaderChange {
            old: if self.store.capabilities().append_only {
                OldHeaders::Kept
            } else {
                OldHeaders::Removed
            },
        })
    }

    /// The same with a header of another identity (`--change-uuid`), of which this machine keeps a memory of its own. What it remembers of the
    /// old identity stays: that may be the original of which this archive is a copy.
    pub fn replace_identity(
        &mut self,
        next: Unlocked,
        memory: Arc<dyn StateDir>,
        clock: &dyn Clock,
    ) -> Result<HeaderChange> {
        let memory = Memory::new(memory);
        let mut anchor = self.anchor();
        anchor.archive = next.description().archive;
        // Before anything is in the store: whichever head is found after a crash, it descends from this.
        let object = self.memory.last_head()?;
        memory.remember(&anchor, &object.unwrap_or_default())?;
        memory.remember_highest(self.highest)?;
        self.memory = memory;
        self.replace_header(next, clock)
    }

    /// From here on everything is sealed with the new header's keys.
    fn take_over(&mut self, next: Unlocked) {
        self.keys = next.keys();
        let nodes = Nodes::new(&self.store, &self.keys, next.description().format);
        nodes.packs().show(&self.head);
        self.nodes = Arc::new(nodes);
        self.header = next;
    }

    /// Puts both copies. Returns those that are ours beyond doubt: who removes the same key at the same moment makes the same header, and if he is
    /// faster it is in force.
    fn put_headers(&self, names: &[ObjectName; 2], object: &[u8]) -> Result<Vec<ObjectName>> {
        let mut own = Vec::new();
        for name in names {
            let put = self.put_header(*name, object);
            if matches!(put, Err(Error::Outrun)) {
                // It will never be in force: no key in it may open the archive.
                drop(self.store.delete(&own));
            }
            if put? == PutOutcome::Created {
                own.push(*name);
            }
        }
        Ok(own)
    }

    /// All older headers, also those of changes that were cut short: what opens one of them is to open nothing any more.
    fn headers_before(&self, next: Generation) -> Result<Vec<ObjectName>> {
        let shown = names(self.store.as_ref(), &[ObjectClass::Header])?;
        Ok(older_headers(&shown, next))
    }

    fn put_header(&self, name: ObjectName, object: &[u8]) -> Result<PutOutcome> {
        let limit = u32::try_from(nacre_core::header::MAX_HEADER).unwrap_or(u32::MAX);
        // Where the name is taken, another change of keys was first, is under way, or was cut short this very moment.
        put_unless_taken(self.store.as_ref(), name, object, limit)?.ok_or(Error::Outrun)
    }

    /// Removes headers that the one in force has replaced. The barrier makes sure that they do not come back with a power cut.
    pub(super) fn forget_headers(&mut self) -> Result<()> {
        if self.old_headers.is_empty() || self.store.capabilities().append_only {
            return Ok(());
        }
        let old = std::mem::take(&mut self.old_headers);
        self.store.delete(&old)?;
        Ok(self.store.barrier()?)
    }

    /// How many headers lie in the store that are no longer in force.
    pub fn old_headers(&self) -> usize {
        self.old_headers.len()
    }
}

fn names_of(header: &Unlocked) -> [ObjectName; 2] {
    let generation = header.description().generation;
    [Copy::A, Copy::B].map(|copy| ObjectName::Header(generation, copy))
}
