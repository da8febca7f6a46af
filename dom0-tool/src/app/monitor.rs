//! `monitor`: needs neither the store nor the key.

use super::opening::known_archive;
use super::storages::{self, Direction, Storage};
use super::world::World;
use crate::archive::{Error, Result};
use crate::cli::{Exit, Monitor, VolumeName};
use crate::joints::Harvest;
use crate::report::text;

/// Harvests change maps and keeps fresh snapshots.
pub fn run(world: &World<'_>, wanted: &Monitor) -> Result<Exit> {
    let archive = known_archive(world)?;
    let storages = storages::open(world, archive, &wanted.local)?;
    // A send would change the same snapshots and links.
    let _lock = world.memory_of(archive)?.lock("monitor")?;
    let (mut done, mut failed) = (0_usize, 0_usize);
    for (storage, names) in storages.iter().zip(volumes(&storages, wanted)?) {
        for name in names {
            match one(world, storage, &name) {
                Ok(()) => done += 1,
                Err(error) => {
                    world.monitor().error(&format!("{name}: {error}."));
                    failed += 1;
                }
            }
        }
    }
    Ok(match (done, failed) {
        (0, 0) => {
            world
                .monitor()
                .note("this archive has no snapshots there yet: the first send makes them");
            Exit::Done
        }
        (_, 0) => Exit::Done,
        (0, _) => Exit::Nothing,
        _ => Exit::Part,
    })
}

/// The local names of the volumes of each storage.
fn volumes(storages: &[Storage], wanted: &Monitor) -> Result<Vec<Vec<String>>> {
    let mut named: Vec<&str> = wanted.volumes.iter().map(VolumeName::as_str).collect();
    let mut all = Vec::new();
    for storage in storages {
        let listed = storage.names(Direction::Send);
        let listed = listed.map(|names| names.into_iter().map(|n| n.local).collect::<Vec<_>>());
        let mut here = match (listed, wanted.volumes.is_empty()) {
            (Some(listed), _) => listed,
            (None, true) => storage.pool.snapshots()?,
            (None, false) => wanted.volumes.iter().map(ToString::to_string).collect(),
        };
        here.retain(|name| {
            let meant =
                wanted.volumes.is_empty() || wanted.volumes.iter().any(|v| v.as_str() == name);
            meant && !wanted.excluded.iter().any(|out| out.as_str() == name)
        });
        named.retain(|name| !here.iter().any(|there| there == name));
        all.push(here);
    }
    named.retain(|name| !wanted.excluded.iter().any(|out| out.as_str() == *name));
    match named.first() {
        Some(name) => Err(Error::refused(
            format!("the file of volumes does not list {name}"),
            "Add it there, or leave it out.",
        )),
        None => Ok(all),
    }
}

fn one(
    world: &World<'_>,
    storage: &Storage,
    name: &str,
) -> std::result::Result<(), crate::joints::SourceError> {
    if world.common.dry_run {
        world
            .monitor()
            .note(&format!("would monitor {name} in {}", storage.place));
        return Ok(());
    }
    let said = match storage.pool.monitor(name)? {
        Harvest::Changed(bytes) => {
            format!("{name}: {} changed since the last look", text::size(bytes))
        }
        Harvest::Began(why) => {
            format!(
                "{name}: a snapshot is kept from now on; the next send compares everything: {why}"
            )
        }
    };
    world.monitor().note(&said);
    Ok(())
}
