//! `browse`: the files of a qube as they were, in a fresh qube without network that goes when it stops.
//!
//! dom0 mounts nothing and looks into nothing. qubesd lets nobody write into a clone of a volume (admin.vm.volume.CloneFrom), only put new
//! content in place of the old. So the volume is written whole; but what the qube's own volume still holds as the session has it is taken from
//! there, each chunk by its id, and only the rest is fetched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::end::{exit_of, sentence};
use super::opening::open_archive;
use super::qubesd::{refused, registry};
use super::restore::menus::AsUser;
use super::restore::saved::Source;
use super::restore::{Contents, check_pool};
use super::world::World;
use crate::admin::AdminApi;
use crate::archive::{Error, Result};
use crate::cli::{Browse, Exit};
use crate::joints::qubes::{QubeRegistry, RegistryErrorKind};
use crate::qubes::restore::{
    Ended, Present, QubeEnd, browsing, carry_out, is_half_made, temporary_name,
};
use crate::qubes::{Storage, place};
use crate::report::text;
use crate::restore::cut_short;
use crate::source::device_of;
use crate::state::Lease;

/// How often it is looked whether the qube still runs.
const LOOK: Duration = Duration::from_millis(500);
/// Stands in a lease while the qube of its name is being made, looked into or removed.
const BEGUN: &str = "begun";
/// How long a qube that was asked to stop is waited for.
const STOPPING: Duration = Duration::from_secs(60);

/// Opens a qube's files.
pub fn run(world: &World<'_>, wanted: &Browse) -> Result<Exit> {
    let registry = registry()?;
    let mut present = Present::read(&registry).map_err(|error| refused(&error))?;
    check_pool(&present, wanted.pool.as_deref())?;
    let archive = open_archive(world)?;
    let sessions = archive.sessions()?;
    let source = Source {
        world,
        archive: &archive,
        sessions: &sessions,
    };
    let name = wanted.qube.0.as_str();
    let saved = source.read(&wanted.session, &[name])?;
    let lease = match temporary_name(&saved, name) {
        Some(temporary) => Some(make_way(world, &registry, &mut present, &temporary)?),
        None => None,
    };
    let plan = browsing(&saved, &present, name, wanted.pool.as_deref())
        .map_err(|why| Error::refused(format!("{name} cannot be browsed: {why}"), ""))?;
    let Some(qube) = plan.qubes.first() else {
        return Err(Error::internal());
    };
    let temporary = qube.name.clone();
    world.monitor().note(&format!(
        "{}qube {temporary} without network gets the private volume of {name} ({}) and goes when it stops",
        if world.common.dry_run { "would: " } else { "" },
        text::size(qube.size()),
    ));
    for content in qube.contents.values().filter(|it| it.unfinished) {
        let why = cut_short(&content.session);
        let text = format!("volume {}: {why}", content.volume);
        world.monitor().warning(&text);
    }
    if world.common.dry_run {
        return Ok(Exit::Done);
    }
    if let Some(lease) = &lease {
        // From here on a qube of this name that is half made is ours.
        lease.change(|_| BEGUN.to_owned())?;
    }
    let mut contents = Contents::new(source, wanted.skip_corrupt).near(near(&present, name));
    let ends = carry_out(&registry, &plan, &mut contents);
    let (_, failed) = contents.into_results();
    // What was left out because it is damaged was asked for; the exit code tells it all the same.
    let exit = failed.as_ref().map_or(Exit::Done, exit_of);
    let filled = ends.iter().try_for_each(|end| filled(end, exit));
    if !ends.iter().any(|end| end.created) {
        // Whatever has the name is not ours to remove.
        return filled.map(|()| Exit::Nothing);
    }
    let opened = filled.and_then(|()| open(world, &registry, &temporary));
    let removed = remove(&registry, &temporary);
    if let (Some(lease), Ok(())) = (&lease, &removed) {
        lease.change(|_| String::new())?;
    }
    if let (Err(_), Err(left)) = (&opened, &removed) {
        world.monitor().error(&sentence(left));
    }
    opened?;
    removed.map(|()| exit)
}

/// Takes part in the use of the name, for as long as the answer lives. If a look that was killed has left a half-made qube under it, that one is
/// removed: nobody can have started it, so nothing in it is anybody's.
fn make_way(
    world: &World<'_>,
    registry: &AdminApi,
    present: &mut Present,
    temporary: &str,
) -> Result<Lease> {
    let path = world.browsing()?.join(temporary);
    let lease = Lease::take(&path)?;
    let is_ours = present.has(temporary) && lease.record()? == BEGUN && lease.is_last()?;
    if !is_ours || !is_half_made(present, temporary) {
        // Whether it was the last or not, it is one of several again.
        drop(lease);
        return Ok(Lease::take(&path)?);
    }
    world.monitor().note(&format!(
        "{}qube {temporary}, which was half made when an earlier browse was cut short, is removed first",
        if world.common.dry_run { "would: " } else { "" },
    ));
    if !world.common.dry_run {
        remove(registry, temporary)?;
    }
    present.system.qubes.remove(temporary);
    drop(lease);
    Ok(Lease::take(&path)?)
}

/// The qube's private volume as of its last stop, where this machine has one that can be read.
fn near(present: &Present, name: &str) -> Option<PathBuf> {
    let qube = present.system.qubes.get(name)?;
    let volume = qube.volumes.iter().find(|it| it.name == "private")?;
    let place = place(volume, present.system.pools.get(&volume.pool)).ok()?;
    let path = match &place.storage {
        Storage::Folder(folder) => Path::new(folder).join(&place.name),
        Storage::Thin(pool) => {
            let (group, _) = pool.split_once('/')?;
            device_of(group, &place.name)
        }
    };
    path.exists().then_some(path)
}

/// Whether the qube is as it was planned. `archive`: what the archive's own errors come to.
fn filled(end: &QubeEnd, archive: Exit) -> Result<()> {
    // One that was to have no network and has one must not be shown a file.
    if let Some(out) = end.left_out.first() {
        return Err(Error::refused(format!("{}: {}", out.what, out.why), ""));
    }
    match &end.ended {
        Ended::Done => Ok(()),
        Ended::Failed(why) if archive == Exit::Integrity => Err(Error::Lost(why.clone())),
        Ended::Failed(why) => Err(Error::refused(why.clone(), "")),
        Ended::Stopped => Err(Error::Interrupted),
    }
}

/// Starts it, shows its files, and waits until it has stopped.
fn open(world: &World<'_>, registry: &AdminApi, name: &str) -> Result<()> {
    registry.start(name).map_err(|error| refused(&error))?;
    let hidden = |why: &str| {
        world.monitor().warning(&format!(
            "the files cannot be shown ({why}); open {name} from the menu or with: qvm-run {name} xterm"
        ));
    };
    // Not waited for: it may take as long as somebody looks at the files, or for ever.
    let mut shown = AsUser::start("qvm-run", &["--quiet", name, "xdg-open /home/user"])
        .map_err(|why| hidden(&why))
        .ok();
    world.monitor().note(&format!(
        "{name} is open; copy out what you need, then stop it (qvm-shutdown {name}), and it is removed"
    ));
    while !is_halted(registry, name)? {
        let ended = shown.as_mut().and_then(AsUser::ended);
        if let Some(ended) = ended {
            shown = None;
            if let Err(why) = ended {
                hidden(&why);
            }
        }
        if world.stop().load(std::sync::atomic::Ordering::Relaxed) {
            registry.shutdown(name).map_err(|error| refused(&error))?;
            let mut waited = Duration::ZERO;
            while !is_halted(registry, name)? && waited < STOPPING {
                std::thread::sleep(LOOK);
                waited += LOOK;
            }
            return Err(Error::Interrupted);
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// One that is gone has stopped.
fn is_halted(registry: &AdminApi, name: &str) -> Result<bool> {
    let rows = registry.list().map_err(|error| refused(&error))?;
    let row = rows.iter().find(|row| row.name == name);
    Ok(row.is_none_or(|row| row.halted))
}

fn remove(registry: &AdminApi, name: &str) -> Result<()> {
    match registry.remove(name) {
        Err(error) if error.kind != RegistryErrorKind::NoQube => Err(Error::refused(
            format!("qube {name} is still there: {error}"),
            format!("Remove it with `qvm-remove {name}` when it has stopped."),
        )),
        _ => Ok(()),
    }
}
