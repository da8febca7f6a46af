//! What the store shows: which packs are there, and how long they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use nacre_core::ids::PackName;
use nacre_core::object_name::{ObjectClass, ObjectName};

use crate::archive::{Error, Located, Result};
use crate::joints::Store;

/// The packs in the store. Some 60 bytes each: a few MiB for a terabyte.
pub struct Objects {
    store: Arc<dyn Store>,
    packs: BTreeMap<PackName, u64>,
    /// Packs that the listing does not show, or shows too short, with the size that the store says when it is asked for this one.
    asked: Mutex<BTreeMap<PackName, Option<u64>>>,
}

/// What is in the store and belongs to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// How many packs.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Objects {
    /// Asks the store.
    pub fn list(store: &Arc<dyn Store>) -> Result<Self> {
        let mut packs = BTreeMap::new();
        store.list(ObjectClass::Pack, &mut |name, size| {
            if let ObjectName::Pack(name) = name {
                packs.insert(name, size);
            }
        })?;
        Ok(Self {
            store: Arc::clone(store),
            packs,
            asked: Mutex::default(),
        })
    }

    /// What is wrong with the object that should hold an item, as far as its size can tell. A listing may pass over what it should show, so an object
    /// is asked for by its name before it counts as missing or cut short.
    pub fn fault(&self, item: &Located) -> Result<Option<String>> {
        let object = ObjectName::Pack(item.pack);
        let end = item.offset.saturating_add(u64::from(item.length));
        if self.packs.get(&item.pack).is_some_and(|size| end <= *size) {
            return Ok(None);
        }
        Ok(match self.ask(item.pack)? {
            None => Some(format!("object missing from the store ({object})")),
            Some(size) if end > size => Some(format!(
                "object in the store is shorter than it must be ({object})"
            )),
            Some(_) => None,
        })
    }

    fn ask(&self, pack: PackName) -> Result<Option<u64>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(size) = asked.get(&pack) {
            return Ok(*size);
        }
        let size = match self
            .store
            .stat(ObjectName::Pack(pack))
            .map_err(Error::Store)
        {
            Ok(size) => size,
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        asked.insert(pack, size);
        Ok(size)
    }

    /// All packs with their sizes.
    pub fn iter(&self) -> impl Iterator<Item = (PackName, u64)> + '_ {
        self.packs.iter().map(|(name, size)| (*name, *size))
    }

    /// Packs that are not among `named`.
    pub fn orphans(&self, named: &BTreeSet<PackName>) -> Orphans {
        let mut orphans = Orphans::default();
        for (_, size) in self.iter().filter(|(name, _)| !named.contains(name)) {
            orphans.objects += 1;
            orphans.bytes = orphans.bytes.saturating_add(size);
        }
        orphans
    }
}
