//! `receive`.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Instant;

use nacre_core::head::Volume;
use nacre_core::place::Root;
use nacre_core::session::{Session, SessionVolume};

use super::end::sentence;
use super::opening::{open_archive, unanswered};
use super::selection::{self, session, wish};
use super::storages::{self, Direction, Storage, choose};
use super::world::World;
use crate::archive::{Archive, Damage, Error, Result, Sessions};
use crate::cli::{Exit, Goal, Receive, WriteMode};
use crate::joints::{
    Activity, GoalStart, KeyPrompt, Outcome, Pool, Progress, RestoreGoal, SourceErrorKind, Summary,
    Task, VolumeNames, VolumeSummary,
};
use crate::report::text;
use crate::restore::{
    self, Compare, RestoreOptions, RestoreReport, Version, Watch, restore_difference,
};
use crate::source::{DeviceGoal, FileGoal};

/// Writes volumes back.
pub fn run(world: &World<'_>, wanted: &Receive) -> Result<Exit> {
    let begun = Instant::now();
    let archive = open_archive(world)?;
    let sessions = archive.sessions()?;
    let storages = match &wanted.goal {
        Goal::SaveTo(_) => Vec::new(),
        Goal::Local(local) => storages::open(world, archive.id(), local)?,
    };
    let (plan, mut exit) = plan(world, &archive, &sessions, &storages, wanted)?;
    if plan.is_empty() {
        return Ok(if exit == Exit::Done {
            exit
        } else {
            Exit::Nothing
        });
    }
    for step in &plan {
        if step.session.unfinished {
            tell_cut_short(world, &step.volume.name, step.session);
        }
        if world.common.dry_run {
            world.monitor().note(&format!("would {}", step.describe()));
        }
    }
    if world.common.dry_run {
        return Ok(exit);
    }
    may_overwrite(world, &plan, wanted)?;
    let mut summaries = Vec::new();
    for step in &plan {
        let (summary, ended) = carry_out(world, &archive, step, wanted)?;
        summaries.push(summary);
        exit = exit.and(ended);
    }
    let names: BTreeSet<String> = plan.iter().map(|s| s.session.name.to_string()).collect();
    let all_failed = |one: &VolumeSummary| matches!(one.outcome, Outcome::Failed(_));
    if exit == Exit::Part && summaries.iter().all(all_failed) {
        exit = Exit::Nothing;
    }
    world.monitor().summary(&Summary {
        activity: Activity::Receive,
        session: names.first().filter(|_| names.len() == 1).cloned(),
        dry_run: false,
        volumes: summaries,
        elapsed: begun.elapsed(),
    });
    Ok(exit)
}

/// One volume that is to be written.
struct Step<'a> {
    volume: &'a Volume,
    session: &'a Session,
    at: &'a SessionVolume,
    place: Place<'a>,
    /// Whether something is there already.
    exists: bool,
    /// The local snapshot that is cloned: its identity, and the tree that it holds.
    snapshot: Option<(Vec<u8>, Root)>,
}

/// Where to.
enum Place<'a> {
    File(&'a Path),
    Pool(&'a Storage, String),
}

impl Step<'_> {
    fn place(&self) -> String {
        match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Pool(storage, local) if *local == self.volume.name => storage.place.to_string(),
            Place::Pool(storage, local) => format!("{local} in {}", storage.place),
        }
    }

    fn describe(&self) -> String {
        let how = match (&self.snapshot, self.exists) {
            (Some((_, held)), _) if *held == self.at.root => " by cloning the local snapshot",
            (Some(_), _) => " by cloning the local snapshot and writing what differs",
            (None, true) => ", which is there already",
            (None, false) => "",
        };
        format!(
            "write {} of volume {} from session {} to {}{how}",
            text::size(self.at.size),
            self.volume.name,
            self.session.name,
            self.place()
        )
    }
}

/// What is to be written where; what cannot be is told.
fn plan<'a>(
    world: &World<'_>,
    archive: &'a Archive,
    sessions: &'a Sessions,
    storages: &'a [Storage],
    wanted: &'a Receive,
) -> Result<(Vec<Step<'a>>, Exit)> {
    let mut problems = Vec::new();
    let mut steps = Vec::new();
    let mut add = |names: VolumeNames, place: Place<'a>| -> Result<()> {
        let Some(volume) = archive.head().volume(&names.archive) else {
            let name = &names.archive;
            problems.push(format!(
                "The archive has no volume {name}. See `nacre list` for those it has."
            ));
            return Ok(());
        };
        match step(sessions, volume, place, wanted)? {
            Ok(step) => steps.push(step),
            Err(error) => problems.push(sentence(&error)),
        }
        Ok(())
    };
    match &wanted.goal {
        Goal::SaveTo(path) => {
            for name in &wanted.selection.volumes {
                add(VolumeNames::same(name.as_str()), Place::File(path))?;
            }
        }
        Goal::Local(_) => {
            let known = selection::names(archive);
            let choice = choose(storages, &wanted.selection, &known, &[], Direction::Receive);
            for (storage, names) in storages.iter().zip(choice.of_storage) {
                for name in names {
                    let local = name.local.clone();
                    add(name, Place::Pool(storage, local))?;
                }
            }
            problems.extend(choice.problems);
        }
    }
    for problem in &problems {
        world.monitor().error(problem);
    }
    let exit = if problems.is_empty() {
        Exit::Done
    } else {
        Exit::Part
    };
    Ok((steps, exit))
}

/// The inner error is one of this volume alone.
fn step<'a>(
    sessions: &'a Sessions,
    volume: &'a Volume,
    place: Place<'a>,
    wanted: &Receive,
) -> Result<Result<Step<'a>>> {
    let chosen = session(sessions, volume, &wish(&wanted.session)?, wanted.strict);
    let (session, at) = match chosen {
        Ok(chosen) => chosen,
        Err(error) => return Ok(Err(error)),
    };
    let (exists, snapshot) = match &place {
        Place::File(path) => (path.symlink_metadata().is_ok(), None),
        Place::Pool(storage, local) => {
            let pool = storage.pool.as_ref();
            let usable = snapshot(sessions, volume, at, pool, local, wanted)?;
            (pool.exists(local)?, usable)
        }
    };
    if snapshot.is_none() && wanted.snapshot.required {
        return Ok(Err(Error::refused(
            format!("no local snapshot of {} can be used", volume.name),
            "Leave --req-snapshot out to fetch everything.",
        )));
    }
    Ok(Ok(Step {
        volume,
        session,
        at,
        place,
        exists,
        snapshot,
    }))
}

/// The kept snapshot of the volume, if it may be cloned.
fn snapshot(
    sessions: &Sessions,
    volume: &Volume,
    at: &SessionVolume,
    pool: &dyn Pool,
    local: &str,
    wanted: &Receive,
) -> Result<Option<(Vec<u8>, Root)>> {
    let Some((_, held, identity)) = sessions.snapshot_of(volume) else {
        return Ok(None);
    };
    let same = held.root == at.root && held.size == at.size;
    let fits = wanted.snapshot.other || wanted.snapshot.same && same;
    if fits && pool.holds(local, identity)? {
        Ok(Some((identity.to_vec(), held.root)))
    } else {
        Ok(None)
    }
}

fn carry_out(
    world: &World<'_>,
    archive: &Archive,
    step: &Step<'_>,
    wanted: &Receive,
) -> Result<(VolumeSummary, Exit)> {
    let progress = world.monitor().begin(&Task {
        activity: Activity::Receive,
        volume: step.volume.name.clone(),
        // How much differs from a snapshot is not known beforehand.
        total: step.snapshot.is_none().then_some(step.at.size),
    });
    let result = write(world, archive, step, wanted, &progress);
    let outcome = outcome(&result);
    world.monitor().end(&progress, &outcome);
    let summary = VolumeSummary {
        volume: step.volume.name.clone(),
        size: step.at.size,
        outcome,
        counts: progress.counts(),
    };
    let exit = match result {
        Ok((damage, _)) if damage.is_empty() => Exit::Done,
        Ok((damage, in_place)) => {
            tell_damage(
                world,
                &step.volume.name,
                &step.session.name.to_string(),
                &damage,
            );
            if !wanted.skip_corrupt {
                world.monitor().error(if in_place {
                    "What is not damaged was written over what was there: it is a mixture of both now. Give `--skip-corrupt-chunks` to complete it but for what \
                     is lost."
                } else {
                    "Nothing was put in place. Give `--skip-corrupt-chunks` to restore everything else."
                });
            }
            Exit::Integrity
        }
        // Local storage may refuse one volume and take the others.
        Err(Error::Source(error)) if matches!(step.place, Place::Pool(..)) => {
            let text = sentence(&Error::Source(error));
            world
                .monitor()
                .error(&format!("{}: {text}", step.volume.name));
            Exit::Part
        }
        Err(error) => return Err(error),
    };
    Ok((summary, exit))
}

/// What is lost, and whether the rest was written over what was there.
type Written = (Damage, bool);

fn write(
    world: &World<'_>,
    archive: &Archive,
    step: &Step<'_>,
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
    let version = Version {
        root: step.at.root,
        size: step.at.size,
    };
    let (goal, held) = goal(world, step, wanted)?;
    let ids = archive.volume_ids(step.volume);
    let nodes = archive.nodes();
    let report = match held {
        Some(held) => {
            restore_difference(&nodes, &ids, &held, version, goal.as_ref(), options, watch)
        }
        None => restore::restore(&nodes, &ids, version, goal.as_ref(), options, watch),
    };
    let is_damaged = |report: &RestoreReport| !report.damage.is_empty();
    let report = archive.unless_given_away(report, is_damaged)?;
    let in_place = goal.is_in_place();
    if report.damage.is_empty() || wanted.skip_corrupt {
        goal.finish()?;
    }
    Ok((report.damage, in_place))
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
    if damage.untold() > 0 {
        world.monitor().error(&format!(
            "volume {volume}, session {session}: {} more are lost, in more places than are named one by one",
            text::size(damage.untold())
        ));
    }
}

/// Warns that the session does not have the whole volume.
pub fn tell_cut_short(world: &World<'_>, volume: &str, session: &Session) {
    let why = restore::cut_short(&session.name.to_string());
    world.monitor().warning(&format!("volume {volume}: {why}"));
}

/// Asks once for all that is there already.
fn may_overwrite(world: &World<'_>, plan: &[Step<'_>], wanted: &Receive) -> Result<()> {
    let there: Vec<String> = plan
        .iter()
        .filter(|step| step.exists)
        .map(|step| match &step.place {
            Place::File(_) => step.place(),
            Place::Pool(storage, local) => format!("{local} in {}", storage.place),
        })
        .collect();
    let question = match there.as_slice() {
        [] => return Ok(()),
        [one] => format!("{one} is there already. Overwrite it?"),
        several => format!(
            "These are there already: {}. Overwrite them?",
            several.join(", ")
        ),
    };
    if wanted.force || world.common.unattended {
        return Ok(());
    }
    if world.prompt.confirm(&question).map_err(unanswered)? {
        Ok(())
    } else {
        Err(Error::refused("nothing was overwritten", ""))
    }
}

/// Opens what is written to; also the tree that it holds from the start, if that is known.
fn goal(
    world: &World<'_>,
    step: &Step<'_>,
    wanted: &Receive,
) -> Result<(Box<dyn RestoreGoal>, Option<Root>)> {
    let size = step.at.size;
    let (storage, local) = match &step.place {
        Place::File(path) => return Ok((file_goal(path, size, wanted.mode)?, None)),
        Place::Pool(storage, local) => (storage, local),
    };
    if let Some((identity, held)) = &step.snapshot {
        let start = GoalStart::Snapshot(identity.clone());
        match storage.pool.goal(local, size, &start) {
            Ok(goal) => return Ok((goal, Some(*held))),
            // It went, or was altered, since we looked.
            Err(error) if error.kind == SourceErrorKind::NotFound && !wanted.snapshot.required => {
                world
                    .monitor()
                    .note(&format!("{error}; fetching everything"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let start = match wanted.mode {
        WriteMode::Sparse | WriteMode::SparseWrite if step.exists => GoalStart::InPlace,
        _ => GoalStart::Empty,
    };
    Ok((storage.pool.goal(local, size, &start)?, None))
}

fn file_goal(path: &Path, size: u64, mode: WriteMode) -> Result<Box<dyn RestoreGoal>> {
    let device = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device());
    Ok(match mode {
        _ if device => Box::new(DeviceGoal::open(path, size)?),
        // Whoever got here was asked, or said beforehand that overwriting is meant.
        WriteMode::Replace => Box::new(FileGoal::whole(path, size, path.exists())?),
        WriteMode::Sparse | WriteMode::SparseWrite => Box::new(FileGoal::in_place(path, size)?),
    })
}
