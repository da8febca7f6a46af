//! Several writers: whether another one was faster (DESIGN 4.4).
//!
//! A head is created only if its name is free, but that alone decides nothing: two commits later a head is removed and its name is free again, and whoever
//! has accepted an older state of the store passes numbers over. So each writer looks round after its own head is there: of two, at least one sees
//! the other.

use std::collections::BTreeSet;

use nacre_core::error::FormatError;
use nacre_core::head::{Head, HeadKeys, MAX_HEAD};
use nacre_core::ids::{Epoch, HeadHash};
use nacre_core::object_name::{ObjectClass, ObjectName};

use super::heads::shown_epochs;
use super::nodes::Nodes;
use super::open::head_in_history;
use super::{Archive, Attempted, Error, Result};
use crate::joints::{PutOutcome, Store};

/// How often a head that is gone before it was read is looked for again.
const ATTEMPTS: usize = 8;

impl Archive {
    /// Whether the store shows no newer head than the one that was opened.
    pub fn is_newest(&self) -> Result<bool> {
        Ok(self.heads_behind()?.is_empty())
    }

    /// What a command ran into while another writer changed the archive is not damage: what it was reading has been given away.
    pub fn unless_outrun<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(error) if error.is_damage() && !self.is_newest()? => Err(Error::Outrun),
            other => other,
        }
    }

    /// The same for a reader, which takes no lock and may go on after damage that `is_damaged` finds in what it returns.
    pub fn unless_given_away<T>(
        &self,
        result: Result<T>,
        is_damaged: impl Fn(&T) -> bool,
    ) -> Result<T> {
        match self.unless_outrun(result)? {
            found if is_damaged(&found) && !self.is_newest()? => Err(Error::Outrun),
            found => Ok(found),
        }
    }

    /// Heads behind this one in the store, but those that could not be read when the archive was opened, and one that this command has put itself.
    fn heads_behind(&self) -> Result<BTreeSet<Epoch>> {
        let own = self.attempted.map(|(epoch, _)| epoch);
        let mut epochs = shown_epochs(self.store.as_ref())?;
        epochs.retain(|epoch| {
            *epoch > self.head.epoch && !self.unreadable.contains(epoch) && Some(*epoch) != own
        });
        Ok(epochs)
    }

    /// Once a new head is there: if another writer was faster, it is taken away again.
    pub(super) fn check_race(&self, epoch: Epoch, head: HeadHash) -> Result<()> {
        match self.has_won(epoch, head)? {
            Some(true) => Ok(()),
            Some(false) => {
                if !self.store.capabilities().append_only {
                    self.store.delete(&[ObjectName::Head(epoch)])?;
                    self.store.barrier()?;
                }
                Err(Error::Outrun)
            }
            None => Err(Error::State(
                "another writer has changed the archive in the same moment, and it cannot be told whether this change is in it; \
                 `nacre list` shows that"
                    .to_owned(),
            )),
        }
    }

    /// Whether the newest head is this one or descends from it. `None`: that cannot be told, for it is sealed under a master that is not known here, or
    /// cannot be read.
    fn has_won(&self, epoch: Epoch, hash: HeadHash) -> Result<Option<bool>> {
        for _ in 0..ATTEMPTS {
            let others = self.heads_behind()?;
            let Some(newest) = others.last().copied() else {
                return Ok(Some(true));
            };
            if newest < epoch {
                return Ok(Some(false));
            }
            let name = ObjectName::Head(newest);
            // It is gone when there is a newer one by now.
            let object = match self.store.get_whole(name, MAX_HEAD) {
                Err(error) if !Error::Store(error.clone()).is_damage() => return Err(error.into()),
                other => other.ok().flatten(),
            };
            let Some(object) = object else {
                continue;
            };
            let head = match self.head_keys().open(newest, &object) {
                Ok(head) => head,
                Err(FormatError::OutOfRange(HeadKeys::NO_KEY)) => return Ok(None),
                Err(_) => continue,
            };
            match self.history_of(&head, epoch) {
                _ if head.previous == hash => return Ok(Some(true)),
                Err(error) if error.is_damage() => {}
                found => return Ok(Some(found? == Some(hash))),
            }
        }
        Ok(None)
    }

    /// Newer heads than the one that was opened, which the store has but which cannot be read. A store that syncs what it is given has none by a power cut, but
    /// for empty ones on FAT, which do not count: there is a newer state, and what this one calls left over may be part of it.
    pub fn unreadable_heads(&self) -> Result<Vec<ObjectName>> {
        let mut heads = Vec::new();
        if !self.unreadable.is_empty() {
            self.store.list(ObjectClass::Head, &mut |name, size| {
                if size > 0
                    && matches!(name, ObjectName::Head(epoch) if self.unreadable.contains(&epoch))
                {
                    heads.push(name);
                }
            })?;
        }
        Ok(heads)
    }

    /// Whether a head whose fate was not known is this one, or an earlier one of the archive. What cannot be read does not show it.
    pub fn has(&self, (epoch, hash): Attempted) -> Result<bool> {
        if hash == self.head_hash || hash == self.head.previous {
            return Ok(true);
        }
        match self.history_of(&self.head, epoch) {
            Err(error) if error.is_damage() => Ok(false),
            found => Ok(found? == Some(hash)),
        }
    }

    /// What another head says of an earlier epoch.
    fn history_of(&self, head: &Head, epoch: Epoch) -> Result<Option<HeadHash>> {
        let nodes = Nodes::new(&self.store, &self.keys, self.format());
        nodes.packs().show(head);
        head_in_history(&nodes, head, epoch)
    }
}

/// Creates an object. `None`: another one has its name. `Exists`: this very one was there: our own put had succeeded and only its answer was lost, or
/// somebody else has made the same.
pub(super) fn put_unless_taken(
    store: &dyn Store,
    name: ObjectName,
    object: &[u8],
    limit: u32,
) -> Result<Option<PutOutcome>> {
    let put = store.put_whole(name, object)?;
    let is_there =
        put == PutOutcome::Created || store.get_whole(name, limit)?.as_deref() == Some(object);
    Ok(is_there.then_some(put))
}
