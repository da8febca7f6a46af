//! `backup`: qubes with their settings, as one session.

mod check;
mod dom0;
mod freezing;
mod showing;

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::session::Tag;

use super::domains;
use super::freezing::{Origin, Taken, Volumes};
use super::opening::{open_to_write, retried_with};
use super::qubesd::{refused, registry, release};
use super::selection::names;
use super::send;
use super::status::record;
use super::world::World;
use crate::admin::AdminApi;
use crate::archive::{Archive, Error, Result};
use crate::backup::{SendReport, VolumeOutcome};
use crate::cli::{Backup, Exit, Target};
use crate::joints::VolumeNames;
use crate::joints::qubes::QubeRegistry;
use crate::qubes::dom0_files;
use crate::qubes::{Plan, SETTINGS, System, TextVolume, Wanted, choose, inventory, settings_text};

use freezing::freeze;

/// Stores a session of qubes, and remembers how that went. `taken` is what earlier targets of the run got.
pub fn run(world: &World<'_>, wanted: &Backup, taken: &mut Taken) -> Result<Exit> {
    let saved = attempt(world, wanted, taken);
    if let Err(error) = &saved
        && !matches!(error, Error::Interrupted)
        && !world.common.dry_run
    {
        record::failed(world, "backup", error);
    }
    saved
}

fn attempt(world: &World<'_>, wanted: &Backup, taken: &mut Taken) -> Result<Exit> {
    let registry = registry()?;
    let tags = send::tags(world, &wanted.send.tags)?;
    let (mut archive, lock) = open_to_write(world, "backup")?;
    let system = inventory(&registry, &release()).map_err(|error| refused(&error))?;
    let choice = choose(&system, &wish(world, wanted));
    let known = names(&archive);
    let plan = Plan::make(&system, choice, wanted.live, &known);
    showing::plan(world, &plan, wanted.dom0);
    let mut troubled = showing::problems(world, &system, &plan);
    if plan.lines.is_empty() && plan.bare.is_empty() && !wanted.dom0 {
        return Err(Error::refused("there is no qube to save", ""));
    }
    let settings = settings(&system, &plan, &known)?;
    let begun = world.clock().now().seconds;
    let mut frozen = freeze(world, archive.id(), &plan, taken)?;
    troubled.append(&mut frozen.troubled);
    let mut volumes = frozen.volumes;
    // First, so that a run that is cut short has them.
    volumes.frozen.insert(0, Box::new(settings));
    volumes.origins.insert(0, made_here(SETTINGS));
    let files = wanted.dom0.then(|| {
        let (files, problems, missing) = dom0::files(world, archive.chunk_size());
        volumes.frozen.push(Box::new(files));
        volumes.origins.push(made_here(dom0_files::VOLUME));
        (problems, missing)
    });
    let sent = retried_with(world, &mut archive, |archive| {
        let session = (tags.clone(), plan.domains());
        send_all(world, archive, wanted, &mut volumes, session)
    });
    if let Ok((report, _)) = &sent
        && !world.common.dry_run
    {
        let missing = frozen.missing.as_slice();
        send::remember(world, &archive, report, &volumes.origins, begun, missing);
    }
    taken.keep(volumes, lock);
    let (report, before) = sent?;
    if let Some((problems, missing)) = files {
        let problems = problems.all();
        dom0::tell(world, &problems);
        if missing + problems.len() > 0 {
            troubled.insert(DOM0);
        }
    }
    send::tell(world, &report);
    troubled.extend(failed(&plan, &report));
    let exit = send::exit(&report, troubled.is_empty());
    if world.common.dry_run || report.interrupted {
        return Ok(exit);
    }
    let exit = if wanted.check {
        exit.and(check::read_back(world, &archive, &report, &before)?)
    } else {
        exit
    };
    if matches!(exit, Exit::Done | Exit::Part) {
        mark(world, &registry, &plan, &troubled);
    }
    Ok(exit)
}

/// What dom0 is called among the qubes.
const DOM0: &str = "dom0";

/// A volume whose content is made here.
fn made_here(name: &str) -> Origin {
    Origin {
        place: None,
        names: VolumeNames::same(name),
    }
}

/// Makes room and sends. Also returns what the archive had of the volumes before.
fn send_all(
    world: &World<'_>,
    archive: &mut Archive,
    wanted: &Backup,
    volumes: &mut Volumes,
    (tags, domains): (Vec<Tag>, BTreeMap<String, String>),
) -> Result<(SendReport, check::Trees)> {
    send::make_room(world, archive, &wanted.send, volumes)?;
    let before = check::newest_trees(archive, &volumes.frozen)?;
    let rule = domains::rule_knowing(&wanted.send.domains, domains);
    let volumes = &mut volumes.frozen;
    let report = send::store(world, archive, volumes, &wanted.send, (tags, rule))?;
    Ok((report, before))
}

fn wish(world: &World<'_>, wanted: &Backup) -> Wanted {
    let names = |names: &[crate::cli::QubeName]| names.iter().map(|name| name.0.clone()).collect();
    let carrier = |target: &Target| match target {
        Target::Qubes(qube, _) | Target::QubesSsh(qube, ..) | Target::QubesUsb(qube, ..) => {
            Some(qube.0.clone())
        }
        Target::File(_) | Target::Ssh(..) | Target::Usb(..) | Target::Named(_) => None,
    };
    Wanted {
        named: names(&wanted.qubes),
        included: wanted.includes,
        excluded: names(&wanted.excluded),
        carriers: world.common.targets.iter().filter_map(carrier).collect(),
    }
}

/// The settings of all qubes as a volume.
fn settings(system: &System, plan: &Plan<'_>, known: &[String]) -> Result<TextVolume> {
    let settings = plan.settings(system, known);
    let text = settings_text(&settings).ok_or_else(|| {
        Error::refused(
            "the settings of the qubes are more, or other, than an archive can hold",
            "Please report this; the volumes alone can be stored by `nacre send`.",
        )
    })?;
    Ok(TextVolume::new(SETTINGS, text))
}

/// Qubes of which a volume was not read to its end.
fn failed<'a>(plan: &Plan<'a>, report: &SendReport) -> BTreeSet<&'a str> {
    let failed = report.volumes.iter();
    let failed = failed.filter(|volume| matches!(volume.outcome, VolumeOutcome::Failed(_)));
    let names: BTreeSet<&str> = failed.map(|volume| volume.name.as_str()).collect();
    let lines = plan.lines.iter();
    let lines = lines.filter(|line| names.contains(line.archive.as_str()));
    lines.map(|line| line.qube.row.name.as_str()).collect()
}

/// Tells qubesd of each qube that was saved whole when that was: Qube Manager shows it.
fn mark(world: &World<'_>, registry: &AdminApi, plan: &Plan<'_>, troubled: &BTreeSet<&str>) {
    use crate::joints::qubes::RegistryErrorKind::{TimedOut, Unreachable};
    let now = world.clock().now().seconds.to_string();
    for qube in plan.qubes().difference(troubled) {
        if let Err(error) = registry.set_property(qube, "backup_timestamp", &now) {
            world.monitor().warning(&format!(
                "qube {qube} is saved, but Qubes could not be told when: {error}"
            ));
            if matches!(error.kind, TimedOut | Unreachable) {
                // Nor of the others: each would be waited for.
                break;
            }
        }
    }
}
