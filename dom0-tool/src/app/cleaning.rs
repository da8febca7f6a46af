//! `delete --clean`, and the local snapshots of a volume that is deleted.

use super::opening::{open_archive, unanswered};
use super::storages::{self, Direction, Storage};
use super::world::World;
use crate::archive::{Archive, Error, Result};
use crate::cli::{Delete, Exit, Local};
use crate::joints::KeyPrompt;
use crate::report::text;

/// Removes local snapshots of volumes that the archive does not have, or all of them, and caches that can be made anew.
pub fn run(world: &World<'_>, wanted: &Delete) -> Result<Exit> {
    let archive = open_archive(world)?;
    let _lock = archive.memory().dir().lock("delete --clean")?;
    if wanted.local == Local::None {
        world
            .monitor()
            .note("without --local or --vols-from no snapshots are looked for");
    }
    let storages = storages::open(world, archive.id(), &wanted.local)?;
    let plan = plan(&archive, &storages, wanted.all)?;
    for (storage, names) in storages.iter().zip(&plan) {
        for foreign in storage.pool.foreign_snapshots()? {
            world.monitor().note(&format!(
                "{}: {foreign} looks like a snapshot of Wyng; it is left alone",
                storage.place
            ));
        }
        if names.is_empty() {
            world
                .monitor()
                .note(&format!("{}: no snapshots to remove", storage.place));
        }
    }
    if wanted.all && !world.common.dry_run && !wanted.force && !plan.iter().all(Vec::is_empty) {
        let question =
            "Remove all local snapshots for this archive? The next send compares everything.";
        if !world.prompt.confirm(question).map_err(unanswered)? {
            return Err(Error::refused("nothing was removed", ""));
        }
    }
    for (storage, names) in storages.iter().zip(&plan) {
        for name in names {
            remove(world, storage, name)?;
        }
    }
    if world.common.dry_run {
        world
            .monitor()
            .note("would remove what this machine can make anew");
    } else {
        let count = archive.memory().remove_caches()?;
        let files = text::count(count, "file", "files");
        world
            .monitor()
            .note(&format!("{files} that this machine can make anew removed"));
    }
    Ok(Exit::Done)
}

/// Of each storage the volumes whose snapshots go.
fn plan(archive: &Archive, storages: &[Storage], all: bool) -> Result<Vec<Vec<String>>> {
    let of_storage = |storage: &Storage| {
        let aliases = storage.names(Direction::Send).unwrap_or_default();
        let mut names = storage.pool.snapshots()?;
        names.retain(|local| {
            let alias = aliases.iter().find(|names| names.local == *local);
            let name = alias.map_or(local.as_str(), |names| names.archive.as_str());
            all || archive.head().volume(name).is_none()
        });
        Ok(names)
    };
    storages.iter().map(of_storage).collect()
}

/// Removes the local snapshots of a volume that the archive does not have any more.
pub fn forget_volume(world: &World<'_>, storages: &[Storage], name: &str) -> Result<()> {
    for storage in storages {
        let aliases = storage.names(Direction::Send).unwrap_or_default();
        let alias = aliases.iter().find(|names| names.archive == name);
        let local = alias.map_or(name, |names| names.local.as_str());
        if storage.pool.snapshots()?.iter().any(|there| there == local) {
            remove(world, storage, local)?;
        }
    }
    Ok(())
}

fn remove(world: &World<'_>, storage: &Storage, local: &str) -> Result<()> {
    let place = &storage.place;
    if world.common.dry_run {
        world
            .monitor()
            .note(&format!("would remove the snapshots of {local} in {place}"));
        return Ok(());
    }
    let count = text::count(
        storage.pool.remove_snapshots(local)?,
        "snapshot",
        "snapshots",
    );
    world
        .monitor()
        .note(&format!("{count} of {local} in {place} removed"));
    Ok(())
}
