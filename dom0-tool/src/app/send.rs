//! `send`.

use nacre_core::session::Tag;

use super::autoprune;
use super::domains;
use super::end::sentence;
use super::opening::{open_to_write, unanswered};
use super::selection;
use super::storages::{self, Direction, Storage, choose};
use super::world::World;
use crate::archive::{Archive, Error, Result};
use crate::backup::{self, SendOptions, SendReport, Surroundings, VolumeOutcome};
use crate::cli::{Exit, Send, TagWish};
use crate::joints::{
    Activity, FrozenVolume, KeyPrompt, SourceError, Summary, VolumeNames, VolumeSource,
    VolumeSummary,
};
use crate::source::PlainSource;

/// Stores a session. The archive is opened first, so that whatever hinders it is known before any snapshot is made.
pub fn run(world: &World<'_>, wanted: &Send) -> Result<Exit> {
    let tags = tags(world, &wanted.tags)?;
    let (mut archive, _lock) = open_to_write(world, "send")?;
    let storages = storages::open(world, archive.id(), &wanted.local)?;
    let mut plan = Plan::make(&archive, &storages, wanted)?;
    let (mut volumes, unreadable) = plan.freeze();
    plan.problems
        .extend(unreadable.iter().map(|error| format!("{error}.")));
    for problem in &plan.problems {
        world.monitor().error(problem);
    }
    if volumes.is_empty() {
        return Ok(Exit::Nothing);
    }
    let sizes = volumes.iter().map(|volume| (volume.name(), volume.size()));
    autoprune::before_send(world, &mut archive, wanted, &sizes.collect::<Vec<_>>())?;
    let report = store(world, &mut archive, &mut volumes, wanted, tags)?;
    tell(world, &report);
    Ok(exit(&report, plan.problems.is_empty()))
}

/// Sends frozen volumes to an archive.
fn store(
    world: &World<'_>,
    archive: &mut Archive,
    volumes: &mut [Box<dyn FrozenVolume>],
    wanted: &Send,
    tags: Vec<Tag>,
) -> Result<SendReport> {
    archive.set_domain_rule(domains::rule(&wanted.domains));
    let names = volumes.iter().map(|volume| volume.name());
    domains::tell_kept(world, archive, &wanted.domains, names);
    let options = SendOptions {
        threads: world.threads(),
        tags,
        send_unchanged: wanted.send_unchanged,
        dedup: wanted.dedup,
        dry_run: world.common.dry_run,
        compare_all: wanted.remap,
        ..SendOptions::default()
    };
    let around = Surroundings {
        clock: world.clock(),
        monitor: world.monitor(),
        stop: world.stop(),
    };
    backup::send(archive, volumes, &options, &around)
}

/// What is to be frozen, storage by storage, and what is missing.
struct Plan<'a> {
    sources: Vec<(&'a dyn VolumeSource, Vec<VolumeNames>)>,
    imports: (PlainSource, Vec<VolumeNames>),
    problems: Vec<String>,
}

impl<'a> Plan<'a> {
    fn make(archive: &Archive, storages: &'a [Storage], wanted: &Send) -> Result<Self> {
        let known = selection::names(archive);
        let imported: Vec<&str> = wanted.imports.iter().map(|i| i.volume.as_str()).collect();
        let mut choice = choose(
            storages,
            &wanted.selection,
            &known,
            &imported,
            Direction::Send,
        );
        let mut sources = Vec::new();
        for (storage, names) in storages.iter().zip(choice.of_storage) {
            let there = storage.pool.list()?;
            let (here, missing): (Vec<VolumeNames>, Vec<VolumeNames>) = names
                .into_iter()
                .partition(|name| there.contains(&name.local));
            let missing = missing.iter();
            let missing = missing.map(|name| not_here(&known, storage, name));
            choice.problems.extend(missing);
            sources.push((storage.pool.as_ref() as &dyn VolumeSource, here));
        }
        Ok(Self {
            sources,
            imports: imports(wanted),
            problems: choice.problems,
        })
    }

    /// Freezes all volumes of all storages, close together. What cannot be frozen does not hold up the others.
    fn freeze(&self) -> (Vec<Box<dyn FrozenVolume>>, Vec<SourceError>) {
        let (mut volumes, mut errors) = (Vec::new(), Vec::new());
        let (plain, files) = &self.imports;
        let sources = self.sources.iter().map(|(source, names)| (*source, names));
        let all = sources.chain([(plain as &dyn VolumeSource, files)]);
        for (source, names) in all.filter(|(_, names)| !names.is_empty()) {
            match source.freeze(names) {
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
        }
        (volumes, errors)
    }
}

fn not_here(known: &[String], storage: &Storage, name: &VolumeNames) -> String {
    let VolumeNames { archive, local } = name;
    let place = &storage.place;
    if known.contains(archive) {
        format!(
            "Volume {archive} is not in {place}, and is not sent. \
             Leave it out with --volex, or remove it from the archive with `nacre delete`."
        )
    } else if archive == local {
        format!("There is no volume {archive}, neither in {place} nor in the archive.")
    } else {
        format!("There is no volume {local} in {place}, which was to become {archive}.")
    }
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

/// Files and devices that are read as they are.
fn imports(wanted: &Send) -> (PlainSource, Vec<VolumeNames>) {
    let files = wanted.imports.iter();
    let files = files.map(|import| (import.volume.as_str().to_owned(), import.path.clone()));
    let names = wanted.imports.iter();
    let names = names.map(|import| VolumeNames::same(import.volume.as_str()));
    (PlainSource::new(files.collect()), names.collect())
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
