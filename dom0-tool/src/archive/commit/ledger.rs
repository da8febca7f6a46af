//! The pack records that a commit changes: what dies in them, which packs are given up, what the head gives away (DESIGN 4.2, 4.4).

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::head::Head;
use nacre_core::ids::{Alias, SessionSeq};
use nacre_core::pack::{PackKind, PackRecord, PackState, kill, retire};
use nacre_core::place::Place;

use super::super::nodes::Nodes;
use super::super::{Error, Result};

/// Pack records in memory, and which of them the commit writes.
#[derive(Default)]
pub struct Ledger {
    records: BTreeMap<Alias, PackRecord>,
    changed: BTreeSet<Alias>,
    /// Packs that the pack tree has no more use for.
    gone: BTreeSet<Alias>,
    /// Packs with something that this head gives away.
    freeing: BTreeSet<Alias>,
}

impl Ledger {
    /// Enters a record or replaces it.
    pub fn set(&mut self, alias: Alias, record: PackRecord) {
        self.records.insert(alias, record);
        self.changed.insert(alias);
        self.gone.remove(&alias);
    }

    /// Takes a record out of the pack tree.
    pub fn remove(&mut self, alias: Alias) {
        self.records.remove(&alias);
        self.changed.remove(&alias);
        self.gone.insert(alias);
    }

    /// The head will say that this pack has something to be freed: its object if it is void or moved, else its dead ranges.
    pub fn give_away(&mut self, alias: Alias) {
        self.freeing.insert(alias);
    }

    /// The index pack of the head before is known by that head only; now it enters the pack tree.
    pub fn enter_last_index(&mut self, nodes: &Nodes, head: &Head) -> Result<()> {
        if let Some(home) = head.homes.last()
            && nodes.pack_record(home.alias)?.is_none()
        {
            let kind = PackKind::Index;
            let record = PackRecord::new(kind, home.name, home.key_generation, home.size, home.own);
            self.set(home.alias, record);
        }
        Ok(())
    }

    /// Drops what the head before gave away and what is freed by now: void packs leave the tree.
    pub fn drop_freed(
        &mut self,
        nodes: &Nodes,
        head: &mut Head,
        freed: &BTreeSet<Alias>,
    ) -> Result<()> {
        for alias in freed {
            let record = self.load(nodes, *alias)?;
            if record.is_some_and(|record| record.state == PackState::Void) {
                self.remove(*alias);
            }
        }
        head.freeing.retain(|alias| !freed.contains(alias));
        Ok(())
    }

    /// Marks items and nodes as dead, and gives up the packs of which nothing lives. Homes of the pack tree stay.
    pub fn bury(&mut self, nodes: &Nodes, head: &Head, dead: &[Place]) -> Result<()> {
        let aliases: BTreeSet<Alias> = dead.iter().map(|place| place.alias).collect();
        self.load_with_holders(nodes, &aliases)?;
        let touched = kill(&mut self.records, dead)?;
        self.give_up(nodes, head, touched)
    }

    /// Looks at packs whose items may all be dead.
    pub fn sweep(&mut self, nodes: &Nodes, head: &Head, aliases: &BTreeSet<Alias>) -> Result<()> {
        self.load_with_holders(nodes, aliases)?;
        self.give_up(nodes, head, aliases.clone())
    }

    fn give_up(&mut self, nodes: &Nodes, head: &Head, mut touched: BTreeSet<Alias>) -> Result<()> {
        // With a pack that is given up go parts of the packs that were moved there: these are told.
        let records = touched.iter().filter_map(|alias| self.records.get(alias));
        let sources = records.filter(|record| record.all_dead());
        let sources = sources.flat_map(|record| record.sources.clone()).collect();
        self.load_all(nodes, &sources)?;
        let homes = head.homes.iter().map(|home| home.alias).collect();
        let retired = retire(&mut self.records, &mut touched, &homes);
        for alias in retired.gone {
            self.remove(alias);
            touched.remove(&alias);
        }
        self.freeing.extend(retired.void);
        for alias in &touched {
            let punchable = self.records.get(alias).map(PackRecord::punchable);
            if punchable.is_some_and(|mut ranges| ranges.next().is_some()) {
                self.freeing.insert(*alias);
            }
        }
        self.changed.extend(touched);
        Ok(())
    }

    /// Loads records, and those of the packs that hold parts of theirs, each time with one batch for each level of the pack tree.
    fn load_with_holders(&mut self, nodes: &Nodes, aliases: &BTreeSet<Alias>) -> Result<()> {
        self.load_all(nodes, aliases)?;
        let mut holders = BTreeSet::new();
        for alias in aliases {
            let Some(record) = self.records.get(alias) else {
                return Err(Error::damaged(format!("the record of pack {alias}"))(
                    nacre_core::error::FormatError::Mismatch("a pack record"),
                ));
            };
            holders.extend(record.part_aliases());
        }
        self.load_all(nodes, &holders)
    }

    fn load_all(&mut self, nodes: &Nodes, aliases: &BTreeSet<Alias>) -> Result<()> {
        nodes.load_packs(aliases)?;
        for alias in aliases {
            self.load(nodes, *alias)?;
        }
        Ok(())
    }

    /// The record as this commit leaves it.
    pub fn load(&mut self, nodes: &Nodes, alias: Alias) -> Result<Option<&PackRecord>> {
        if !self.records.contains_key(&alias)
            && !self.gone.contains(&alias)
            && let Some(record) = nodes.pack_record(alias)?
        {
            self.records.insert(alias, record);
        }
        Ok(self.records.get(&alias))
    }

    /// What the pack tree must be told, and what the head gives away.
    pub fn finish(self, head: &mut Head) -> BTreeMap<Alias, Option<PackRecord>> {
        let mut freeing: BTreeSet<Alias> = head.freeing.iter().copied().collect();
        freeing.extend(&self.freeing);
        head.freeing = freeing.into_iter().collect();
        let mut records = self.records;
        let changed = self.changed.iter();
        let changed = changed.filter_map(|alias| Some((*alias, Some(records.remove(alias)?))));
        let mut all: BTreeMap<_, _> = changed.collect();
        all.extend(self.gone.into_iter().map(|alias| (alias, None)));
        all
    }
}

/// Sessions as they are after a commit.
pub type SessionChanges = BTreeMap<SessionSeq, Option<nacre_core::session::Session>>;
