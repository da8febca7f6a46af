//! `arch-check`.

use serde_json::{Value, json};

use super::healing::Others;
use super::opening::{changing, committed, open_archive, open_to_write, retried};
use super::room::Room;
use super::selection::wish;
use super::world::{World, civil};
use crate::archive::{Archive, Error, Result, Wish};
use crate::cli::{ArchCheck, CheckAction, DataSlice, Exit, VolumeName};
use crate::entry;
use crate::joints::Level;
use crate::maintain::{
    self, Books, CheckOptions, CheckReport, CheckWatch, DataMemory, From, LostRange, Slice,
};
use crate::report::{ascii_line, text};

/// Looks for damage. A repair may look for lost content at the targets `beside`.
pub fn run(world: &World<'_>, beside: &[World<'_>], wanted: &ArchCheck) -> Result<Exit> {
    match wanted.action {
        CheckAction::Repair => {
            let others = Others::new(beside);
            // What was mended before a connection broke is mended.
            return world.tries().until(|| {
                retried(world, || {
                    let (mut archive, _lock) = open_to_write(world, "arch-check --repair")?;
                    super::repair::run(world, &mut archive, &others, wanted)
                })
            });
        }
        CheckAction::Clean => {
            return changing(world, "arch-check --clean", |archive| clean(world, archive));
        }
        CheckAction::UpgradeFormat => return upgrade(world),
        CheckAction::Look => {}
    }
    let archive = open_archive(world)?;
    let options = options(world, &archive, wanted)?;
    let report = maintain::check(&archive, &options, watch(world))?;
    tell(world, &report);
    if report.is_damaged() && !archive.is_newest()? {
        world.monitor().warning(
            "another writer has changed the archive meanwhile, and what seems lost may have been given away; run the same command again",
        );
    }
    if !archive.unreadable_heads()?.is_empty() {
        return Ok(exit(&report).and(Exit::Integrity));
    }
    Ok(exit(&report))
}

/// Removes packs that belong to nothing: first a head says so, then they go.
fn clean(world: &World<'_>, archive: &mut Archive) -> Result<Exit> {
    let orphans = archive.orphans()?;
    let bytes = orphans.iter().map(|orphan| orphan.size).sum();
    let what = format!(
        "{} of {} that {} to no session",
        text::count(orphans.len(), "pack", "packs"),
        text::size(bytes),
        if orphans.len() == 1 {
            "belongs"
        } else {
            "belong"
        },
    );
    if orphans.is_empty() {
        world
            .monitor()
            .note("There is nothing that an interrupted run left.");
    } else if world.common.dry_run {
        world.monitor().note(&format!("would remove {what}"));
        return Ok(Exit::Done);
    } else {
        committed(world, archive, |archive| {
            archive.give_up_orphans(&orphans, world.clock())
        })?;
        world.monitor().note(&format!("{what}: removed"));
    }
    if !world.common.dry_run {
        // Also what a freeing that was cut short has left.
        Room::everywhere().made(world, archive)?;
    }
    Ok(Exit::Done)
}

/// There is one version of the format yet. A later one is written by the first commit after its flag is set in the header, which belongs here.
fn upgrade(world: &World<'_>) -> Result<Exit> {
    open_archive(world)?;
    world.monitor().note(
        "The archive has version 1 of the format, the only one there is: there is nothing to do.",
    );
    Ok(Exit::Done)
}

/// How a check ends that found this.
pub fn exit(report: &CheckReport) -> Exit {
    if report.is_damaged() {
        Exit::Integrity
    } else {
        Exit::Done
    }
}

/// Who watches.
pub fn watch<'a>(world: &'a World<'_>) -> CheckWatch<'a> {
    CheckWatch {
        monitor: world.monitor(),
        clock: world.clock(),
        stop: world.stop(),
    }
}

/// What the command line asks for.
pub fn options(world: &World<'_>, archive: &Archive, wanted: &ArchCheck) -> Result<CheckOptions> {
    let head = archive.head();
    let left_out = |name: &str| wanted.excluded.iter().any(|out| out.as_str() == name);
    for name in wanted.volumes.iter().map(VolumeName::as_str) {
        if head.volume(name).is_none() {
            return Err(Error::refused(
                format!("the archive has no volume {name}"),
                "See `nacre list` for those it has.",
            ));
        }
    }
    let meant = |name: &str| {
        let named = wanted.volumes.iter().any(|volume| volume.as_str() == name);
        (named || wanted.volumes.is_empty()) && !left_out(name)
    };
    let all = wanted.volumes.is_empty() && wanted.excluded.is_empty();
    let chosen = head.volumes.iter().filter(|volume| meant(&volume.name));
    let from = match wanted.session.as_ref().map(wish).transpose()? {
        None => From::All,
        Some(Wish::Newest) => From::Newest,
        Some(Wish::Named(name)) => From::Date(name),
        Some(Wish::Tagged(tag)) => {
            let sessions = archive.sessions()?;
            let tagged = sessions.iter().rfind(|(_, session)| session.has_tag(&tag));
            let tagged = tagged.map(|(_, session)| From::Date(session.name));
            tagged.ok_or_else(|| {
                Error::refused(
                    format!("no session has the tag {tag}"),
                    "See `nacre list --tag` for those there are.",
                )
            })?
        }
    };
    Ok(CheckOptions {
        volumes: (!all).then(|| chosen.map(|volume| volume.id).collect()),
        from,
        data: wanted.data.map(|slice| match slice {
            DataSlice::All => Slice::All,
            DataSlice::Percent(percent) => Slice::Percent(percent),
            DataSlice::Part { part, of } => Slice::Part { part, of },
        }),
        threads: world.threads(),
    })
}

/// Says what was found: every range, then the sum of it.
pub fn tell(world: &World<'_>, report: &CheckReport) {
    for sentence in &report.index {
        world.monitor().error(sentence);
    }
    for lost in &report.lost {
        if lost.known {
            world.monitor().note(&range_text(lost));
        } else {
            world.monitor().error(&range_text(lost));
        }
    }
    if let Some(books) = &report.books {
        tell_books(world, books);
    } else if !report.index.is_empty() || !report.lost.is_empty() {
        world.monitor().message(
            Level::Detail,
            "Counters and dead ranges were not recounted.",
        );
    }
    if report.orphans.objects > 0 {
        let size = text::size(report.orphans.bytes);
        world.monitor().note(&match report.orphans.objects {
            1 => format!("1 pack of {size} belongs to no session: an interrupted run left it"),
            number => {
                format!("{number} packs of {size} belong to no session: interrupted runs left them")
            }
        });
    }
    if world.common.json {
        entry::show(&ascii_line(&as_json(world, report)));
    } else {
        world.monitor().note(&sum(report));
        if let Some(memory) = memory_text(world, report.memory) {
            world.monitor().note(&memory);
        }
    }
}

/// How old what this machine knows of the data is; `None` where there is no data.
fn memory_text(world: &World<'_>, memory: DataMemory) -> Option<String> {
    let DataMemory {
        packs,
        never,
        oldest,
    } = memory;
    if packs == 0 {
        return None;
    }
    let since = oldest.map(|seconds| civil(world, seconds));
    Some(match (never, since) {
        (0, Some(since)) => format!("All data was read on this machine since {since}."),
        (never, Some(since)) if never < packs => format!(
            "Of {}, {never} not read on this machine yet, the others since {since}.",
            text::count(packs, "pack of data", "packs of data")
        ),
        _ => "None of the data was read on this machine by a check of all volumes yet.".to_owned(),
    })
}

fn tell_books(world: &World<'_>, books: &Books) {
    if !books.needed.is_empty() {
        world.monitor().error(&format!(
            "{} named as dead hold what a session needs: the next prune could free it",
            text::count(books.needed.len(), "pack with ranges", "packs with ranges"),
        ));
    }
    if !books.undercounted.is_empty() {
        world.monitor().error(&format!(
            "the run counters of {} are too low: the next prune could free what a session needs",
            text::count(books.undercounted.len(), "pack", "packs"),
        ));
    }
    if books.unmarked > 0 || !books.overcounted.is_empty() {
        world.monitor().message(
            Level::Detail,
            &format!(
                "{} are needed by no session and not marked as dead",
                text::size(books.unmarked)
            ),
        );
    }
}

/// `volume V, sessions A to B: bytes 0..4096 are lost: why`.
pub fn range_text(lost: &LostRange) -> String {
    let sessions = if lost.sessions == 1 {
        format!("session {}", lost.newest)
    } else {
        format!(
            "{} sessions {} to {}",
            lost.sessions, lost.oldest, lost.newest
        )
    };
    format!(
        "volume {}, {sessions}: bytes {}..{} are lost: {}",
        lost.volume, lost.range.start, lost.range.end, lost.why
    )
}

fn sum(report: &CheckReport) -> String {
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let sessions = text::count(number(report.sessions), "version", "versions");
    let fresh = report.lost.iter().filter(|lost| !lost.known).count();
    let known = report.lost.len().saturating_sub(fresh);
    let found = if report.is_damaged() {
        format!(
            "DAMAGED: {} lost, {} of the archive's own records",
            text::count(fresh, "range", "ranges"),
            report.index.len()
        )
    } else if known > 0 {
        let ranges = text::count(known, "range was", "ranges were");
        format!("no new damage found; {ranges} lost before")
    } else {
        "no damage found".to_owned()
    };
    let data = match report.chunks {
        0 => "the structure only; --data reads the content too".to_owned(),
        chunks => format!("{} read", text::count(number(chunks), "chunk", "chunks")),
    };
    format!("{sessions} of volumes looked at, {data}: {found}.")
}

fn as_json(world: &World<'_>, report: &CheckReport) -> Value {
    let ranges = report.lost.iter().map(|lost| {
        json!({
            "volume": lost.volume,
            "oldest": lost.oldest.to_string(),
            "newest": lost.newest.to_string(),
            "sessions": lost.sessions,
            "start": lost.range.start,
            "end": lost.range.end,
            "why": lost.why,
            "known": lost.known,
        })
    });
    let aliases =
        |list: &[nacre_core::ids::Alias]| -> Vec<u64> { list.iter().map(|a| a.0).collect() };
    let books = report.books.as_ref().map(|books| {
        json!({
            "needed_but_dead": aliases(&books.needed),
            "undercounted": aliases(&books.undercounted),
            "overcounted": aliases(&books.overcounted),
            "unmarked_bytes": books.unmarked,
        })
    });
    json!({
        "event": "check",
        "damaged": report.is_damaged(),
        "lost": ranges.collect::<Vec<_>>(),
        "index": report.index,
        "books": books,
        "orphans": {"objects": report.orphans.objects, "bytes": report.orphans.bytes},
        "versions": report.sessions,
        "chunks_read": report.chunks,
        "data_packs": report.memory.packs,
        "never_read": report.memory.never,
        "read_since": report.memory.oldest.map(|seconds| civil(world, seconds)),
    })
}
