//! Making the snapshots of a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::LvmPool;
use super::command::{lvm, lvm_many};
use super::frozen::{LvmVolume, remove};
use super::identity::Identity;
use super::listing::{Listing, Volume};
use super::names::{Part, lock_name, our_name};
use super::run_file::RunFile;
use crate::joints::{SourceError, SourceErrorKind, VolumeNames};

/// What is to be frozen: the names, and the logical volume that a snapshot is made of.
pub type Wanted = Result<(VolumeNames, String), SourceError>;

/// A snapshot that is to be made.
struct Planned {
    names: VolumeNames,
    origin: String,
    snapshot: String,
    lease: RunFile,
}

type Taken = Vec<Result<LvmVolume, SourceError>>;

impl LvmPool {
    /// Makes all snapshots, by one process, and then looks what they are.
    pub(super) fn take(
        &self,
        wanted: Vec<Wanted>,
        listing: &Listing,
    ) -> Result<Taken, SourceError> {
        let place = self.thin.place();
        self.thin.status()?.1.check_room(&place)?;
        let plan =
            |wanted: Wanted| wanted.and_then(|(names, origin)| self.plan(names, origin, listing));
        let mut planned: Vec<_> = wanted.into_iter().map(plan).collect();
        let tag = run_tag();
        let command = |planned: &Planned| {
            let mut command = vec!["lvcreate".to_owned()];
            command.extend(self.making(planned, &tag));
            command
        };
        let commands: Vec<Vec<String>> = planned.iter().flatten().map(command).collect();
        if commands.is_empty() {
            return Ok(planned
                .into_iter()
                .filter_map(Result::err)
                .map(Err)
                .collect());
        }
        lvm_many(&place, &commands)?;
        let mut now = self.listing()?;
        for planned in &mut planned {
            let Ok(one) = planned else {
                continue;
            };
            if made(&now, one, &tag).is_some() {
                continue;
            }
            // Once more by itself, to hear why.
            let making = self.making(one, &tag);
            let making: Vec<&str> = making.iter().map(String::as_str).collect();
            match lvm(&self.thin.path(&one.origin), "lvcreate", &making) {
                Ok(()) => now = self.listing()?,
                Err(error) => *planned = Err(error),
            }
        }
        self.look_at(planned, &Arc::new(now), &tag)
    }

    fn plan(
        &self,
        names: VolumeNames,
        origin: String,
        listing: &Listing,
    ) -> Result<Planned, SourceError> {
        let lock = lock_name(&self.thin.group, &names.local, &self.archive);
        let lease = RunFile::share(&lock)?;
        let older = listing.snapshots(&self.archive, Some(&names.local));
        let number = older.last().map_or(0, |(number, ..)| *number) + 1;
        let snapshot = our_name(&names.local, &self.archive, Part::Snapshot(number));
        Ok(Planned {
            names,
            origin,
            snapshot,
            lease,
        })
    }

    /// Reads the identities of the snapshots that were made.
    fn look_at(
        &self,
        planned: Vec<Result<Planned, SourceError>>,
        listing: &Arc<Listing>,
        tag: &str,
    ) -> Result<Taken, SourceError> {
        let there = planned
            .iter()
            .flatten()
            .filter_map(|one| made(listing, one, tag));
        let paths: Vec<String> = there.map(|volume| self.thin.path(&volume.name)).collect();
        let looked = self.thin.with_metadata(|metadata| {
            let look = |planned: Planned| {
                let gone = || {
                    let detail = "the snapshot that was just made is not there";
                    let path = self.thin.path(&planned.snapshot);
                    SourceError::new(SourceErrorKind::NotFound, path, detail)
                };
                let volume = made(listing, &planned, tag).ok_or_else(gone)?;
                let id = volume.thin_id().ok_or_else(gone)?;
                let device = metadata.device(id)?.ok_or_else(gone)?;
                let identity = Identity::of(&self.thin.uuid, volume, id, &device);
                let (thin, links) = (&self.thin, &self.links);
                let (names, lease) = (planned.names, planned.lease);
                Ok(LvmVolume::new(
                    thin, links, names, volume, identity, listing, lease,
                ))
            };
            let looked = planned.into_iter().map(|planned| planned.and_then(look));
            Ok(looked.collect())
        });
        if looked.is_err() {
            // Nobody holds them. What cannot be removed now is removed by the next commit.
            let _ = remove(&self.thin, &paths);
        }
        looked
    }

    /// Arguments of the lvcreate that makes a snapshot. Without a size, it is a thin one.
    fn making(&self, planned: &Planned, tag: &str) -> Vec<String> {
        let shape = "--snapshot --setactivationskip y --permission r --ignoremonitoring";
        let mut arguments: Vec<String> = shape.split(' ').map(str::to_owned).collect();
        let rest = [
            "--addtag",
            "nacre",
            "--addtag",
            tag,
            "--name",
            &planned.snapshot,
        ];
        arguments.extend(rest.map(str::to_owned));
        arguments.push(self.thin.path(&planned.origin));
        arguments
    }
}

/// The snapshot, if it is this run that made it: another command of ours may have given the same name in the same moment.
fn made<'a>(listing: &'a Listing, planned: &Planned, tag: &str) -> Option<&'a Volume> {
    let found = listing.volume(&planned.snapshot);
    found.filter(|volume| volume.has_tag(tag))
}

/// A tag that no other freezing has: process, count, and the process's start, which tells it from an older one of that number.
fn run_tag() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let process = std::process::id();
    format!("nacre_{process}_{count}_{}_{}", now.tv_sec, now.tv_nsec)
}
