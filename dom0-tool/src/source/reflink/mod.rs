//! A folder of image files on a file system that clones files: Btrfs, XFS (DESIGN 5).

mod delta;
mod frozen;
mod goal;
mod identity;
mod map;
#[cfg(test)]
mod map_model;
mod names;
mod shelf;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nacre_core::ids::ArchiveId;

use self::frozen::ReflinkVolume;
use self::names::{images, is_of_wyng, parse_snapshot, path_of};
pub(super) use self::shelf::clone_file;
use self::shelf::{Fresh, Held, Shelf};
use super::{FileGoal, Links, storage_error};
use crate::joints::{
    Frozen, FrozenVolume, GoalStart, Harvest, Pool, RestoreGoal, SourceError, SourceErrorKind,
    VolumeNames, VolumeSource,
};

/// A folder of image files, seen by one archive.
///
/// Volumes are named by their path below the folder. Snapshots lie in the folder itself, in `.nacre-snapshots`, so that they are on the same
/// file system, and outside the folders that go when a qube is removed.
pub struct ReflinkPool {
    root: PathBuf,
    shelf: Arc<Shelf>,
    links: Links,
}

impl ReflinkPool {
    /// Opens the folder. Whether its file system can clone files shows when the first volume is frozen.
    pub fn open(root: &Path, archive: ArchiveId, links: Links) -> Result<Self, SourceError> {
        let place = root.display().to_string();
        let status = rustix::fs::stat(root).map_err(|error| storage_error(&place, error))?;
        if rustix::fs::FileType::from_raw_mode(status.st_mode) != rustix::fs::FileType::Directory {
            let detail = "it is no folder";
            return Err(SourceError::new(SourceErrorKind::NotFound, place, detail));
        }
        Ok(Self {
            root: root.to_owned(),
            shelf: Arc::new(Shelf::new(root, archive)),
            links,
        })
    }

    /// The file that holds the volume now.
    fn image(&self, local: &str) -> Result<PathBuf, SourceError> {
        path_of(&self.root, local)
    }

    /// Clones all files first, close together, and then writes the clones to the disk.
    fn take(&self, wanted: &[Wanted]) -> Result<Vec<Taken>, SourceError> {
        self.shelf.make()?;
        let take = |wanted: &Wanted| {
            let (names, path) = wanted.as_ref().map_err(Clone::clone)?;
            self.shelf.take(&names.local, path)
        };
        let fresh: Vec<Result<Fresh, SourceError>> = wanted.iter().map(take).collect();
        let settle = |(wanted, fresh): (&Wanted, Result<Fresh, SourceError>)| {
            let (names, _) = wanted.as_ref().map_err(Clone::clone)?;
            let held = fresh?.settle()?;
            let both = (names.archive.as_str(), names.local.as_str());
            ReflinkVolume::new(&self.shelf, &self.links, both, held)
        };
        let taken = wanted.iter().zip(fresh).map(settle).collect();
        let settled = self.shelf.settle();
        self.shelf.tidy();
        settled.map(|()| taken)
    }

    fn freeze_all(&self, wanted: &[Wanted]) -> Result<Frozen, SourceError> {
        let boxed = |taken: Taken| taken.map(|volume| Box::new(volume) as Box<dyn FrozenVolume>);
        Ok(self.take(wanted)?.into_iter().map(boxed).collect())
    }

    /// The snapshot with that identity, which nobody altered since.
    fn find(&self, local: &str, identity: &[u8]) -> Result<Option<Held>, SourceError> {
        let held = self.shelf.others(local, None)?;
        let exact = |held: &Held| held.identity.as_bytes() == identity;
        Ok(held.into_iter().find(exact))
    }
}

/// What is to be cloned: under which names, from which file.
type Wanted = Result<(VolumeNames, PathBuf), SourceError>;
type Taken = Result<ReflinkVolume, SourceError>;

impl VolumeSource for ReflinkPool {
    fn list(&self) -> Result<Vec<String>, SourceError> {
        let place = self.root.display().to_string();
        images(&self.root)
            .map_err(|error| SourceError::new(SourceErrorKind::Io, place, error.to_string()))
    }

    fn freeze(&self, names: &[VolumeNames]) -> Result<Frozen, SourceError> {
        let wanted = |names: &VolumeNames| Ok((names.clone(), self.image(&names.local)?));
        let wanted: Vec<Wanted> = names.iter().map(wanted).collect();
        self.freeze_all(&wanted)
    }
}

impl Pool for ReflinkPool {
    fn freeze_again(&self, first: &[&dyn FrozenVolume]) -> Result<Frozen, SourceError> {
        let wanted = |volume: &&dyn FrozenVolume| {
            let path = PathBuf::from(volume.snapshot());
            let file = path.file_name().and_then(|name| name.to_str());
            let (local, _) = file.and_then(parse_snapshot).ok_or_else(|| {
                let detail = "it is not frozen in a folder of files";
                SourceError::new(SourceErrorKind::NoSnapshots, volume.name(), detail)
            })?;
            let archive = volume.name().to_owned();
            Ok((VolumeNames { archive, local }, path))
        };
        let wanted: Vec<Wanted> = first.iter().map(wanted).collect();
        self.freeze_all(&wanted)
    }

    fn freeze_state(&self, of: &[(VolumeNames, String)]) -> Result<Frozen, SourceError> {
        let wanted = |(names, state): &(VolumeNames, String)| {
            // The volume's own name is looked at too: the snapshot gets it.
            self.image(&names.local)?;
            Ok((names.clone(), self.image(state)?))
        };
        let wanted: Vec<Wanted> = of.iter().map(wanted).collect();
        self.freeze_all(&wanted)
    }

    fn monitor(&self, local: &str) -> Result<Harvest, SourceError> {
        let wanted = (VolumeNames::same(local), self.image(local)?);
        let mut taken = self.take(&[Ok(wanted)])?;
        let mut fresh = taken
            .pop()
            .ok_or_else(|| SourceError::new(SourceErrorKind::NotFound, local, ""))??;
        // More than one after a crash: between a commit and the removal of the older, or within `monitor`. Which of them the newest session
        // names is not known here, so there is a link from each.
        let older = self.shelf.others(local, Some(fresh.held().number))?;
        let mut harvest = Harvest::Began("there was no snapshot to compare with".to_owned());
        for old in older {
            match fresh.delta_since(&old) {
                Ok(ranges) => {
                    let (from, to) = (&old.identity, &fresh.held().identity);
                    let (from, to) = (from.as_bytes(), to.as_bytes());
                    self.links.record(local, from, to, ranges.as_slice())?;
                    if !matches!(harvest, Harvest::Changed(_)) {
                        harvest = Harvest::Changed(ranges.total());
                    }
                }
                Err(why) if !matches!(harvest, Harvest::Changed(_)) => {
                    harvest = Harvest::Began(why);
                }
                Err(_) => {}
            }
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
        let path = self.image(local)?;
        let from = match start {
            GoalStart::Snapshot(identity) => {
                let held = self.find(local, identity)?;
                Some(held.ok_or_else(|| {
                    let detail = "the snapshot is not here or was altered";
                    SourceError::new(SourceErrorKind::NotFound, local, detail)
                })?)
            }
            _ => None,
        };
        goal::make_folders(&self.root, &path)?;
        goal::remove_left_overs(&path);
        let goal = match (start, from) {
            (GoalStart::InPlace, _) => FileGoal::in_place(&path, size)?,
            (_, Some(held)) => FileGoal::clone_of(&path, size, &held.file)?,
            _ => FileGoal::whole(&path, size, true)?,
        };
        Ok(Box::new(goal))
    }

    fn exists(&self, local: &str) -> Result<bool, SourceError> {
        match rustix::fs::stat(self.image(local)?) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(false),
            Err(error) => Err(storage_error(local, error)),
        }
    }

    fn holds(&self, local: &str, identity: &[u8]) -> Result<bool, SourceError> {
        Ok(self.find(local, identity)?.is_some())
    }

    fn snapshots(&self) -> Result<Vec<String>, SourceError> {
        self.shelf.volumes()
    }

    fn remove_snapshots(&self, local: &str) -> Result<usize, SourceError> {
        let mut removed = 0;
        for number in self.shelf.numbers(local)? {
            removed += usize::from(self.shelf.remove(local, number)?);
        }
        self.links.forget(local)?;
        self.shelf.tidy();
        Ok(removed)
    }

    fn foreign_snapshots(&self) -> Result<Vec<String>, SourceError> {
        let in_words = |error: std::io::Error| {
            let place = self.root.display().to_string();
            SourceError::new(SourceErrorKind::Io, place, error.to_string())
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(in_words)? {
            let name = entry.map_err(in_words)?.file_name();
            found.extend(
                name.to_str()
                    .filter(|name| is_of_wyng(name))
                    .map(str::to_owned),
            );
        }
        found.sort();
        Ok(found)
    }
}
