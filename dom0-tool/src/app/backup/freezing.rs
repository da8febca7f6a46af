//! All volumes of a plan, frozen close together, storage by storage.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::ids::ArchiveId;

use crate::app::freezing::{Origin, Taken, Volumes};
use crate::app::world::World;
use crate::archive::Result;
use crate::cli::LocalPlace;
use crate::joints::{Frozen, FrozenVolume, Pool, SourceError, SourceErrorKind, VolumeNames};
use crate::qubes::{Line, Plan, State};
use crate::source::open_pool;

/// What there is to send, and what is missing in it.
#[derive(Default)]
pub struct FrozenPlan<'a> {
    /// Volumes.
    pub volumes: Volumes,
    /// Qubes of which a volume could not be frozen; that was told.
    pub troubled: BTreeSet<&'a str>,
    /// Those volumes by their names in the archive, and why.
    pub missing: Vec<(String, String)>,
}

/// Freezes; what an earlier target of the run got, as that one got it. What cannot be frozen is told, and does not hold up the others.
pub fn freeze<'a>(
    world: &World<'_>,
    archive: ArchiveId,
    plan: &Plan<'a>,
    taken: &Taken,
) -> Result<FrozenPlan<'a>> {
    let mut of_storage: BTreeMap<&str, Vec<&Line<'a>>> = BTreeMap::new();
    for line in &plan.lines {
        let storage = line.place.storage.as_local();
        of_storage.entry(storage).or_default().push(line);
    }
    let state = world.memory_of(archive)?;
    let mut all = FrozenPlan::default();
    for (storage, lines) in of_storage {
        let place = match place(storage) {
            Ok(place) => place,
            Err(error) => {
                all.missing(world, &lines, &error);
                continue;
            }
        };
        let pool = match open_pool(storage, archive, state.clone()) {
            Ok(pool) => pool,
            Err(error) => {
                all.missing(world, &lines, &error);
                continue;
            }
        };
        let (again, fresh): (Vec<&Line<'a>>, Vec<&Line<'a>>) = lines
            .into_iter()
            .partition(|line| taken.first(&place, &names(line)).is_some());
        let first: Vec<&dyn FrozenVolume> = again
            .iter()
            .filter_map(|line| taken.first(&place, &names(line)))
            .collect();
        if !again.is_empty() {
            all.take(world, &place, &again, pool.freeze_again(&first));
        }
        if !fresh.is_empty() {
            let frozen = of_pool(world, pool.as_ref(), &fresh);
            all.take(world, &place, &fresh, frozen);
        }
    }
    Ok(all)
}

/// qubesd's word on where a pool is, as carefully read as what a person types.
fn place(storage: &str) -> Result<LocalPlace, SourceError> {
    storage.parse().map_err(|error: crate::cli::BadValue| {
        SourceError::new(SourceErrorKind::NotFound, storage, error.to_string())
    })
}

impl<'a> FrozenPlan<'a> {
    fn take(
        &mut self,
        world: &World<'_>,
        place: &LocalPlace,
        lines: &[&Line<'a>],
        frozen: Result<Frozen, SourceError>,
    ) {
        let frozen = match frozen {
            Ok(frozen) => frozen,
            Err(error) => return self.missing(world, lines, &error),
        };
        for (line, frozen) in lines.iter().zip(frozen) {
            match frozen {
                Ok(volume) => {
                    self.volumes.frozen.push(volume);
                    self.volumes.origins.push(Origin {
                        place: Some(place.clone()),
                        names: names(line),
                    });
                }
                Err(error) => self.missing(world, &[*line], &error),
            }
        }
    }

    /// One sentence for each volume: none is left out without being named.
    fn missing(&mut self, world: &World<'_>, lines: &[&Line<'a>], error: &SourceError) {
        for line in lines {
            let qube = line.qube.row.name.as_str();
            let volume = &line.volume.name;
            let text = format!("Qube {qube}: volume {volume} is not saved: {error}.");
            world.monitor().error(&text);
            self.troubled.insert(qube);
            self.missing.push((line.archive.clone(), error.to_string()));
        }
    }
}

fn names(line: &Line<'_>) -> VolumeNames {
    VolumeNames {
        archive: line.archive.clone(),
        local: line.place.name.clone(),
    }
}

fn of_pool(world: &World<'_>, pool: &dyn Pool, lines: &[&Line<'_>]) -> Result<Frozen, SourceError> {
    let states = lines
        .iter()
        .map(|line| (names(line), line.source().to_owned()));
    let mut frozen = pool.freeze_state(&states.collect::<Vec<_>>())?;
    for (line, frozen) in lines.iter().zip(&mut frozen) {
        let stopped = line.state == State::Live
            && matches!(frozen, Err(error) if error.kind == SourceErrorKind::NotFound);
        if stopped {
            let qube = &line.qube.row.name;
            world.monitor().note(&format!(
                "qube {qube} has stopped meanwhile: volume {} is saved as it left it",
                line.volume.name
            ));
            if let Some(again) = pool.freeze(&[names(line)])?.pop() {
                *frozen = again;
            }
        }
    }
    Ok(frozen)
}
