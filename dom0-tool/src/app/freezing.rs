//! Volumes of local storage at one point in time, for one target or for several.

use super::selection;
use super::storages::{Direction, Storage, choose};
use crate::archive::{Archive, Result};
use crate::cli::{LocalPlace, Send};
use crate::joints::{FrozenVolume, SourceError, StateLock, VolumeNames, VolumeSource};
use crate::source::PlainSource;

/// Where a volume was frozen, and how it is called here and there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The storage; none for a file or device that is read as it is.
    pub place: Option<LocalPlace>,
    /// Its names.
    pub names: VolumeNames,
}

/// What has been frozen in this run, for the targets to come. The archives' locks are let go of after the snapshots.
#[derive(Default)]
pub struct Taken {
    frozen: Vec<(Origin, Box<dyn FrozenVolume>)>,
    locks: Vec<Box<dyn StateLock>>,
}

impl Taken {
    /// Keeps what was frozen for a target, sent or not, until the run ends.
    pub fn keep(&mut self, volumes: Volumes, lock: Box<dyn StateLock>) {
        let both = volumes.origins.into_iter().zip(volumes.frozen);
        self.frozen.extend(both);
        self.locks.push(lock);
    }

    /// What the first target got of a volume.
    pub fn first(&self, place: &LocalPlace, names: &VolumeNames) -> Option<&dyn FrozenVolume> {
        let same = |origin: &Origin| origin.place.as_ref() == Some(place) && origin.names == *names;
        let found = self.frozen.iter().find(|(origin, _)| same(origin));
        found.map(|(_, frozen)| frozen.as_ref())
    }
}

/// Frozen volumes, and of each where it comes from.
#[derive(Default)]
pub struct Volumes {
    /// They.
    pub frozen: Vec<Box<dyn FrozenVolume>>,
    /// Where each comes from.
    pub origins: Vec<Origin>,
}

/// What is to be frozen, storage by storage, and what is missing.
pub struct Plan<'a> {
    sources: Vec<(&'a Storage, Vec<VolumeNames>)>,
    imports: (PlainSource, Vec<VolumeNames>),
    /// A sentence for each volume that is meant and cannot be had.
    pub problems: Vec<String>,
}

impl<'a> Plan<'a> {
    /// Finds what is meant.
    pub fn make(archive: &Archive, storages: &'a [Storage], wanted: &Send) -> Result<Self> {
        let known = selection::names(archive);
        let imported: Vec<&str> = wanted.imports.iter().map(|i| i.volume.as_str()).collect();
        let mut choice = choose(
            storages,
            &wanted.selection,
            &known,
            &imported,
            Direction::Send,
        );
        let mut sources = Vec::new();
        for (storage, names) in storages.iter().zip(choice.of_storage) {
            let there = storage.pool.list()?;
            let (here, missing): (Vec<VolumeNames>, Vec<VolumeNames>) = names
                .into_iter()
                .partition(|name| there.contains(&name.local));
            let missing = missing.iter();
            let missing = missing.map(|name| not_here(&known, storage, name));
            choice.problems.extend(missing);
            sources.push((storage, here));
        }
        Ok(Self {
            sources,
            imports: imports(wanted),
            problems: choice.problems,
        })
    }

    /// Freezes all volumes of all storages, close together; those that an earlier target got, as that one got them. What cannot be frozen
    /// does not hold up the others, and becomes a problem.
    pub fn freeze(&mut self, taken: &Taken) -> Volumes {
        let mut gathered = Gathered::default();
        for (storage, names) in &self.sources {
            let (again, fresh): (Vec<&VolumeNames>, Vec<&VolumeNames>) = names
                .iter()
                .partition(|names| taken.first(&storage.place, names).is_some());
            let first: Vec<&dyn FrozenVolume> = again
                .iter()
                .filter_map(|names| taken.first(&storage.place, names))
                .collect();
            let place = Some(&storage.place);
            gathered.take(place, &again, || storage.pool.freeze_again(&first));
            let names: Vec<VolumeNames> = fresh.iter().copied().cloned().collect();
            gathered.take(place, &fresh, || storage.pool.freeze(&names));
        }
        let (plain, files) = &self.imports;
        let names: Vec<&VolumeNames> = files.iter().collect();
        gathered.take(None, &names, || plain.freeze(files));
        let errors = gathered.errors.iter();
        self.problems
            .extend(errors.map(|error| format!("{error}.")));
        gathered.volumes
    }
}

#[derive(Default)]
struct Gathered {
    volumes: Volumes,
    errors: Vec<SourceError>,
}

impl Gathered {
    fn take(
        &mut self,
        place: Option<&LocalPlace>,
        names: &[&VolumeNames],
        freeze: impl FnOnce() -> std::result::Result<crate::joints::Frozen, SourceError>,
    ) {
        if names.is_empty() {
            return;
        }
        match freeze() {
            Ok(frozen) => {
                for (names, one) in names.iter().zip(frozen) {
                    match one {
                        Ok(volume) => {
                            self.volumes.frozen.push(volume);
                            self.volumes.origins.push(Origin {
                                place: place.cloned(),
                                names: (*names).clone(),
                            });
                        }
                        Err(error) => self.errors.push(error),
                    }
                }
            }
            Err(error) => self.errors.push(error),
        }
    }
}

fn not_here(known: &[String], storage: &Storage, name: &VolumeNames) -> String {
    let VolumeNames { archive, local } = name;
    let place = &storage.place;
    if known.contains(archive) {
        format!(
            "Volume {archive} is not in {place}, and is not sent. \
             Leave it out with --volex, or remove it from the archive with `nacre delete`."
        )
    } else if archive == local {
        format!("There is no volume {archive}, neither in {place} nor in the archive.")
    } else {
        format!("There is no volume {local} in {place}, which was to become {archive}.")
    }
}

/// Files and devices that are read as they are.
fn imports(wanted: &Send) -> (PlainSource, Vec<VolumeNames>) {
    let files = wanted.imports.iter();
    let files = files.map(|import| (import.volume.as_str().to_owned(), import.path.clone()));
    let names = wanted.imports.iter();
    let names = names.map(|import| VolumeNames::same(import.volume.as_str()));
    (PlainSource::new(files.collect()), names.collect())
}
