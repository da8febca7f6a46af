//! `send`.

use nacre_core::session::Tag;

use super::end::sentence;
use super::opening::open_to_write;
use super::opening::unanswered;
use super::world::World;
use crate::archive::{Error, Result};
use crate::backup::{self, SendOptions, SendReport, Surroundings, VolumeOutcome};
use crate::cli::{Exit, Send, TagWish};
use crate::joints::{
    Activity, FrozenVolume, KeyPrompt, SourceError, Summary, VolumeNames, VolumeSource,
    VolumeSummary,
};
use crate::source::PlainSource;

/// Stores a session.
pub fn run(world: &World<'_>, wanted: &Send) -> Result<Exit> {
    let tags = tags(world, &wanted.tags)?;
    let (mut volumes, unreadable) = freeze(wanted);
    for error in &unreadable {
        world.monitor().error(&format!("{error}."));
    }
    if volumes.is_empty() {
        return Ok(Exit::Nothing);
    }
    let (mut archive, _lock) = open_to_write(world, "send")?;
    let options = SendOptions {
        threads: world.threads(),
        tags,
        send_unchanged: wanted.send_unchanged,
        dry_run: world.common.dry_run,
        ..SendOptions::default()
    };
    let around = Surroundings {
        clock: world.clock(),
        monitor: world.monitor(),
        stop: world.stop(),
    };
    let report = backup::send(&mut archive, &mut volumes, &options, &around)?;
    tell(world, &report);
    Ok(exit(&report, unreadable.is_empty()))
}

fn tags(world: &World<'_>, wishes: &[TagWish]) -> Result<Vec<Tag>> {
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

/// Opens what is to be sent; what cannot be opened is told apart.
fn freeze(wanted: &Send) -> (Vec<Box<dyn FrozenVolume>>, Vec<SourceError>) {
    let files = wanted.imports.iter();
    let files = files.map(|import| (import.volume.as_str().to_owned(), import.path.clone()));
    let source = PlainSource::new(files.collect());
    let names: Vec<VolumeNames> = wanted
        .imports
        .iter()
        .map(|import| VolumeNames::same(import.volume.as_str()))
        .collect();
    let (mut volumes, mut errors) = (Vec::new(), Vec::new());
    match source.freeze(&names) {
        Ok(frozen) => {
            for one in frozen {
                match one {
                    Ok(volume) => volumes.push(volume),
                    Err(error) => errors.push(error),
                }
            }
        }
        Err(error) => errors.push(error),
    }
    (volumes, errors)
}

fn tell(world: &World<'_>, report: &SendReport) {
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

fn exit(report: &SendReport, all_opened: bool) -> Exit {
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
