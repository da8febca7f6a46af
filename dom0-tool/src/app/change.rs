//! `add`, `delete`, `rename`.

use super::cleaning;
use super::domains;
use super::forgetting;
use super::opening::{changing, committed, retried, unanswered};
use super::room::Room;
use super::selection::{named, volume};
use super::settings::follow;
use super::storages;
use super::world::World;
use crate::archive::{Archive, Error, Forgotten, Result, Sessions};
use crate::cli::{Add, Delete, Exit, OneVolume, Rename, VolumeName};
use crate::joints::KeyPrompt;
use crate::qubes::SETTINGS;
use crate::report::text;

/// Enters names without data.
pub fn add(world: &World<'_>, wanted: &Add) -> Result<Exit> {
    changing(world, "add", |archive| add_once(world, archive, wanted))
}

fn add_once(world: &World<'_>, archive: &mut Archive, wanted: &Add) -> Result<Exit> {
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
        committed(world, archive, |archive| {
            archive.add_volumes(&names, description, world.clock())
        })?;
    }
    note(world, &format!("add {}", names.join(", ")), "added");
    Ok(Exit::Done)
}

/// Removes a volume with all of its sessions; or, with `--clean`, what lies about on this machine; or, with `--forget`, all that it remembers.
pub fn delete(world: &World<'_>, wanted: &Delete) -> Result<Exit> {
    if wanted.forget {
        return retried(world, || forgetting::run(world, wanted));
    }
    let mut agreed = None;
    match &wanted.volume {
        Some(volume) => changing(world, "delete", |archive| {
            delete_once(world, archive, (wanted, volume), &mut agreed)
        }),
        None => retried(world, || cleaning::run(world, wanted)),
    }
}

/// `agreed`: what the user has said yes to.
fn delete_once(
    world: &World<'_>,
    archive: &mut Archive,
    (wanted, wanted_volume): (&Delete, &OneVolume),
    agreed: &mut Option<String>,
) -> Result<Exit> {
    let storages = storages::open(world, archive.id(), &wanted.local)?;
    let names: Vec<String> = match wanted_volume {
        OneVolume::Named(name) => {
            let volumes = named(archive, name.as_str())?;
            volumes.iter().map(|volume| volume.name.clone()).collect()
        }
        OneVolume::Numbered(number) => vec![numbered(archive, *number)?],
    };
    let sessions = archive.sessions()?;
    let mut going = Forgotten::new();
    let mut parts = Vec::new();
    for name in &names {
        let id = volume(archive, name)?.id;
        let mut count = 0;
        for (seq, ..) in sessions.of_volume(id) {
            going.entry(seq).or_default().insert(id);
            count += 1;
        }
        let count = text::count(count, "session", "sessions");
        parts.push(format!("{name} with {count}"));
    }
    let settings = settings_that_go(archive, &sessions, &mut going);
    let what = parts.join(", ");
    if !world.common.dry_run {
        if !wanted.force && agreed.as_ref() != Some(&what) {
            let volumes = if names.len() == 1 {
                "volume"
            } else {
                "volumes"
            };
            let question =
                format!("Delete {volumes} {what} from the archive? It cannot be brought back.");
            if !world.prompt.confirm(&question).map_err(unanswered)? {
                return Err(Error::refused("nothing was deleted", ""));
            }
            *agreed = Some(what.clone());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        committed(world, archive, |archive| {
            archive.delete_volumes(&names, &settings, world.clock())
        })?;
        Room::default().made(world, archive)?;
    }
    note(world, &format!("delete {what}"), "deleted");
    if !settings.is_empty() {
        let count = text::count(settings.len(), "session", "sessions");
        let text = format!("the settings of qubes in {count} that have no other volume go too");
        world.monitor().note(&text);
    }
    for name in &names {
        cleaning::forget_volume(world, &storages, name)?;
    }
    Ok(Exit::Done)
}

/// The settings in sessions of which nothing else is left when all that goes is gone.
fn settings_that_go(archive: &Archive, sessions: &Sessions, going: &mut Forgotten) -> Forgotten {
    let gone = follow(archive, sessions, going).gone;
    let settings = archive.head().volume(SETTINGS).map(|volume| volume.id);
    let both = gone.into_iter().zip(settings.into_iter().cycle());
    both.map(|(seq, id)| (seq, [id].into())).collect()
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
    changing(world, "rename", |archive| {
        rename_once(world, archive, wanted)
    })
}

fn rename_once(world: &World<'_>, archive: &mut Archive, wanted: &Rename) -> Result<Exit> {
    let (old, new) = (wanted.old.as_str(), wanted.new.as_str());
    volume(archive, old)?;
    if archive.head().volume(new).is_some() {
        return Err(Error::refused(
            format!("the archive has a volume {new} already"),
            "Choose another name.",
        ));
    }
    if !world.common.dry_run {
        committed(world, archive, |archive| {
            archive.rename_volume(old, new, world.clock())
        })?;
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
