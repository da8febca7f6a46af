//! An LVM thin pool (DESIGN 5): `--local=vg/pool`.
//!
//! A volume is a logical volume of the pool, and is called as it is. Snapshots are thin, read-only, never activated at boot, and called
//! `NAME.nacre_<8 hex digits of the archive's id>_<number>`: they begin like the volume, because dom0 keeps its hands off `vm-*`, and end in a way that no
//! volume of Qubes does. Which of several snapshots the newest session names is decided by the identity alone, so that a crash between a commit
//! and the removal of the older snapshot costs nothing.

mod btree;
mod command;
mod discarded;
mod frozen;
mod fuzzing;
mod goal;
mod identity;
mod listing;
mod metadata;
mod names;
mod run_file;
mod status;
mod taking;
mod thin;
mod thin_device;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nacre_core::ids::ArchiveId;

use self::frozen::LvmVolume;
use self::goal::{LvmGoal, Start, check_free, remove_left_overs, repair, set_aside};
use self::identity::Identity;
use self::listing::{Listing, Volume};
use self::names::{OurName, is_lvm_name, is_wyngs, short};
use self::taking::Wanted;
use self::thin::Thin;
use super::Links;
use crate::joints::{
    Frozen, FrozenVolume, GoalStart, Harvest, Pool, Ranges, RestoreGoal, SourceError,
    SourceErrorKind, StateDir, VolumeNames, VolumeSource,
};

pub use self::fuzzing::{check_metadata, check_reports};
pub use self::names::mapper_name;
pub use self::thin_device::fresh_device;

/// A thin pool, seen by one archive.
pub struct LvmPool {
    thin: Arc<Thin>,
    links: Links,
    /// The first digits of the archive's id.
    archive: String,
}

impl LvmPool {
    /// Opens `vg/pool`. `state` is dom0's own folder for the archive.
    pub fn open(
        place: &str,
        archive: ArchiveId,
        state: Arc<dyn StateDir>,
    ) -> Result<Self, SourceError> {
        let parts = place.split_once('/');
        let Some((group, pool)) = parts.filter(|(a, b)| is_lvm_name(a) && is_lvm_name(b)) else {
            let detail = "give a thin pool as vg/pool";
            return Err(SourceError::new(SourceErrorKind::NotFound, place, detail));
        };
        let listing = Listing::read(group, pool)?;
        let Some(found) = listing.pool() else {
            let detail = "there is no thin pool of that name; lvs shows them with the letter t";
            return Err(SourceError::new(SourceErrorKind::NotFound, place, detail));
        };
        let thin = Thin::new(group, pool, &found.uuid, Arc::clone(&state));
        Ok(Self {
            thin: Arc::new(thin),
            links: Links::new(state),
            archive: short(&archive),
        })
    }

    /// Waits so long, instead of 30 seconds, for another program that holds the pool's metadata snapshot.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        if let Some(thin) = Arc::get_mut(&mut self.thin) {
            thin.patience = patience;
        }
        self
    }

    fn listing(&self) -> Result<Listing, SourceError> {
        Listing::read(&self.thin.group, &self.thin.pool)
    }

    fn not_here(&self, local: &str) -> SourceError {
        let detail = "there is no such volume in the thin pool";
        SourceError::new(SourceErrorKind::NotFound, self.thin.path(local), detail)
    }

    /// The logical volume to freeze for a local name.
    fn wanted(&self, names: &VolumeNames, listing: &Listing) -> Wanted {
        self.wanted_from(names, &names.local, listing)
    }

    /// The same, where it is another one that has the state.
    fn wanted_from(&self, names: &VolumeNames, state: &str, listing: &Listing) -> Wanted {
        let volume = listing.volume(state);
        let volume = volume.ok_or_else(|| self.not_here(state))?;
        if listing.has_outside_origin(volume) {
            let detail = "what was never written to it comes from a volume outside of the thin pool; back it up with --import-other-from";
            let place = self.thin.path(state);
            return Err(SourceError::new(
                SourceErrorKind::NoSnapshots,
                place,
                detail,
            ));
        }
        Ok((names.clone(), volume.name.clone()))
    }

    /// Gives volumes their names back that a crash of a restore set aside, and lists the pool.
    fn repaired<'a>(&self, locals: impl Iterator<Item = &'a str>) -> Result<Listing, SourceError> {
        let listing = self.listing()?;
        let mut any = false;
        for local in locals {
            any |= repair(&self.thin, &listing, &self.archive, local)?;
        }
        if any { self.listing() } else { Ok(listing) }
    }

    /// The snapshot with that identity, which nobody altered since.
    fn find(
        &self,
        listing: &Listing,
        local: &str,
        identity: &[u8],
    ) -> Result<Option<String>, SourceError> {
        let Some(asked) = Identity::parse(identity) else {
            return Ok(None);
        };
        let all = listing.snapshots(&self.archive, Some(local));
        let same = |volume: &&Volume| volume.thin_id() == Some(asked.thin_id);
        let Some(found) = all.into_iter().map(|(.., volume)| volume).find(same) else {
            return Ok(None);
        };
        self.thin.with_metadata(|metadata| {
            let Some(device) = metadata.device(asked.thin_id)? else {
                return Ok(None);
            };
            let now = Identity::of(&self.thin.uuid, found, asked.thin_id, &device);
            let unaltered = now == asked && !metadata.was_written(&device)?;
            Ok(unaltered.then(|| found.name.clone()))
        })
    }
}

fn boxed(taken: Vec<Result<LvmVolume, SourceError>>) -> Frozen {
    let boxed = |volume| Box::new(volume) as Box<dyn FrozenVolume>;
    taken.into_iter().map(|taken| taken.map(boxed)).collect()
}

impl VolumeSource for LvmPool {
    fn list(&self) -> Result<Vec<String>, SourceError> {
        let listing = self.listing()?;
        let shown = |name: &&str| OurName::parse(name).is_none() && !is_wyngs(name);
        let names = listing.in_pool().map(|volume| volume.name.as_str());
        Ok(names.filter(shown).map(str::to_owned).collect())
    }

    fn freeze(&self, names: &[VolumeNames]) -> Result<Frozen, SourceError> {
        let listing = self.repaired(names.iter().map(|names| names.local.as_str()))?;
        let wanted = names.iter().map(|names| self.wanted(names, &listing));
        Ok(boxed(self.take(wanted.collect(), &listing)?))
    }
}

impl Pool for LvmPool {
    fn freeze_again(&self, first: &[&dyn FrozenVolume]) -> Result<Frozen, SourceError> {
        let wanted = |volume: &&dyn FrozenVolume| {
            let path = volume.snapshot();
            let snapshot = path.strip_prefix(&format!("{}/", self.thin.group));
            let ours = snapshot.and_then(|name| Some((name, OurName::parse(name)?)));
            let (snapshot, name) = ours.ok_or_else(|| {
                let detail = "it is not frozen in this thin pool";
                SourceError::new(SourceErrorKind::NoSnapshots, volume.name(), detail)
            })?;
            let names = VolumeNames {
                archive: volume.name().to_owned(),
                local: name.volume.to_owned(),
            };
            Ok((names, snapshot.to_owned()))
        };
        let wanted = first.iter().map(wanted).collect();
        Ok(boxed(self.take(wanted, &self.listing()?)?))
    }

    fn freeze_state(&self, of: &[(VolumeNames, String)]) -> Result<Frozen, SourceError> {
        let listing = self.repaired(of.iter().map(|(names, _)| names.local.as_str()))?;
        let wanted = of.iter();
        let wanted = wanted.map(|(names, state)| self.wanted_from(names, state, &listing));
        Ok(boxed(self.take(wanted.collect(), &listing)?))
    }

    fn monitor(&self, local: &str) -> Result<Harvest, SourceError> {
        let listing = self.repaired(std::iter::once(local))?;
        let wanted = self.wanted(&VolumeNames::same(local), &listing)?;
        let taken = self.take(vec![Ok(wanted)], &listing)?.pop();
        let mut fresh = taken.ok_or_else(|| self.not_here(local))??;
        let older = fresh.others();
        let mut harvest = Harvest::Began("there was no snapshot to compare with".to_owned());
        let mut found: Vec<(Identity, Ranges)> = Vec::new();
        if !older.is_empty() {
            // More than one after a crash: between a commit and the removal of the older, or within `monitor`. Which of them the newest
            // session names is not known here, so there is a link from each.
            let compared = self.thin.with_metadata(|metadata| {
                let compare = |old: &Volume| fresh.compare(metadata, old);
                older
                    .into_iter()
                    .map(compare)
                    .collect::<Result<Vec<_>, _>>()
            })?;
            for compared in compared.into_iter().rev() {
                match compared {
                    Ok(compared) => {
                        harvest = Harvest::Changed(compared.changed.total());
                        found.push((compared.identity, compared.changed));
                    }
                    Err(why) if found.is_empty() => harvest = Harvest::Began(why),
                    Err(_) => {}
                }
            }
        }
        let new = fresh.own_identity().encode();
        for (old, ranges) in &found {
            self.links
                .record(local, &old.encode(), &new, ranges.as_slice())?;
        }
        // The links are durable: the older snapshots may go. A crash before leaves both, and the next run takes either.
        fresh.replace_older()?;
        Ok(harvest)
    }

    fn goal(
        &self,
        local: &str,
        size: u64,
        start: &GoalStart,
    ) -> Result<Box<dyn RestoreGoal>, SourceError> {
        if !is_lvm_name(local) || OurName::parse(local).is_some() {
            let detail = "LVM allows no such name";
            return Err(SourceError::new(SourceErrorKind::NotAVolume, local, detail));
        }
        let listing = self.repaired(std::iter::once(local))?;
        let there = listing.volume(local);
        if let Some(volume) = there {
            check_free(&self.thin, volume)?;
        }
        let clone = match start {
            GoalStart::Snapshot(identity) => {
                let found = self.find(&listing, local, identity)?;
                Some(found.ok_or_else(|| {
                    let detail = "the snapshot is not here or was altered";
                    SourceError::new(SourceErrorKind::NotFound, self.thin.path(local), detail)
                })?)
            }
            _ => None,
        };
        let place = self.thin.place();
        self.thin.status()?.1.check_room(&place)?;
        remove_left_overs(&self.thin, &listing, &self.archive, local)?;
        let start = match (start, there, &clone) {
            // Zeros are made by discarding, and what is discarded shows an origin outside of the pool again: such a volume is replaced.
            (GoalStart::InPlace, Some(volume), _) if !listing.has_outside_origin(volume) => {
                Start::InPlace(volume)
            }
            (_, _, Some(snapshot)) => Start::Clone(snapshot),
            _ => Start::Empty,
        };
        let goal = LvmGoal::new(&self.thin, &self.archive, local, size, &listing, start)?;
        Ok(Box::new(goal))
    }

    fn exists(&self, local: &str) -> Result<bool, SourceError> {
        let listing = self.listing()?;
        let aside = set_aside(&listing, &self.archive, local);
        Ok(listing.volume(local).is_some() || aside.is_some())
    }

    fn holds(&self, local: &str, identity: &[u8]) -> Result<bool, SourceError> {
        let listing = self.listing()?;
        Ok(self.find(&listing, local, identity)?.is_some())
    }

    fn snapshots(&self) -> Result<Vec<String>, SourceError> {
        let listing = self.listing()?;
        let all = listing.snapshots(&self.archive, None);
        let names: BTreeSet<&str> = all.iter().map(|(_, name, _)| name.volume).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn remove_snapshots(&self, local: &str) -> Result<usize, SourceError> {
        let listing = self.listing()?;
        let all = listing.snapshots(&self.archive, Some(local));
        let paths = all.iter().map(|(.., volume)| self.thin.path(&volume.name));
        frozen::remove(&self.thin, &paths.collect::<Vec<_>>())?;
        self.links.forget(local)?;
        Ok(all.len())
    }

    fn foreign_snapshots(&self) -> Result<Vec<String>, SourceError> {
        let listing = self.listing()?;
        let names = listing.in_pool().map(|volume| volume.name.as_str());
        Ok(names
            .filter(|name| is_wyngs(name))
            .map(str::to_owned)
            .collect())
    }
}
