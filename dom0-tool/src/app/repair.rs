//! `arch-check --repair`.

use super::arch_check::{exit, options, tell, watch};
use super::healing::{Here, Others};
use super::storages;
use super::world::World;
use crate::archive::{Archive, Result};
use crate::cli::{ArchCheck, Exit};
use crate::entry;
use crate::maintain::{self, Repaired};
use crate::report::{ascii_line, text};

/// Mends what can be mended.
pub fn run(
    world: &World<'_>,
    archive: &mut Archive,
    others: &Others<'_>,
    wanted: &ArchCheck,
) -> Result<Exit> {
    let options = options(world, archive, wanted)?;
    let id = archive.id();
    let here = Here {
        world,
        imports: &wanted.imports,
        storages: storages::open(world, id, &wanted.local)?,
    };
    // Only what is damaged is frozen, and other archives are opened only for it, when its turn comes.
    let sources = |volume: &str| {
        let mut places = here.of_volume(volume);
        places.extend(others.of_volume(id, volume));
        places
    };
    let dry_run = world.common.dry_run;
    let report = maintain::repair(archive, &options, &sources, dry_run, watch(world))?;
    tell(world, &report.found);
    tell_repaired(world, &report.done);
    if dry_run {
        return Ok(exit(&report.found));
    }
    // What was marked as lost is lost: whoever repairs is to hear it once more.
    Ok(if report.done.marked > 0 || report.done.records_gone > 0 {
        Exit::Integrity
    } else {
        Exit::Done
    })
}

fn tell_repaired(world: &World<'_>, done: &Repaired) {
    if world.common.json {
        let sources = done.sources.iter().map(|((volume, place), chunks)| {
            serde_json::json!({"volume": volume, "from": place, "chunks": chunks})
        });
        let object = serde_json::json!({
            "event": "repair",
            "dry_run": world.common.dry_run,
            "pack_records": done.packs,
            "sessions": done.sessions,
            "records_gone": done.records_gone,
            "tree_pieces": done.pieces,
            "chunks_healed": done.healed,
            "chunks_marked": done.marked,
            "healed_from": sources.collect::<Vec<_>>(),
            "packs_corrected": done.corrected,
            "headers": done.headers,
            "heads": done.heads,
        });
        entry::show(&ascii_line(&object));
        return;
    }
    let begin = if world.common.dry_run {
        "would be "
    } else {
        ""
    };
    if done.is_nothing() {
        world.monitor().note("There was nothing to repair.");
        return;
    }
    let count = |number: u64, one: &str, many: &str| {
        text::count(usize::try_from(number).unwrap_or(usize::MAX), one, many)
    };
    let lines = [
        (
            done.packs,
            count(done.packs, "pack record", "pack records"),
            "put together anew",
        ),
        (
            done.sessions,
            count(done.sessions, "session", "sessions"),
            "put together anew, under new names and without tags",
        ),
        (
            done.records_gone,
            count(done.records_gone, "range of records", "ranges of records"),
            "taken out because they cannot be read",
        ),
        (
            done.pieces,
            count(
                done.pieces,
                "piece of a volume's index",
                "pieces of volumes' index",
            ),
            "found again, bit for bit",
        ),
        (
            done.healed,
            count(done.healed, "chunk", "chunks"),
            "healed with the same content from elsewhere",
        ),
        (
            done.marked,
            count(done.marked, "chunk", "chunks"),
            "marked as lost",
        ),
        (
            done.corrected,
            count(done.corrected, "record", "records"),
            "of what may be freed corrected",
        ),
        (
            done.headers,
            count(done.headers, "copy of the header", "copies of the header"),
            "written anew",
        ),
    ];
    let lines = lines
        .into_iter()
        .chain([(done.heads, "the head".to_owned(), "written anew")]);
    for (number, what, became) in lines {
        if number > 0 {
            world.monitor().note(&format!("{what} {begin}{became}"));
        }
    }
    for ((volume, place), chunks) in &done.sources {
        let what = count(*chunks, "chunk", "chunks");
        let verb = match (world.common.dry_run, *chunks) {
            (true, _) => "would come",
            (false, 1) => "comes",
            (false, _) => "come",
        };
        world
            .monitor()
            .note(&format!("{what} of volume {volume} {verb} from {place}"));
    }
}
