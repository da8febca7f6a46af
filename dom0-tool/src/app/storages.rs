//! Local storage that the user named, opened for an archive.

use std::io::Read;
use std::path::Path;

use nacre_core::ids::ArchiveId;

use super::world::World;
use crate::archive::{Error, Result};
use crate::cli::{
    LARGEST_VOLUMES_FILE, Listed, ListedStorages, Local, LocalPlace, Selection, VolumeName,
    parse_volumes,
};
use crate::joints::{Pool, VolumeNames};
use crate::source::open_pool;

/// A storage.
pub struct Storage {
    /// Where it is.
    pub place: LocalPlace,
    /// It.
    pub pool: Box<dyn Pool>,
    /// Which of its volumes are meant, if a file says so; otherwise names are the same on both sides.
    pub listed: Option<Vec<Listed>>,
}

/// In which direction a file of volumes is read: the first name of each is the side that things come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The first name is the local one.
    Send,
    /// The first name is the archive's.
    Receive,
}

/// Opens what was named; nothing for [`Local::None`].
pub fn open(world: &World<'_>, archive: ArchiveId, local: &Local) -> Result<Vec<Storage>> {
    let storages = match local {
        Local::None => Vec::new(),
        Local::Place(place) => vec![(place.clone(), None)],
        Local::File(path) => {
            let listed = read_file(path)?.into_iter();
            listed.map(|(place, all)| (place, Some(all))).collect()
        }
    };
    let state = world.memory_of(archive)?;
    let open = |(place, listed): (LocalPlace, Option<Vec<Listed>>)| {
        let pool = open_pool(place.as_str(), archive, state.clone())?;
        Ok(Storage {
            place,
            pool,
            listed,
        })
    };
    storages.into_iter().map(open).collect()
}

fn read_file(path: &Path) -> Result<ListedStorages> {
    let refused = |why: &dyn std::fmt::Display| {
        Error::refused(
            format!(
                "the file of volumes {} cannot be used: {why}",
                path.display()
            ),
            "It is to read {\"PLACE\": [[\"VOLUME\", \"ALIAS\" or null], ...], ...}.",
        )
    };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_VOLUMES_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| refused(&error))?;
    parse_volumes(&bytes).map_err(|error| refused(&error))
}

impl Storage {
    /// The names that its file lists; `None` if no file does.
    pub fn names(&self, direction: Direction) -> Option<Vec<VolumeNames>> {
        let listed = self.listed.as_ref()?.iter();
        let names = listed.map(|one| {
            let first = one.volume.to_string();
            let second = one.alias.as_ref().unwrap_or(&one.volume).to_string();
            match direction {
                Direction::Send => VolumeNames {
                    local: first,
                    archive: second,
                },
                Direction::Receive => VolumeNames {
                    archive: first,
                    local: second,
                },
            }
        });
        Some(names.collect())
    }
}

/// What is meant of some storages, and what cannot be had.
#[derive(Default)]
pub struct Choice {
    /// Of each storage, in their order.
    pub of_storage: Vec<Vec<VolumeNames>>,
    /// A sentence for each volume that is meant and cannot be had.
    pub problems: Vec<String>,
}

/// Finds the volumes that a selection means. With `--all` these are all in the file, and without a file all that the archive knows.
/// `taken`: those that come from elsewhere.
pub fn choose(
    storages: &[Storage],
    selection: &Selection,
    known: &[String],
    taken: &[&str],
    direction: Direction,
) -> Choice {
    let mut choice = Choice::default();
    let excluded = |name: &str| {
        selection.excluded.iter().any(|out| out.as_str() == name) || taken.contains(&name)
    };
    let named = selection.volumes.iter().map(VolumeName::as_str);
    let named: Vec<&str> = named.filter(|name| !excluded(name)).collect();
    let mut found: Vec<&str> = Vec::new();
    let listed: Vec<Option<Vec<VolumeNames>>> =
        storages.iter().map(|s| s.names(direction)).collect();
    for names in &listed {
        choice.of_storage.push(match names {
            Some(names) => {
                let meant = |one: &&VolumeNames| {
                    (selection.all || named.contains(&one.archive.as_str()))
                        && !excluded(&one.archive)
                };
                let meant: Vec<&VolumeNames> = names.iter().filter(meant).collect();
                found.extend(meant.iter().map(|one| one.archive.as_str()));
                meant.into_iter().cloned().collect()
            }
            None => {
                let mut meant = named.clone();
                let others = known.iter().map(String::as_str);
                let others = others.filter(|name| !excluded(name) && !named.contains(name));
                meant.extend(others.filter(|_| selection.all));
                found.extend(&meant);
                meant.into_iter().map(VolumeNames::same).collect()
            }
        });
    }
    let missing = named.iter().filter(|name| !found.contains(name));
    choice.problems = missing
        .map(|name| format!("The file of volumes does not list volume {name}."))
        .collect();
    choice
}
