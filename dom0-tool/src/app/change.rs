//! `add`, `delete`, `rename`.

use super::cleaning;
use super::domains;
use super::opening::{open_to_write, retried, unanswered};
use super::selection::volume;
use super::storages;
use super::world::World;
use crate::archive::{Archive, Error, Result};
use crate::cli::{Add, Delete, Exit, OneVolume, Rename, VolumeName};
use crate::joints::KeyPrompt;

/// Enters names without data.
pub fn add(world: &World<'_>, wanted: &Add) -> Result<Exit> {
    retried(world, || add_once(world, wanted))
}

fn add_once(world: &World<'_>, wanted: &Add) -> Result<Exit> {
    let (mut archive, _lock) = open_to_write(world, "add")?;
    archive.set_domain_rule(domains::rule(&wanted.domains));
    let head = archive.head();
    if let Some(known) = wanted
        .volumes
        .iter()
        .find(|name| head.volume(name.as_str()).is_some())
    {
        return Err(Error::refused(
            format!("the archive has a volume {known} already"),
            "Send to it, or choose another name.",
        ));
    }
    let names: Vec<&str> = wanted.volumes.iter().map(VolumeName::as_str).collect();
    if !world.common.dry_run {
        let description = wanted.description.as_ref();
        let description = description.map_or("", |description| description.0.as_str());
        archive.add_volumes(&names, description, world.clock())?;
    }
    note(world, &format!("add {}", names.join(", ")), "added");
    Ok(Exit::Done)
}

/// Removes a volume with all of its sessions; or, with `--clean`, what lies about on this machine.
pub fn delete(world: &World<'_>, wanted: &Delete) -> Result<Exit> {
    retried(world, || delete_once(world, wanted))
}

fn delete_once(world: &World<'_>, wanted: &Delete) -> Result<Exit> {
    let Some(wanted_volume) = &wanted.volume else {
        return cleaning::run(world, wanted);
    };
    let (mut archive, _lock) = open_to_write(world, "delete")?;
    let storages = storages::open(world, archive.id(), &wanted.local)?;
    let name = match wanted_volume {
        OneVolume::Named(name) => volume(&archive, name.as_str())?.name.clone(),
        OneVolume::Numbered(number) => numbered(&archive, *number)?,
    };
    let name = name.as_str();
    let id = volume(&archive, name)?.id;
    let count = archive.sessions()?.of_volume(id).count();
    if !world.common.dry_run {
        if !wanted.force {
            let question = format!(
                "Delete volume {name} with {count} sessions from the archive? It cannot be brought back."
            );
            if !world.prompt.confirm(&question).map_err(unanswered)? {
                return Err(Error::refused("nothing was deleted", ""));
            }
        }
        archive.delete_volume(name, world.clock())?;
        super::prune::free(world, &mut archive)?;
    }
    note(
        world,
        &format!("delete {name} with {count} sessions"),
        "deleted",
    );
    cleaning::forget_volume(world, &storages, name)?;
    Ok(Exit::Done)
}

/// The name of the volume with a number.
fn numbered(archive: &Archive, number: u64) -> Result<String> {
    let mut volumes = archive.head().volumes.iter();
    let found = volumes.find(|volume| u64::from(volume.id.0) == number);
    found.map(|volume| volume.name.clone()).ok_or_else(|| {
        Error::refused(
            format!("the archive has no volume number {number}"),
            "`nacre list --verbose` shows the numbers of those it has.",
        )
    })
}

/// Gives a volume another name.
pub fn rename(world: &World<'_>, wanted: &Rename) -> Result<Exit> {
    retried(world, || rename_once(world, wanted))
}

fn rename_once(world: &World<'_>, wanted: &Rename) -> Result<Exit> {
    let (mut archive, _lock) = open_to_write(world, "rename")?;
    let (old, new) = (wanted.old.as_str(), wanted.new.as_str());
    volume(&archive, old)?;
    if archive.head().volume(new).is_some() {
        return Err(Error::refused(
            format!("the archive has a volume {new} already"),
            "Choose another name.",
        ));
    }
    if !world.common.dry_run {
        archive.rename_volume(old, new, world.clock())?;
    }
    note(world, &format!("rename {old} to {new}"), "renamed");
    Ok(Exit::Done)
}

fn note(world: &World<'_>, what: &str, done: &str) {
    if world.common.dry_run {
        world.monitor().note(&format!("would {what}"));
    } else {
        let (_, object) = what.split_once(' ').unwrap_or(("", what));
        world.monitor().note(&format!("{done} {object}"));
    }
}
