//! `restore`: qubes with their volumes and settings.

mod begun;
mod contents;
pub(super) mod dom0;
mod goal;
pub(super) mod menus;
pub(super) mod saved;
mod stream;
mod table;

use std::collections::BTreeMap;
use std::time::Instant;

use self::begun::Begun;
use self::contents::FromArchive;
use self::saved::Source;
use super::end::exit_of;
use super::opening::{open_archive, unanswered};
use super::qubesd::{refused, registry};
use super::world::World;
use crate::archive::{Error, Result};
use crate::cli::{Exit, Restore, RestorePart};
use crate::joints::{Activity, KeyPrompt, Summary};
use crate::qubes::dom0_files;
use crate::qubes::restore::{Ended, Plan, Present, QubeEnd, Reason, What, Wish, carry_out, plan};
use crate::report::text;

pub(super) use self::contents::FromArchive as Contents;

/// Brings qubes back.
pub fn run(world: &World<'_>, wanted: &Restore) -> Result<Exit> {
    let begun = Instant::now();
    let registry = registry()?;
    let mut present = Present::read(&registry).map_err(|error| refused(&error))?;
    check_pool(&present, wanted.pool.as_deref())?;
    let noted = Begun::open(world)?;
    present.begun = noted.qubes()?;
    let archive = open_archive(world)?;
    let sessions = archive.sessions()?;
    let source = Source {
        world,
        archive: &archive,
        sessions: &sessions,
    };
    let named: Vec<&str> = wanted.qubes.iter().map(|name| name.0.as_str()).collect();
    let saved = source.read(&wanted.session, &named)?;
    let wish = wish(wanted);
    let mut plan = plan(&saved, &present, &wish);
    table::show(world, &plan);
    if wanted.all && archive.head().volume(dom0_files::VOLUME).is_some() {
        let text = "the archive has dom0's own files too; they are restored by themselves: nacre restore dom0 --save-to=FOLDER";
        world.monitor().note(text);
    }
    if world.common.dry_run {
        return Ok(planned_exit(&plan));
    }
    may_overwrite(world, &mut plan, wanted)?;
    let mut contents = FromArchive::new(source, wanted.skip_corrupt);
    noted.note(&plan, &present.begun, wish.what)?;
    let ends = carry_out(&registry, &plan, &mut contents);
    noted.forget(&ends, wish.what)?;
    let (summaries, failed) = contents.into_results();
    if !summaries.is_empty() {
        world.monitor().summary(&Summary {
            activity: Activity::Receive,
            session: None,
            dry_run: false,
            volumes: summaries,
            elapsed: begun.elapsed(),
        });
    }
    menus::update(world, &plan, &ends);
    tell_ends(world, &plan, &ends);
    Ok(exit(&plan, &ends, failed))
}

fn wish(wanted: &Restore) -> Wish {
    let prefs = wanted.prefs.iter();
    let prefs: BTreeMap<String, Option<String>> = prefs
        .map(|pref| (pref.name.clone(), pref.value.clone()))
        .collect();
    Wish {
        named: wanted.qubes.iter().map(|name| name.0.clone()).collect(),
        all: wanted.all,
        rename: wanted.rename.as_ref().map(|name| name.0.clone()),
        pool: wanted.pool.clone(),
        what: match wanted.part {
            RestorePart::Both => What::Both,
            RestorePart::Settings => What::Settings,
            RestorePart::Data => What::Data,
        },
        prefs,
        paranoid: wanted.paranoid,
    }
}

/// A pool that was asked for must be here.
pub(super) fn check_pool(present: &Present, pool: Option<&str>) -> Result<()> {
    match pool {
        Some(pool) if !present.system.pools.contains_key(pool) => Err(Error::refused(
            format!("there is no pool {pool}"),
            "`qvm-pool` shows those there are.",
        )),
        _ => Ok(()),
    }
}

/// Asks once for all qubes that are here already. With `--all`, a no leaves these out and the rest goes on.
fn may_overwrite(world: &World<'_>, plan: &mut Plan, wanted: &Restore) -> Result<()> {
    let there = plan.qubes.iter().filter(|qube| qube.overwrites());
    let there: Vec<String> = there.map(|qube| qube.name.clone()).collect();
    if there.is_empty() || wanted.force {
        return Ok(());
    }
    let list = there.join(", ");
    let part = match wanted.part {
        RestorePart::Both => "volumes and settings",
        RestorePart::Settings => "settings",
        RestorePart::Data => "volumes",
    };
    let question = format!(
        "{} here already: {list}. Overwrite their {part}?",
        text::count(there.len(), "qube is", "qubes are")
    );
    let answer = match world.prompt.confirm(&question) {
        Err(_) if wanted.all && world.common.unattended => false,
        answer => answer.map_err(unanswered)?,
    };
    if answer {
        return Ok(());
    }
    if !wanted.all {
        return Err(Error::refused(
            format!("{list}: nothing was overwritten"),
            "Give --as=NAME to restore beside it, or --force to overwrite.",
        ));
    }
    plan.leave_out(&there, "it is here already; give --force to overwrite it");
    Ok(())
}

/// How a dry run ends: as the run itself would, as far as that can be known.
fn planned_exit(plan: &Plan) -> Exit {
    let less = plan.qubes.iter().flat_map(|qube| &qube.left_out);
    let less = less.clone().any(|out| out.reason == Reason::Cannot);
    match (plan.refused.is_empty(), plan.qubes.is_empty()) {
        (_, true) => Exit::Nothing,
        (true, false) if !less => Exit::Done,
        _ => Exit::Part,
    }
}

/// What became of each qube, and everything that is not as in the archive.
fn tell_ends(world: &World<'_>, plan: &Plan, ends: &[QubeEnd]) {
    let monitor = world.monitor();
    for refused in &plan.refused {
        monitor.error(&format!(
            "{} is not restored: {}.",
            refused.qube, refused.why
        ));
    }
    for (end, qube) in ends.iter().zip(&plan.qubes) {
        let name = &end.name;
        for out in &end.left_out {
            let line = format!("{name}: {}: {}.", out.what, out.why);
            match out.reason {
                Reason::Cannot => monitor.warning(&line),
                Reason::Asked => monitor.note(&line),
            }
        }
        let again = format!("nacre restore {}", qube.there);
        let mark = if end.marked {
            format!(
                "It cannot be started until it is restored whole; `{again}` with the same options goes on."
            )
        } else {
            format!("`{again}` tries again.")
        };
        match &end.ended {
            Ended::Done if end.left_out.is_empty() => monitor.note(&format!("{name} is restored")),
            Ended::Done => {
                let count = text::count(end.left_out.len(), "thing", "things");
                monitor.note(&format!(
                    "{name} is restored, but for the {count} named above"
                ));
            }
            Ended::Failed(why) => {
                monitor.error(&format!("{name} is not restored: {why}. {mark}"));
            }
            Ended::Stopped => monitor.error(&format!("{name} is not restored yet. {mark}")),
        }
    }
}

/// The exit code. `failed`: what the archive said when content could not be had.
fn exit(plan: &Plan, ends: &[QubeEnd], failed: Option<Error>) -> Exit {
    let done = ends.iter().filter(|end| end.ended == Ended::Done).count();
    let less = ends.iter().flat_map(|end| &end.left_out);
    let less = less.clone().any(|out| out.reason == Reason::Cannot);
    let whole = done == ends.len() && plan.refused.is_empty() && !less;
    let own = match (whole, done) {
        (true, 1..) => Exit::Done,
        (_, 0) => Exit::Nothing,
        _ => Exit::Part,
    };
    let stopped = ends.iter().any(|end| end.ended == Ended::Stopped);
    let own = if stopped {
        own.and(Exit::Interrupted)
    } else {
        own
    };
    match failed.as_ref().map(exit_of) {
        None | Some(Exit::Nothing) => own,
        Some(graver) => own.and(graver),
    }
}
