//! `verify`.

use std::time::Instant;

use nacre_core::head::Volume;
use nacre_core::ids::VolumeId;

use super::end::{exit_of, sentence};
use super::opening::open_archive;
use super::receive::{tell_cut_short, tell_damage};
use super::selection::{is_qube, session, volumes, wish};
use super::world::World;
use crate::archive::{Archive, Damage, Error, Result, Sessions, VerifiedVersions};
use crate::cli::{Exit, SessionPoint, Verify};
use crate::joints::{Activity, Outcome, Summary, Task, VolumeSummary};
use crate::qubes::SETTINGS;
use crate::report::text;
use crate::restore::{self, Compare, RestoreOptions, Version, Watch};

/// Reads volumes as a restore would.
pub fn run(world: &World<'_>, wanted: &Verify) -> Result<Exit> {
    let begun = Instant::now();
    let archive = open_archive(world)?;
    let sessions = archive.sessions()?;
    let (found, missing) = volumes(&archive, &wanted.selection);
    let mut exit = Exit::Done;
    for name in &missing {
        world.monitor().error(&format!(
            "The archive has no volume {name}. See `nacre list`."
        ));
        exit = Exit::Part;
    }
    if found.is_empty() && !missing.is_empty() {
        return Ok(Exit::Nothing);
    }
    let mut summaries = Vec::new();
    for volume in &found {
        let optional = wanted.selection.all;
        let (summary, ended) = one(world, &archive, &sessions, volume, wanted, optional)?;
        exit = exit.and(ended);
        summaries.extend(summary);
    }
    if let Some(settings) = settings(&archive, &found, wanted) {
        let (summary, ended) = one(world, &archive, &sessions, settings, wanted, true)?;
        exit = exit.and(ended);
        summaries.extend(summary);
    }
    if summaries.is_empty() && exit == Exit::Part {
        return Ok(Exit::Nothing);
    }
    if summaries.is_empty() && wanted.session != SessionPoint::Newest {
        return Err(Error::refused(
            "no volume has such a session",
            "`nacre list` shows the volumes, `nacre list VOLUME` its sessions.",
        ));
    }
    world.monitor().summary(&Summary {
        activity: Activity::Verify,
        session: None,
        dry_run: false,
        volumes: summaries,
        elapsed: begun.elapsed(),
    });
    Ok(exit)
}

/// Who names a qube means its settings too.
fn settings<'a>(archive: &'a Archive, found: &[&Volume], wanted: &Verify) -> Option<&'a Volume> {
    let mut names = wanted.selection.volumes.iter();
    let any_qube = names.any(|name| is_qube(archive, name.as_str()));
    let settings = archive.head().volume(SETTINGS)?;
    (any_qube && found.iter().all(|volume| volume.id != settings.id)).then_some(settings)
}

/// `optional`: without such a session it is passed over.
fn one(
    world: &World<'_>,
    archive: &Archive,
    sessions: &Sessions,
    volume: &nacre_core::head::Volume,
    wanted: &Verify,
    optional: bool,
) -> Result<(Option<VolumeSummary>, Exit)> {
    let chosen = session(sessions, volume, &wish(&wanted.session)?, wanted.strict);
    let (chosen, at) = match chosen {
        Ok(chosen) => chosen,
        Err(error) if optional => {
            world.monitor().note(&error.to_string());
            return Ok((None, Exit::Done));
        }
        Err(error) => {
            world.monitor().error(&sentence(&error));
            return Ok((None, Exit::Part));
        }
    };
    if chosen.unfinished {
        tell_cut_short(world, &volume.name, chosen);
    }
    let progress = world.monitor().begin(&Task {
        activity: Activity::Verify,
        volume: volume.name.clone(),
        total: Some(at.size),
    });
    let version = Version {
        root: at.root,
        size: at.size,
    };
    let options = RestoreOptions {
        threads: world.threads(),
        compare: Compare::Nothing,
    };
    let watch = Watch {
        progress: &progress,
        stop: world.stop(),
    };
    let ids = archive.volume_ids(volume);
    let result = restore::verify(&archive.nodes(), &ids, version, options, watch);
    let result = result.map_err(|error| world.ended(error));
    let result = archive.unless_given_away(result, |report| !report.damage.is_empty());
    if let Ok(report) = &result {
        let whole = report.damage.is_empty();
        remember(world, archive, sessions, volume.id, version, whole);
    }
    let (outcome, exit, damage) = match result {
        Ok(report) if report.damage.is_empty() => (Outcome::Done, Exit::Done, None),
        Ok(report) => {
            let lost = format!("{} lost", text::size(report.damage.bytes()));
            (Outcome::Partly(lost), Exit::Integrity, Some(report.damage))
        }
        Err(error @ (Error::Interrupted | Error::Outrun)) => return Err(error),
        Err(error) => {
            world.monitor().error(&sentence(&error));
            (Outcome::Failed(error.to_string()), exit_of(&error), None)
        }
    };
    world.monitor().end(&progress, &outcome);
    let damage: &Damage = &damage.unwrap_or_default();
    tell_damage(world, &volume.name, &chosen.name.to_string(), damage);
    let summary = VolumeSummary {
        volume: volume.name.clone(),
        size: at.size,
        outcome,
        counts: progress.counts(),
    };
    Ok((Some(summary), exit))
}

/// Notes when a version was read. That it cannot be noted is worth a word, not a failure.
fn remember(
    world: &World<'_>,
    archive: &Archive,
    sessions: &Sessions,
    volume: VolumeId,
    version: Version,
    whole: bool,
) {
    let memory = archive.memory();
    let noted = VerifiedVersions::load(memory).and_then(|mut verified| {
        let now = world.clock().now().seconds;
        verified.note(volume, &version.root, version.size, whole, now);
        verified.save(memory, sessions)
    });
    if let Err(error) = noted {
        let text = format!("this machine cannot remember that it was verified: {error}");
        world.monitor().warning(&text);
    }
}
