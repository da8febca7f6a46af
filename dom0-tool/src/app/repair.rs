//! `arch-check --repair`.

use super::arch_check::{exit, options, tell, watch};
use super::end::sentence;
use super::world::World;
use crate::archive::{Archive, Result};
use crate::cli::{ArchCheck, Exit};
use crate::entry;
use crate::joints::{FrozenVolume, VolumeNames, VolumeSource};
use crate::maintain::{self, Repaired};
use crate::report::{ascii_line, text};
use crate::source::PlainSource;

/// Mends what can be mended.
pub fn run(world: &World<'_>, archive: &mut Archive, wanted: &ArchCheck) -> Result<Exit> {
    let options = options(world, archive, wanted)?;
    let sources = sources(world, wanted);
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

/// Files and devices in which lost content may still be.
fn sources(world: &World<'_>, wanted: &ArchCheck) -> Vec<Box<dyn FrozenVolume>> {
    let imports = wanted.imports.iter();
    let plain = PlainSource::new(
        imports
            .map(|import| (import.volume.to_string(), import.path.clone()))
            .collect(),
    );
    let imports = wanted.imports.iter();
    let names: Vec<VolumeNames> = imports
        .map(|import| VolumeNames::same(import.volume.as_str()))
        .collect();
    let frozen = match plain.freeze(&names) {
        Ok(frozen) => frozen,
        Err(error) => vec![Err(error)],
    };
    let mut sources = Vec::new();
    for one in frozen {
        match one {
            Ok(source) => sources.push(source),
            Err(error) => world.monitor().error(&sentence(&error.into())),
        }
    }
    sources
}

fn tell_repaired(world: &World<'_>, done: &Repaired) {
    if world.common.json {
        let object = serde_json::json!({
            "event": "repair",
            "dry_run": world.common.dry_run,
            "pack_records": done.packs,
            "sessions": done.sessions,
            "records_gone": done.records_gone,
            "tree_pieces": done.pieces,
            "chunks_healed": done.healed,
            "chunks_marked": done.marked,
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
}
