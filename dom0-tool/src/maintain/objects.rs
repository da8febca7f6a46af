//! What the store's listing shows: which packs are there, and how long they are.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::ids::PackName;
use nacre_core::object_name::{ObjectClass, ObjectName};

use crate::archive::{Located, Result};
use crate::joints::Store;

/// The packs in the store. Some 60 bytes each: a few MiB for a terabyte.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    packs: BTreeMap<PackName, u64>,
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
    pub fn list(store: &dyn Store) -> Result<Self> {
        let mut packs = BTreeMap::new();
        store.list(ObjectClass::Pack, &mut |name, size| {
            if let ObjectName::Pack(name) = name {
                packs.insert(name, size);
            }
        })?;
        Ok(Self { packs })
    }

    /// What is wrong with the object that should hold an item, as far as a listing can tell.
    pub fn fault(&self, item: &Located) -> Option<String> {
        let object = ObjectName::Pack(item.pack);
        match self.packs.get(&item.pack) {
            None => Some(format!("object missing from the store ({object})")),
            Some(size) if item.offset.saturating_add(u64::from(item.length)) > *size => Some(
                format!("object in the store is shorter than it must be ({object})"),
            ),
            Some(_) => None,
        }
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
