//! `diff`: where local volumes differ from a session.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nacre_core::head::Volume;

use super::end::{exit_of, sentence};
use super::opening::open_archive;
use super::receive::tell_damage;
use super::selection::{self, session, wish};
use super::storages::{self, Direction, choose};
use super::world::World;
use crate::archive::{Archive, Damage, Error, Result, Sessions};
use crate::cli::{Diff, Exit, Local};
use crate::joints::{
    Activity, Changes, Counts, Frozen, FrozenVolume, Outcome, Ranges, RestoreGoal, SourceError,
    Summary, Task, VolumeNames, VolumeRange, VolumeSource, VolumeSummary,
};
use crate::report::text;
use crate::restore::{Compare, RestoreOptions, Version, Watch, differing_ids, restore};
use crate::source::PlainSource;

/// Differences are told in blocks of this size.
const BLOCK: usize = 4096;
/// Where a session has zeros, so much is read and looked through at a time.
const PIECE: usize = 1 << 20;

/// Compares volumes. Exit 3 if any differs.
pub fn run(world: &World<'_>, wanted: &Diff) -> Result<Exit> {
    let begun = Instant::now();
    let archive = open_archive(world)?;
    let sessions = archive.sessions()?;
    // A send would take the snapshots that are made here for left-overs, or this for left-overs those of a send.
    let _lock = match wanted.local {
        Local::None => None,
        _ => Some(archive.memory().dir().lock("diff")?),
    };
    let (frozen, problems) = freeze(world, &archive, wanted)?;
    let mut exit = Exit::Done;
    for problem in &problems {
        world.monitor().error(problem);
        exit = Exit::Part;
    }
    let mut summaries = Vec::new();
    for one in frozen {
        let ended = match one {
            Ok(volume) => compare(world, &archive, &sessions, volume.as_ref(), wanted)?,
            Err(error) => {
                world.monitor().error(&format!("{error}."));
                (None, Exit::Part)
            }
        };
        summaries.extend(ended.0);
        exit = exit.and(ended.1);
    }
    if summaries.is_empty() && exit == Exit::Part {
        return Ok(Exit::Nothing);
    }
    world.monitor().summary(&Summary {
        activity: Activity::Diff,
        session: None,
        dry_run: false,
        volumes: summaries,
        elapsed: begun.elapsed(),
    });
    Ok(exit)
}

/// What is compared, in the state of this moment.
fn freeze(world: &World<'_>, archive: &Archive, wanted: &Diff) -> Result<(Frozen, Vec<String>)> {
    let storages = storages::open(world, archive.id(), &wanted.local)?;
    let known = selection::names(archive);
    let (found, missing) = wanted.selection.resolve(&known);
    let mut problems: Vec<String> = missing
        .iter()
        .map(|name| format!("The archive has no volume {name}. See `nacre list`."))
        .collect();
    let meant = |name: &str| found.contains(&name);
    let imports = wanted.imports.iter().filter(|i| meant(i.volume.as_str()));
    let imports: Vec<_> = imports
        .map(|i| (i.volume.to_string(), i.path.clone()))
        .collect();
    let imported: Vec<&str> = imports.iter().map(|(name, _)| name.as_str()).collect();
    let mut frozen = PlainSource::new(imports.clone()).freeze(
        &imported
            .iter()
            .map(|name| VolumeNames::same(*name))
            .collect::<Vec<_>>(),
    )?;
    let choice = choose(
        &storages,
        &wanted.selection,
        &known,
        &imported,
        Direction::Send,
    );
    problems.extend(choice.problems);
    for (storage, mut names) in storages.iter().zip(choice.of_storage) {
        names.retain(|name| meant(&name.archive));
        if !names.is_empty() {
            frozen.extend(storage.pool.freeze(&names)?);
        }
    }
    Ok((frozen, problems))
}

type Ended = (Option<VolumeSummary>, Exit);

fn compare(
    world: &World<'_>,
    archive: &Archive,
    sessions: &Sessions,
    frozen: &dyn FrozenVolume,
    wanted: &Diff,
) -> Result<Ended> {
    let volume = archive.head().volume(frozen.name());
    let volume = volume.ok_or_else(|| Error::State("a volume is gone".to_owned()))?;
    let chosen = session(sessions, volume, &wish(&wanted.session)?, wanted.strict);
    let (chosen, at) = match chosen {
        Ok(chosen) => chosen,
        Err(error) => {
            world.monitor().error(&sentence(&error));
            return Ok((None, Exit::Part));
        }
    };
    let version = Version {
        root: at.root,
        size: at.size,
    };
    let progress = world.monitor().begin(&Task {
        activity: Activity::Diff,
        volume: volume.name.clone(),
        total: Some(frozen.size().max(at.size)),
    });
    let watch = Watch {
        progress: &progress,
        stop: world.stop(),
    };
    let result = if wanted.quick {
        let chunks = to_look_at(archive, sessions, volume, frozen, version);
        let (nodes, ids) = (archive.nodes(), archive.volume_ids(volume));
        let found = differing_ids(&nodes, &ids, version, frozen, &chunks, watch);
        found.map(|ranges| (ranges, Damage::default()))
    } else {
        by_content(world, archive, volume, version, frozen, watch)
    };
    let result = archive.unless_given_away(result, |(_, damage)| !damage.is_empty());
    let name = format!("{}, session {}", volume.name, chosen.name);
    let (outcome, exit) = match result {
        Ok((ranges, damage)) => {
            let different = ranges.iter().map(|range| range.end - range.start).sum();
            progress.add(Counts {
                changed: different,
                ..Counts::default()
            });
            tell(world, &name, frozen.size(), at.size, &ranges);
            tell_damage(world, &volume.name, &chosen.name.to_string(), &damage);
            ended(different, at.size != frozen.size(), &damage)
        }
        Err(Error::Source(error)) => {
            world.monitor().error(&format!("{name}: {error}."));
            (Outcome::Failed(error.to_string()), Exit::Part)
        }
        Err(error) => {
            let exit = exit_of(&error);
            world
                .monitor()
                .end(&progress, &Outcome::Failed(error.to_string()));
            return if exit == Exit::Nothing {
                Err(error)
            } else {
                Ok((None, exit))
            };
        }
    };
    world.monitor().end(&progress, &outcome);
    let summary = VolumeSummary {
        volume: volume.name.clone(),
        size: frozen.size(),
        outcome,
        // What would have been written was compared instead.
        counts: Counts {
            written: 0,
            ..progress.counts()
        },
    };
    Ok((Some(summary), exit))
}

fn ended(different: u64, resized: bool, damage: &Damage) -> (Outcome, Exit) {
    if !damage.is_empty() {
        let lost = format!("{} cannot be compared", text::size(damage.bytes()));
        return (Outcome::Partly(lost), Exit::Integrity);
    }
    if different == 0 && !resized {
        return (Outcome::Unchanged, Exit::Done);
    }
    let what = format!("{} differ", text::size(different));
    (Outcome::Partly(what), Exit::Part)
}

fn tell(world: &World<'_>, name: &str, here: u64, there: u64, ranges: &[VolumeRange]) {
    if here != there {
        world.monitor().warning(&format!(
            "{name}: {here} bytes long here, {there} in the session"
        ));
    }
    for range in ranges {
        world.monitor().warning(&format!(
            "{name}: bytes {}..{} differ",
            range.start, range.end
        ));
    }
}

/// The chunks that may differ: if the session is the one of the local snapshot, those that changed since; otherwise all.
fn to_look_at(
    archive: &Archive,
    sessions: &Sessions,
    volume: &Volume,
    frozen: &dyn FrozenVolume,
    version: Version,
) -> Arc<[Range<u64>]> {
    let chunk_size = archive.chunk_size() as u64;
    let size = frozen.size().max(version.size);
    let everything = std::iter::once(0..size.div_ceil(chunk_size));
    let of_snapshot = sessions.snapshot_of(volume);
    let same = of_snapshot.filter(|(_, at, _)| at.root == version.root && at.size == version.size);
    let known = same.filter(|_| version.size == frozen.size());
    match known.map(|(_, _, identity)| frozen.changes_since(identity)) {
        Some(Ok(Changes::Ranges(ranges))) => {
            let mut chunks = Ranges::new();
            for range in Ranges::of(&ranges).clip(size).as_slice() {
                chunks.push(VolumeRange {
                    start: range.start / chunk_size,
                    end: range.end.div_ceil(chunk_size),
                });
            }
            let chunks = chunks.as_slice().iter();
            chunks.map(|range| range.start..range.end).collect()
        }
        _ => everything.filter(|range| !range.is_empty()).collect(),
    }
}

/// Fetches the whole session, as a restore would, and compares instead of writing.
fn by_content(
    world: &World<'_>,
    archive: &Archive,
    volume: &Volume,
    version: Version,
    frozen: &dyn FrozenVolume,
    watch: Watch<'_>,
) -> Result<(Vec<VolumeRange>, Damage)> {
    let goal = Comparison {
        frozen,
        found: Mutex::default(),
    };
    let options = RestoreOptions {
        threads: world.threads(),
        compare: Compare::Nothing,
    };
    let ids = archive.volume_ids(volume);
    let report = restore(&archive.nodes(), &ids, version, &goal, options, watch)?;
    // What is here behind the session's end differs if there is anything at all.
    goal.zero(VolumeRange {
        start: version.size,
        end: frozen.size().max(version.size),
    })?;
    Ok((goal.found(), report.damage))
}

/// Takes a session as if it were to be written, and remembers where the volume differs from it.
struct Comparison<'a> {
    frozen: &'a dyn FrozenVolume,
    found: Mutex<Vec<VolumeRange>>,
}

impl Comparison<'_> {
    fn found(self) -> Vec<VolumeRange> {
        let found = self.found.into_inner();
        Ranges::of(&found.unwrap_or_else(PoisonError::into_inner)).into_vec()
    }

    fn compare(&self, offset: u64, here: &[u8], there: &[u8]) {
        let blocks = here.chunks(BLOCK).zip(there.chunks(BLOCK));
        for (number, (here, there)) in blocks.enumerate() {
            if here != there {
                let start = offset + (number * BLOCK) as u64;
                let end = start + here.len() as u64;
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                match found.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => found.push(VolumeRange { start, end }),
                }
            }
        }
    }
}

impl RestoreGoal for Comparison<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::result::Result<(), SourceError> {
        let mut here = vec![0; bytes.len()];
        self.read_at(offset, &mut here)?;
        self.compare(offset, &here, bytes);
        Ok(())
    }

    fn zero(&self, range: VolumeRange) -> std::result::Result<(), SourceError> {
        let mut here = vec![0; PIECE];
        let zeros = vec![0; PIECE];
        let mut at = range.start;
        while at < range.end {
            let Some(data) = self.frozen.next_data(at)? else {
                return Ok(());
            };
            // Blocks are counted from the beginning of the volume.
            let start = data.start.max(at) / BLOCK as u64 * BLOCK as u64;
            at = start.max(range.start);
            if at >= range.end {
                return Ok(());
            }
            let end = data.end.min(range.end).min(at + PIECE as u64);
            let length = usize::try_from(end - at).unwrap_or(PIECE);
            if let (Some(here), Some(zeros)) = (here.get_mut(..length), zeros.get(..length)) {
                self.frozen.read_at(at, here)?;
                self.compare(at, here, zeros);
            }
            at = end;
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::result::Result<(), SourceError> {
        if offset >= self.frozen.size() {
            buffer.fill(0);
            return Ok(());
        }
        self.frozen.read_at(offset, buffer)
    }

    fn starts_empty(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> std::result::Result<(), SourceError> {
        Ok(())
    }
}
