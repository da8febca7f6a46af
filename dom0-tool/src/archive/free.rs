//! Frees what a committed head gives away (DESIGN 4.4): barrier, delete or punch, barrier; a later head drops it from its list.
//!
//! A crash before the deletion leaves the list in the head, and the next command that writes goes on with it. A crash after it leaves a
//! list of things that are gone: freeing them again does nothing.

use std::collections::BTreeSet;

use nacre_core::ids::{Alias, PackName};
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_core::pack::{PackKind, PackRecord, PackState};
use nacre_core::place::{MAX_PACK, TreeKind};
use nacre_core::tree::RecordTree;

use super::nodes::Nodes;
use super::{Archive, Error, Result};
use crate::joints::{ByteRange, Capabilities, Clock, StoreErrorKind};

/// What came of freeing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Bytes by which the store's free space grew, as it says itself; `None` if it does not say.
    pub measured: Option<u64>,
    /// Objects that were deleted.
    pub objects: u64,
    /// Bytes of these objects, and of the ranges that were punched.
    pub given_away: u64,
    /// Bytes that are dead but stay, because the store cannot punch.
    pub kept: u64,
    /// Bytes that are dead and wait, because the store could not try out whether it can punch.
    pub untried: u64,
    /// Whether the store is append-only: then nothing is freed, and the list waits in the head.
    pub append_only: bool,
}

impl Freed {
    /// What came of another freeing, behind this one.
    pub fn add(&mut self, freed: &Self) {
        self.measured = match (self.measured, freed.measured) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        self.objects += freed.objects;
        self.given_away += freed.given_away;
        self.kept += freed.kept;
        // Those are the same ones each time.
        self.untried = self.untried.max(freed.untried);
        self.append_only |= freed.append_only;
    }
}

/// A pack that no head names: what an interrupted run left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orphan {
    /// Its name.
    pub name: PackName,
    /// Its size in bytes.
    pub size: u64,
}

impl Archive {
    /// Frees what the newest head gives away. Measured on the store, before and after.
    pub fn free(&mut self) -> Result<Freed> {
        if self.head.freeing.is_empty() || self.head.books_in_doubt() {
            return Ok(Freed::default());
        }
        let capabilities = self.store.capabilities();
        if capabilities.append_only {
            return Ok(Freed {
                append_only: true,
                ..Freed::default()
            });
        }
        let before = self.free_space()?;
        let mut freed = self.carry_out(capabilities)?;
        let after = self.free_space()?;
        freed.measured = before
            .zip(after)
            .map(|(before, after)| after.saturating_sub(before));
        Ok(freed)
    }

    /// Frees what is still to be freed of the newest head; the answer is what its follower need not list any more.
    pub(super) fn free_left_over(&mut self) -> Result<BTreeSet<Alias>> {
        let listed = self.head.freeing.iter();
        let left = listed.filter(|alias| !self.freed.contains(alias)).count();
        let capabilities = self.store.capabilities();
        if left > 0 && !capabilities.append_only {
            self.carry_out(capabilities)?;
        }
        Ok(self.freed.clone())
    }

    fn free_space(&self) -> Result<Option<u64>> {
        match self.store.free_space() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind == StoreErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn carry_out(&mut self, capabilities: Capabilities) -> Result<Freed> {
        let nodes = self.nodes();
        let aliases: BTreeSet<Alias> = self.head.freeing.iter().copied().collect();
        nodes.load_packs(&aliases)?;
        // The head may have been found, not written by us: what it gives away may only go when a power cut cannot bring back an older one.
        self.store.barrier()?;
        let mut freed = Freed::default();
        let mut done = BTreeSet::new();
        let mut objects = Vec::new();
        for alias in aliases {
            let Some(record) = nodes.pack_record(alias)? else {
                done.insert(alias);
                continue;
            };
            if record.state != PackState::Live {
                freed.given_away += record.size;
                objects.push((alias, ObjectName::Pack(record.name)));
            } else if !capabilities.punch {
                let dead = record.punchable().map(|(start, end)| end - start);
                if capabilities.untried {
                    freed.untried += dead.sum::<u64>();
                } else {
                    freed.kept += dead.sum::<u64>();
                    done.insert(alias);
                }
            } else if self.punch(&record, &mut freed)? {
                done.insert(alias);
            }
        }
        let names: Vec<ObjectName> = objects.iter().map(|(_, name)| *name).collect();
        if !names.is_empty() {
            self.store.delete(&names)?;
        }
        self.store.barrier()?;
        freed.objects = names.len() as u64;
        done.extend(objects.into_iter().map(|(alias, _)| alias));
        self.freed.extend(done);
        Ok(freed)
    }

    /// Punches the dead ranges of a pack. `false`: its disk would not; it is tried again later.
    fn punch(&self, record: &PackRecord, freed: &mut Freed) -> Result<bool> {
        let ranges: Vec<ByteRange> = record
            .punchable()
            .filter_map(|(start, end)| {
                Some(ByteRange {
                    offset: start,
                    length: u32::try_from(end - start).ok()?,
                })
            })
            .collect();
        let answer = self.store.punch(ObjectName::Pack(record.name), &ranges);
        match answer.as_ref().map_err(|error| error.kind) {
            Ok(()) => {
                freed.given_away += ranges
                    .iter()
                    .map(|range| u64::from(range.length))
                    .sum::<u64>();
                Ok(true)
            }
            // A pack that is lost or cut short is damage, which others tell; here it only means that there is nothing to free.
            Err(StoreErrorKind::NotFound | StoreErrorKind::OutOfRange) => Ok(true),
            Err(StoreErrorKind::Io) => Ok(false),
            Err(_) => answer.map(|()| true).map_err(Error::Store),
        }
    }

    /// Packs in the store that no head names. Runs of other machines that are under way have such packs too: what [`Self::give_up_orphans`]
    /// does to one of them makes its commit fail, and nothing worse.
    pub fn orphans(&self) -> Result<Vec<Orphan>> {
        let mut known: BTreeSet<PackName> = self.head.homes.iter().map(|home| home.name).collect();
        self.each_pack(|_, record| {
            known.insert(record.name);
            Ok(())
        })?;
        let mut orphans = Vec::new();
        self.store.list(ObjectClass::Pack, &mut |name, size| {
            if let ObjectName::Pack(name) = name
                && !known.contains(&name)
            {
                orphans.push(Orphan { name, size });
            }
        })?;
        orphans.sort_unstable();
        Ok(orphans)
    }

    /// Enters orphans as void in a new head. [`Self::free`] then removes them.
    pub fn give_up_orphans(&mut self, orphans: &[Orphan], clock: &dyn Clock) -> Result<()> {
        let first = self.head.next.alias;
        let aliases = (first.0..)
            .take(orphans.len())
            .map(Alias)
            .collect::<Vec<_>>();
        let index = Alias(first.0.saturating_add(orphans.len() as u64));
        let key_generation = self.sealer().key_generation();
        let records = orphans.iter().map(|orphan| {
            // What they hold does not matter: all of it counts as the pack's own.
            let size = orphan.size.min(MAX_PACK);
            let kind = PackKind::Index;
            let mut record = PackRecord::new(kind, orphan.name, key_generation, size, size);
            record.state = PackState::Void;
            Some(record)
        });
        let records = aliases.iter().copied().zip(records).collect();
        let mut commit = self.begin_commit(index);
        commit.set_packs(records);
        commit.give_away(aliases);
        commit.finish(clock)
    }

    /// Calls `visit` for every record of the pack tree. The index pack of the newest head is not among them.
    pub fn each_pack(&self, mut visit: impl FnMut(Alias, PackRecord) -> Result<()>) -> Result<()> {
        let tree = RecordTree {
            tree: TreeKind::Packs,
            root: self.head.packs,
        };
        let nodes = self.nodes();
        let mut source: &Nodes = &nodes;
        tree.each(&mut source, 0..u64::MAX, |alias, bytes| {
            let record = PackRecord::parse(&bytes)
                .map_err(Error::damaged(format!("the record of pack {alias}")))?;
            visit(Alias(alias), record)
        })
    }
}
