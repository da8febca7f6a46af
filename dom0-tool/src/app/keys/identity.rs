//! `key change-uuid`: a copy of an archive becomes an archive of its own.
//!
//! Order: the new identity's memory and the target's pin, which allows both identities; then the commit; then the pin for the new identity
//! alone. Whenever the power goes, the identity that the store shows is one that the pin allows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use nacre_core::ids::ArchiveId;

use super::super::opening::{lend_pin, open_with, retried, write_pin};
use super::super::world::{World, entropy};
use super::{follows, note, refused};
use crate::archive::Result;
use crate::joints::{StateDir, StateError, StateLock};

/// Gives the archive at the target a new identity. What this machine remembers under the old one is not touched: the original may be in use.
pub fn run(world: &World<'_>) -> Result<()> {
    let memory_of = |id: ArchiveId| {
        let real = world.memory_of(id)?;
        Ok(Arc::new(Borrowed {
            real,
            changed: Mutex::default(),
        }) as Arc<dyn StateDir>)
    };
    let (mut archive, pin) = open_with(world, &memory_of)?;
    let lock = archive.memory().dir().lock("key change-uuid")?;
    let old = archive.id();
    let next = archive.header().with_new_archive_id(entropy()().as_mut());
    let next = next.map_err(refused)?;
    let new = next.description().archive;
    if world.common.dry_run {
        note(world, &format!("give archive {old} another identity"), "");
        return Ok(());
    }
    lend_pin(world, &archive, new)?;
    let before = archive.header().hash();
    let mut first = true;
    retried(world, || {
        if !std::mem::take(&mut first) {
            // The pin allows either identity now; what is in force is the old one.
            archive = open_with(world, &memory_of)?.0;
            follows(&next, &archive, before)?;
        }
        archive.replace_identity(next.clone(), world.memory_of(new)?, world.clock())
    })?;
    write_pin(world, &archive, pin)?;
    drop(lock);
    note(
        world,
        "",
        &format!(
            "archive {old} at this target is archive {new} from now on; the first send of each volume compares it whole"
        ),
    );
    Ok(())
}

/// dom0's files of an archive, read as they are; what is written is kept in memory and forgotten.
struct Borrowed {
    real: Arc<dyn StateDir>,
    changed: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
}

impl Borrowed {
    fn change(&self, name: &str, content: Option<Vec<u8>>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.insert(name.to_owned(), content);
    }
}

impl StateDir for Borrowed {
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StateError> {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        match changed.get(name) {
            Some(content) => Ok(content.clone()),
            None => self.real.read(name, limit),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.change(name, Some(bytes.to_vec()));
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>, StateError> {
        self.real.list()
    }

    fn remove(&self, name: &str) -> Result<(), StateError> {
        self.change(name, None);
        Ok(())
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn StateLock>, StateError> {
        self.real.lock(purpose)
    }

    fn turn(&self) -> Result<Box<dyn StateLock>, StateError> {
        self.real.turn()
    }
}
