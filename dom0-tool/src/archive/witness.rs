//! Witnesses: a head says which head of every other archive this machine has seen (DESIGN 4.4).
//!
//! A machine without an anchor, or one that was itself put back to an older state, cannot tell that a store was rolled back; but another
//! archive can. What the heads of other archives say of an archive is kept beside its anchor, and held against its head whenever it is opened.

use std::collections::BTreeSet;

use nacre_core::freshness::{Anchor, Freshness, next_witnesses};
use nacre_core::head::{Head, Witness};
use nacre_core::ids::ArchiveId;

use super::open::rolled_back;
use super::{Archive, Result};

impl Archive {
    /// What this machine remembers of other archives, for the heads to come.
    pub fn set_others(&mut self, others: Vec<Anchor>) {
        self.others = others;
    }

    /// What heads to come say no more, though this one does: archives that the user forgot.
    pub fn set_forgotten(&mut self, forgotten: BTreeSet<ArchiveId>) {
        self.forgotten = forgotten;
    }

    /// What this head says of other archives.
    pub fn witnesses(&self) -> &[Witness] {
        &self.head.witnesses
    }

    /// Whether this machine saw the archive for the first time when it was opened.
    pub fn is_new_here(&self) -> bool {
        self.is_new_here
    }

    /// Enters what is known of other archives into the next head.
    pub(super) fn bear_witness(&self, head: &mut Head) {
        let carried = &mut head.witnesses;
        carried.retain(|witness| !self.forgotten.contains(&witness.archive));
        head.witnesses = next_witnesses(head.archive, carried, &self.others);
    }

    /// Holds the head against what another archive says of this one.
    pub(super) fn check_witness(&self, allow_rollback: bool) -> Result<()> {
        let Some(witness) = self.memory.witness()? else {
            return Ok(());
        };
        let (head, hash) = (&self.head, self.head_hash);
        let history = if head.epoch > witness.epoch {
            self.head_of(witness.epoch)?
        } else {
            None
        };
        let found = match witness.compare(head.archive, head.epoch, hash, history) {
            Freshness::Same | Freshness::Newer | Freshness::Foreign => return Ok(()),
            Freshness::Older { remembered, found } => format!(
                "another archive has seen a newer state of this one: it shows epoch {found}, epoch {remembered} was there before"
            ),
            Freshness::Forked { remembered } => format!(
                "this archive does not continue the state that another archive has seen: its epoch {} does not descend from epoch {remembered}",
                head.epoch
            ),
        };
        if allow_rollback {
            self.memory.remember_highest(witness.epoch)?;
            return self.memory.overrule_witness(&witness);
        }
        Err(rolled_back(found))
    }
}
