//! `send`.

use std::time::Duration;

use nacre_core::session::Tag;

use super::autoprune;
use super::domains;
use super::end::sentence;
use super::freezing::{Origin, Plan, Taken, Volumes};
use super::opening::{continued, open_to_write, retried_with, unanswered};
use super::status::record::{self, Run};
use super::storages;
use super::world::World;
use crate::archive::{Archive, DomainRule, Error, Result};
use crate::backup::{self, SendOptions, SendReport, Surroundings, Try, VolumeOutcome};
use crate::cli::{Exit, Send, TagWish};
use crate::joints::{Activity, FrozenVolume, KeyPrompt, Summary, VolumeSummary};
use crate::qubes::dom0_files::VOLUME as DOM0;

/// A checkpoint is committed after so much, once the connection has broken.
const BROKEN_BYTES: u64 = 64 << 20;
/// The same in time.
const BROKEN_TIME: Duration = Duration::from_secs(30);

/// Stores a session, and remembers how that went.
pub fn run(world: &World<'_>, wanted: &Send, taken: &mut Taken) -> Result<Exit> {
    let sent = attempt(world, wanted, taken);
    if let Err(error) = &sent
        && !matches!(error, Error::Interrupted)
        && !world.common.dry_run
    {
        record::failed(world, "send", error);
    }
    sent
}

/// Stores a session. The archive is opened first, so that whatever hinders it is known before any snapshot is made. `taken` is what
/// earlier targets of the run got.
fn attempt(world: &World<'_>, wanted: &Send, taken: &mut Taken) -> Result<Exit> {
    let tags = tags(world, &wanted.tags)?;
    for sentence in &wanted.left_out {
        world.monitor().warning(sentence);
    }
    let (mut archive, lock) = open_to_write(world, "send")?;
    let storages = storages::open(world, archive.id(), &wanted.local)?;
    let mut plan = Plan::make(&archive, &storages, wanted)?;
    let begun = world.clock().now().seconds;
    let mut volumes = plan.freeze(taken);
    for problem in &plan.problems {
        world.monitor().error(problem);
    }
    if volumes.frozen.is_empty() {
        return Ok(Exit::Nothing);
    }
    let sent = retried_with(world, &mut archive, |archive| {
        make_room(world, archive, wanted, &volumes)?;
        let session = (tags.clone(), domains::rule(&wanted.domains));
        store(world, archive, &mut volumes.frozen, wanted, session)
    });
    if let Ok(report) = &sent
        && !world.common.dry_run
    {
        remember(world, &archive, report, &volumes.origins, begun, &[]);
    }
    taken.keep(volumes, lock);
    let report = sent?;
    tell(world, &report);
    Ok(exit(&report, plan.problems.is_empty()))
}

/// Keeps what a run that began at that time did, for `nacre status`. `missing`: volumes that could not even be frozen, and why.
pub fn remember(
    world: &World<'_>,
    archive: &Archive,
    report: &SendReport,
    origins: &[Origin],
    begun: i64,
    missing: &[(String, String)],
) {
    let mut run = Run {
        begun: Some(begun),
        origins,
        ..Run::default()
    };
    let missing = missing.iter();
    run.failed
        .extend(missing.map(|(name, why)| (name.as_str(), why.clone())));
    for volume in &report.volumes {
        match &volume.outcome {
            VolumeOutcome::Stored | VolumeOutcome::Unchanged if !report.interrupted => {
                run.current.push(&volume.name);
            }
            VolumeOutcome::Failed(error) => run.failed.push((&volume.name, error.to_string())),
            _ => {}
        }
    }
    record::seen(world, archive, &run);
}

/// Lets old sessions go if that is wanted.
pub fn make_room(
    world: &World<'_>,
    archive: &mut Archive,
    wanted: &Send,
    volumes: &Volumes,
) -> Result<()> {
    let frozen = volumes.frozen.iter();
    let sizes: Vec<_> = frozen
        .map(|volume| (volume.name(), volume.size()))
        .collect();
    autoprune::before_send(world, archive, wanted, &sizes)
}

/// Sends frozen volumes to an archive, as a session with these tags; new volumes get the domains of the rule. Goes on after a connection that
/// broke, as often as the user wants.
pub fn store(
    world: &World<'_>,
    archive: &mut Archive,
    volumes: &mut [Box<dyn FrozenVolume>],
    wanted: &Send,
    (tags, rule): (Vec<Tag>, DomainRule),
) -> Result<SendReport> {
    archive.set_domain_rule(rule);
    let names = volumes.iter().map(|volume| volume.name());
    domains::tell_kept(world, archive, &wanted.domains, names);
    let mut options = SendOptions {
        threads: world.threads(),
        tags,
        send_unchanged: wanted.send_unchanged,
        dedup: wanted.dedup,
        always_dedup: vec![DOM0.to_owned()],
        dry_run: world.common.dry_run,
        compare_all: wanted.remap,
        ..SendOptions::default()
    };
    let around = Surroundings {
        clock: world.clock(),
        monitor: world.monitor(),
        stop: world.stop(),
    };
    // What was committed before a connection broke is in the archive, as an unfinished session; the same snapshots are compared with it.
    let mut last = Try::default();
    continued(world, archive, |archive| {
        let sent = backup::send_again(archive, volumes, &options, &around, &mut last);
        // Over a link that breaks often, only what is committed soon is not sent again.
        options.checkpoint_bytes = BROKEN_BYTES;
        options.checkpoint_time = BROKEN_TIME;
        sent
    })
}

/// The tags that were wished for; those that are to be asked for are asked for.
pub fn tags(world: &World<'_>, wishes: &[TagWish]) -> Result<Vec<Tag>> {
    let mut tags = Vec::new();
    for wish in wishes {
        match wish {
            TagWish::Given(tag) => tags.extend(Tag::new(tag.id.as_str(), &tag.description)),
            TagWish::Ask => {
                let answer = world
                    .prompt
                    .line("Tag for this session (id, or id,description; empty for none): ")
                    .map_err(unanswered)?;
                tags.extend(answer.map(|line| asked(&line)).transpose()?);
            }
        }
    }
    Ok(tags)
}

fn asked(line: &str) -> Result<Tag> {
    let (id, description) = line.split_once(',').unwrap_or((line, ""));
    Tag::new(id.trim(), description.trim()).ok_or_else(|| {
        Error::refused(
            "that is no tag",
            "A tag is printable, without space, `,`, `=` and `^`.",
        )
    })
}

/// Says what a run did.
pub fn tell(world: &World<'_>, report: &SendReport) {
    for volume in &report.volumes {
        if let VolumeOutcome::Failed(error) = &volume.outcome {
            let text = sentence(&Error::Source(error.clone()));
            world.monitor().error(&format!("{}: {text}", volume.name));
        }
    }
    let volumes = report.volumes.iter().map(|volume| VolumeSummary {
        volume: volume.name.clone(),
        size: volume.size,
        outcome: volume.outcome.for_monitor(),
        counts: volume.counts,
    });
    world.monitor().summary(&Summary {
        activity: Activity::Send,
        session: report.session.as_ref().map(|(_, name)| name.clone()),
        dry_run: world.common.dry_run,
        volumes: volumes.collect(),
        elapsed: report.elapsed,
    });
    if report.interrupted {
        let kept = match &report.session {
            Some((_, name)) => format!(
                "interrupted: what was sent is kept as the unfinished session {name}; \
                 the next send goes on from there"
            ),
            None => "interrupted: nothing was sent yet".to_owned(),
        };
        world.monitor().warning(&kept);
    }
}

/// How it ended. `all_opened`: nothing was missing from the start.
pub fn exit(report: &SendReport, all_opened: bool) -> Exit {
    if report.interrupted {
        Exit::Interrupted
    } else if report.all_failed() {
        Exit::Nothing
    } else if report.any_failed() || !all_opened {
        Exit::Part
    } else {
        Exit::Done
    }
}
