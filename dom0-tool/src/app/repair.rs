//! `arch-check --repair`.

use super::arch_check::{exit, options, tell, watch};
use super::end::sentence;
use super::storages::{self, Direction, Storage};
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
    let storages = storages::open(world, archive.id(), &wanted.local)?;
    // Only what is damaged is frozen, when its turn comes.
    let sources = |volume: &str| of_volume(world, wanted, &storages, volume);
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

/// What there is of a volume in files, devices and local storage. What cannot be had is told, and holds up nothing.
fn of_volume(
    world: &World<'_>,
    wanted: &ArchCheck,
    storages: &[Storage],
    volume: &str,
) -> Vec<Box<dyn FrozenVolume>> {
    let mut found = Vec::new();
    let imports = wanted.imports.iter();
    for import in imports.filter(|import| import.volume.as_str() == volume) {
        let plain = PlainSource::new(vec![(volume.to_owned(), import.path.clone())]);
        found.push(plain.freeze(&[VolumeNames::same(volume)]));
    }
    for storage in storages {
        let names = match storage.names(Direction::Send) {
            Some(names) => names,
            None => vec![VolumeNames::same(volume)],
        };
        let here = storage.pool.list().map(|here| {
            let meant =
                |names: &VolumeNames| names.archive == volume && here.contains(&names.local);
            names.into_iter().filter(meant).collect::<Vec<_>>()
        });
        found.push(here.and_then(|names| match names.as_slice() {
            [] => Ok(Vec::new()),
            names => storage.pool.freeze(names),
        }));
    }
    let each = found.into_iter().flat_map(|frozen| match frozen {
        Ok(frozen) => frozen,
        Err(error) => vec![Err(error)],
    });
    let mut volumes = Vec::new();
    for one in each {
        match one {
            Ok(volume) => volumes.push(volume),
            Err(error) => world.monitor().error(&sentence(&error.into())),
        }
    }
    volumes
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
