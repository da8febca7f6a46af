//! Where packs are: from an alias and an offset in the index to bytes in the store (doc/FORMAT.md, 7.2 and 8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use nacre_core::head::{Head, Home};
use nacre_core::ids::{Alias, KeyGeneration, PackName};
use nacre_core::pack::PackRecord;
use nacre_core::place::{Place, Root};

use super::fetch::Wanted;

/// Where an item lies, and where it was first written, to which it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The pack that holds it now.
    pub pack: PackName,
    /// Offset in that pack.
    pub offset: u64,
    /// Sealed length.
    pub length: u32,
    /// The pack for which it was sealed.
    pub origin: PackName,
    /// The offset for which it was sealed.
    pub origin_offset: u64,
    /// The key generation with which it was sealed.
    pub key_generation: KeyGeneration,
}

impl Located {
    /// What is to be read for it.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            pack: self.pack,
            offset: self.offset,
            length: self.length,
        }
    }
}

/// The packs that were looked up so far, and those that the head names.
#[derive(Default)]
pub struct PackTable {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// Root of the pack tree.
    root: Root,
    /// Packs that hold nodes of the pack tree.
    homes: BTreeMap<Alias, Home>,
    /// Records read from the pack tree; `None`: there is none.
    records: BTreeMap<Alias, Option<Arc<PackRecord>>>,
}

impl PackTable {
    /// Takes over what a head says. Records that the new head's commit changed are given with it.
    pub fn advance(
        &self,
        root: Root,
        homes: &[Home],
        changed: &BTreeMap<Alias, Option<PackRecord>>,
    ) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.root = root;
        state.homes = homes.iter().map(|home| (home.alias, *home)).collect();
        for (alias, record) in changed {
            state.records.insert(*alias, record.clone().map(Arc::new));
        }
    }

    /// Takes over what a head says that was found, not made here.
    pub fn show(&self, head: &Head) {
        self.advance(head.packs, &head.homes, &BTreeMap::new());
    }

    /// Forgets every record: another head was opened.
    pub fn clear(&self) {
        self.write().records.clear();
    }

    /// Root of the pack tree.
    pub fn root(&self) -> Root {
        self.read().root
    }

    /// Which of the aliases have no record loaded yet.
    pub fn missing(&self, aliases: &BTreeSet<Alias>) -> BTreeSet<Alias> {
        let state = self.read();
        let known =
            |alias: &Alias| state.records.contains_key(alias) || state.homes.contains_key(alias);
        aliases
            .iter()
            .copied()
            .filter(|alias| !known(alias))
            .collect()
    }

    /// Keeps what the pack tree says of an alias.
    pub fn loaded(&self, alias: Alias, record: Option<PackRecord>) {
        self.write().records.insert(alias, record.map(Arc::new));
    }

    /// Whether the pack tree was asked for an alias, and answered.
    pub fn is_loaded(&self, alias: Alias) -> bool {
        self.read().records.contains_key(&alias)
    }

    /// The record of an alias, if it was loaded.
    pub fn record(&self, alias: Alias) -> Option<Arc<PackRecord>> {
        self.read().records.get(&alias).cloned().flatten()
    }

    /// Where an item lies; `None` when its pack is not known, not loaded, or says that the range is gone.
    pub fn locate(&self, place: Place) -> Option<Located> {
        let state = self.read();
        // Home packs are never moved, and their records may not be in the tree yet.
        if let Some(home) = state.homes.get(&place.alias) {
            return Some(home_place(home, place));
        }
        let record = state.records.get(&place.alias)?.as_ref()?;
        let (holder, offset) = record.resolve(place)?;
        let pack = if holder == place.alias {
            record.name
        } else {
            state.records.get(&holder)?.as_ref()?.name
        };
        Some(Located {
            pack,
            offset,
            length: place.length,
            origin: record.name,
            origin_offset: place.offset,
            key_generation: record.key_generation,
        })
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn home_place(home: &Home, place: Place) -> Located {
    Located {
        pack: home.name,
        offset: place.offset,
        length: place.length,
        origin: home.name,
        origin_offset: place.offset,
        key_generation: home.key_generation,
    }
}
