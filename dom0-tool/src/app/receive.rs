//! `receive`.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::opening::{open_archive, unanswered};
use super::selection::{session, volume, wish};
use super::world::World;
use crate::archive::{Error, Result};
use crate::cli::{Exit, Receive, WriteMode};
use crate::joints::{
    Activity, KeyPrompt, Outcome, Progress, RestoreGoal, Summary, Task, VolumeSummary,
};
use crate::report::text;
use crate::restore::{self, Compare, Damage, RestoreOptions, Version, Watch};
use crate::source::{DeviceGoal, FileGoal};

/// Writes a volume back.
pub fn run(world: &World<'_>, wanted: &Receive) -> Result<Exit> {
    let archive = open_archive(world)?;
    let volume = volume(&archive, wanted.volume.as_str())?;
    let sessions = archive.sessions()?;
    let (chosen, at) = session(&sessions, volume, &wish(&wanted.session)?, wanted.strict)?;
    if chosen.unfinished {
        world.monitor().warning(&format!(
            "session {} is unfinished: it holds what was sent before the run was cut short, and older content behind that",
            chosen.name
        ));
    }
    if world.common.dry_run {
        world.monitor().note(&format!(
            "would write {} of volume {} from session {} to {}",
            text::size(at.size),
            volume.name,
            chosen.name,
            wanted.save_to.display()
        ));
        return Ok(Exit::Done);
    }
    may_overwrite(world, wanted)?;
    let goal = goal(wanted, at.size)?;
    let progress = world.monitor().begin(&Task {
        activity: Activity::Receive,
        volume: volume.name.clone(),
        total: Some(at.size),
    });
    let version = Version {
        root: at.root,
        size: at.size,
    };
    let result = write(world, &archive, volume, version, goal, wanted, &progress);
    let outcome = outcome(&result);
    world.monitor().end(&progress, &outcome);
    let (damage, elapsed) = result?;
    world.monitor().summary(&Summary {
        activity: Activity::Receive,
        session: Some(chosen.name.to_string()),
        dry_run: false,
        volumes: vec![VolumeSummary {
            volume: volume.name.clone(),
            size: at.size,
            outcome,
            counts: progress.counts(),
        }],
        elapsed,
    });
    if damage.is_empty() {
        return Ok(Exit::Done);
    }
    tell_damage(world, &volume.name, &chosen.name.to_string(), &damage);
    if !wanted.skip_corrupt {
        world.monitor().error(
            "Nothing was put in place. Give `--skip-corrupt-chunks` to restore everything else.",
        );
    }
    Ok(Exit::Integrity)
}

type Written = (Damage, std::time::Duration);

fn write(
    world: &World<'_>,
    archive: &crate::archive::Archive,
    volume: &nacre_core::head::Volume,
    version: Version,
    goal: Box<dyn RestoreGoal>,
    wanted: &Receive,
    progress: &Progress,
) -> Result<Written> {
    let options = RestoreOptions {
        threads: world.threads(),
        compare: match wanted.mode {
            WriteMode::Replace => Compare::Nothing,
            WriteMode::Sparse => Compare::BeforeFetch,
            WriteMode::SparseWrite => Compare::BeforeWrite,
        },
    };
    let watch = Watch {
        progress,
        stop: world.stop(),
    };
    let ids = archive.volume_ids(volume);
    let nodes = archive.nodes();
    let report = restore::restore(&nodes, &ids, version, goal.as_ref(), options, watch)?;
    if report.damage.is_empty() || wanted.skip_corrupt {
        goal.finish()?;
    }
    Ok((report.damage, report.elapsed))
}

fn outcome(result: &Result<Written>) -> Outcome {
    match result {
        Ok((damage, _)) if damage.is_empty() => Outcome::Done,
        Ok((damage, _)) => Outcome::Partly(format!("{} lost", text::size(damage.bytes()))),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// Names every range that is lost.
pub fn tell_damage(world: &World<'_>, volume: &str, session: &str, damage: &Damage) {
    for (range, why) in damage.ranges() {
        world.monitor().error(&format!(
            "volume {volume}, session {session}: bytes {}..{} are lost: {why}",
            range.start, range.end
        ));
    }
}

fn may_overwrite(world: &World<'_>, wanted: &Receive) -> Result<()> {
    if wanted.force || world.common.unattended || !wanted.save_to.exists() {
        return Ok(());
    }
    let question = format!(
        "{} is there already. Overwrite it?",
        wanted.save_to.display()
    );
    if world.prompt.confirm(&question).map_err(unanswered)? {
        Ok(())
    } else {
        Err(Error::refused("nothing was overwritten", ""))
    }
}

fn goal(wanted: &Receive, size: u64) -> Result<Box<dyn RestoreGoal>> {
    let path: &Path = &wanted.save_to;
    let device = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device());
    Ok(match wanted.mode {
        _ if device => Box::new(DeviceGoal::open(path, size)?),
        // Whoever got here was asked, or said beforehand that overwriting is meant.
        WriteMode::Replace => Box::new(FileGoal::whole(path, size, path.exists())?),
        WriteMode::Sparse | WriteMode::SparseWrite => Box::new(FileGoal::in_place(path, size)?),
    })
}
