//! `arch-check`: the archive's structure, and as much of its data as is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use nacre_core::counters::Counters;
use nacre_core::head::Volume;
use nacre_core::ids::{Alias, HeadHash, PackName, VolumeId};
use nacre_core::object_name::{Copy, ObjectName};
use nacre_core::pack::{PackKind, PackRecord, PackState};
use nacre_core::place::{Root, TreeKind};
use nacre_core::session::Session;
use nacre_core::session_name::SessionName;
use nacre_core::tree::RecordTree;

use super::data::DataCheck;
use super::findings::{CheckReport, DataMemory, Grouping};
use super::objects::Objects;
use super::recount;
use super::slice::{Slice, Verified, touches};
use super::survey::{Bad, Point, Survey};
use crate::archive::{Archive, Error, Nodes, Result, Sessions, VerifiedVersions};
use crate::joints::{Activity, Clock, Monitor, Outcome, Progress, Task};

/// Where a check begins; it goes on to older sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// All sessions.
    #[default]
    All,
    /// The newest session of each volume, and no other.
    Newest,
    /// The newest session that is not younger than this, and all before it.
    Date(SessionName),
}

/// What is checked.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// These volumes only.
    pub volumes: Option<Vec<VolumeId>>,
    /// From which session on backwards.
    pub from: From,
    /// How much of the data is read; `None`: the structure only.
    pub data: Option<Slice>,
    /// Number of threads that decode.
    pub threads: usize,
}

impl CheckOptions {
    /// Whether nothing is left out, so that what was read can be remembered and everything be recounted.
    fn whole(&self) -> bool {
        self.volumes.is_none() && self.from == From::All
    }
}

/// Who is told, and who may stop it.
#[derive(Clone, Copy)]
pub struct CheckWatch<'a> {
    /// Told how far it is.
    pub monitor: &'a dyn Monitor,
    /// For what is remembered.
    pub clock: &'a dyn Clock,
    /// Set when the user wants it to stop.
    pub stop: &'a AtomicBool,
}

/// Checks an archive. It never stops at damage; an error means that it could not go on.
pub fn check(
    archive: &Archive,
    options: &CheckOptions,
    watch: CheckWatch<'_>,
) -> Result<CheckReport> {
    Ok(look(archive, options, watch)?.report)
}

/// What a check found, and what a repair must know of it besides.
pub(super) struct Looked {
    pub(super) report: CheckReport,
    pub(super) objects: Objects,
    /// Items that were read and are bad.
    pub(super) bad: Bad,
}

pub(super) fn look(
    archive: &Archive,
    options: &CheckOptions,
    watch: CheckWatch<'_>,
) -> Result<Looked> {
    let objects = Objects::list(&archive.store())?;
    let mut report = CheckReport::default();
    let mut all_bad = Bad::new();
    let (sessions, lost) = archive.readable_sessions()?;
    for (numbers, error) in &lost {
        report.index.push(format!(
            "sessions with the numbers {} to {} cannot be read: {error}",
            numbers.start,
            numbers.end.saturating_sub(1)
        ));
    }
    check_plain_objects(archive, &mut report)?;
    let packs = check_trees(archive, &objects, &mut report)?;
    let mut verified = Verified::load(archive.memory())?;
    verified.keep(&packs);
    let slice = options.data.map(|slice| verified.choose(slice, &packs));
    for volume in &archive.head().volumes {
        let wanted = options.volumes.as_ref();
        if wanted.is_none_or(|wanted| wanted.contains(&volume.id)) {
            let one = OneVolume {
                archive,
                objects: &objects,
                sessions: &sessions,
                volume,
                options,
                slice: slice.as_ref(),
                watch,
            };
            let seen = one.check(&mut report, &mut all_bad)?;
            remember(archive, volume.id, &seen, &sessions, options, watch.clock)?;
        }
    }
    if let Some(slice) = slice.filter(|_| options.whole()) {
        verified.note(&slice, watch.clock.now().seconds);
        verified.save(archive.memory())?;
    }
    let (never, oldest) = verified.age(&packs);
    report.memory = DataMemory {
        packs: packs.len(),
        never,
        oldest,
    };
    if options.whole() && lost.is_empty() {
        let volumes = recount::by_volume(archive, &sessions);
        report.books = recount::recount(archive, &volumes, false, watch.stop)?;
    }
    Ok(Looked {
        report,
        objects,
        bad: all_bad,
    })
}

/// Notes of a volume's versions when they were read whole, and forgets those that are not whole any more.
fn remember(
    archive: &Archive,
    volume: VolumeId,
    seen: &[Seen],
    sessions: &Sessions,
    options: &CheckOptions,
    clock: &dyn Clock,
) -> Result<()> {
    let everything = options.data == Some(Slice::All);
    let mut versions = VerifiedVersions::load(archive.memory())?;
    let before = versions.clone();
    for one in seen.iter().filter(|one| everything || !one.whole) {
        let (point, now) = (&one.point, clock.now().seconds);
        versions.note(volume, &point.root, point.size, one.whole, now);
    }
    if versions != before {
        versions.save(archive.memory(), sessions)?;
    }
    Ok(())
}

/// The newest head and both copies of the header, as they lie in the store.
fn check_plain_objects(archive: &Archive, report: &mut CheckReport) -> Result<()> {
    let store = archive.store();
    let name = ObjectName::Head(archive.head().epoch);
    let head = store.get_whole(name, nacre_core::head::MAX_HEAD);
    let whole = |found: &[u8]| HeadHash::of(found) == archive.head_hash();
    tell(report, name, head.map_err(Error::Store), whole)?;
    let header = archive.header();
    for copy in [Copy::A, Copy::B] {
        let name = ObjectName::Header(header.description().generation, copy);
        let found = store.get_whole(name, 64 << 10).map_err(Error::Store);
        tell(report, name, found, |found| found == header.bytes())?;
    }
    Ok(())
}

fn tell(
    report: &mut CheckReport,
    name: ObjectName,
    found: Result<Option<Vec<u8>>>,
    is_right: impl Fn(&[u8]) -> bool,
) -> Result<()> {
    let fault = match found {
        Ok(Some(bytes)) if is_right(&bytes) => return Ok(()),
        Ok(Some(_)) => "it is not what was written".to_owned(),
        Ok(None) => "it is missing".to_owned(),
        Err(error) if error.is_damage() => error.to_string(),
        Err(error) => return Err(error),
    };
    report.index.push(format!("{name}: {fault}"));
    Ok(())
}

/// The trees of packs, counters and heads. Returns the data packs that hold something, with their sizes.
fn check_trees(
    archive: &Archive,
    objects: &Objects,
    report: &mut CheckReport,
) -> Result<BTreeMap<Alias, u64>> {
    let head = archive.head();
    let mut named: BTreeSet<PackName> = head.homes.iter().map(|home| home.name).collect();
    let mut data = BTreeMap::new();
    let mut unsure = false;
    tree(
        archive,
        TreeKind::Packs,
        head.packs,
        report,
        &mut unsure,
        |key, bytes| {
            let record = PackRecord::parse(bytes)?;
            if record.state != PackState::Moved {
                named.insert(record.name);
            }
            if record.state != PackState::Void
                && record.kind == PackKind::Data
                && !record.all_dead()
            {
                data.insert(Alias(key), record.size);
            }
            Ok(())
        },
    )?;
    if !unsure {
        report.orphans = objects.orphans(&named);
    }
    let ignore = &mut false;
    tree(
        archive,
        TreeKind::Counters,
        head.counters,
        report,
        ignore,
        |_, bytes| Counters::parse(bytes).map(drop),
    )?;
    tree(
        archive,
        TreeKind::Heads,
        head.history,
        report,
        ignore,
        |_, _| Ok(()),
    )?;
    Ok(data)
}

/// Reads every record of a tree.
fn tree(
    archive: &Archive,
    kind: TreeKind,
    root: Root,
    report: &mut CheckReport,
    unsure: &mut bool,
    mut parse: impl FnMut(u64, &[u8]) -> nacre_core::error::Result<()>,
) -> Result<()> {
    let what = match kind {
        TreeKind::Packs => "the table of packs",
        TreeKind::Counters => "the run counters",
        _ => "the history of heads",
    };
    let nodes = archive.nodes();
    let mut source: &Nodes = &nodes;
    let mut lost = Vec::new();
    let mut broken = Vec::new();
    let records = RecordTree { tree: kind, root };
    records.each_tolerant(&mut source, 0..u64::MAX, &mut lost, |key, bytes| {
        if let Err(error) = parse(key, &bytes) {
            broken.push((key..key.saturating_add(1), Error::damaged(what)(error)));
        }
    });
    lost.extend(broken);
    for (keys, error) in lost {
        if !error.is_damage() {
            return Err(error);
        }
        *unsure = true;
        let (first, last) = (keys.start, keys.end.saturating_sub(1));
        report
            .index
            .push(format!("{what}, numbers {first} to {last}: {error}"));
    }
    Ok(())
}

/// A version that was looked at.
struct Seen {
    point: Point,
    /// Whether nothing of it is lost.
    whole: bool,
}

/// One volume through its sessions.
struct OneVolume<'a> {
    archive: &'a Archive,
    objects: &'a Objects,
    sessions: &'a Sessions,
    volume: &'a Volume,
    options: &'a CheckOptions,
    slice: Option<&'a BTreeSet<Alias>>,
    watch: CheckWatch<'a>,
}

impl OneVolume<'_> {
    fn check(&self, report: &mut CheckReport, all_bad: &mut Bad) -> Result<Vec<Seen>> {
        let (points, chosen) = self.points();
        let progress = self.watch.monitor.begin(&Task {
            activity: Activity::Check,
            volume: self.volume.name.clone(),
            total: None,
        });
        let before = report.lost.len();
        let result = self.survey(&points, &chosen, &progress, report, all_bad);
        let fresh = |lost: &&super::LostRange| !lost.known;
        let outcome = match &result {
            Ok(_) => match report.lost.iter().skip(before).filter(fresh).count() {
                0 => Outcome::Done,
                1 => Outcome::Partly("1 range lost".to_owned()),
                ranges => Outcome::Partly(format!("{ranges} ranges lost")),
            },
            Err(error) => Outcome::Failed(error.to_string()),
        };
        self.watch.monitor.end(&progress, &outcome);
        result
    }

    /// The sessions that are meant, newest first.
    fn points(&self) -> (Vec<Point>, Vec<&Session>) {
        let all = self.sessions.of_volume(self.volume.id).rev();
        let meant = all.filter(|(_, session, _)| match self.options.from {
            From::Date(name) => session.name <= name,
            From::All | From::Newest => true,
        });
        let limit = match self.options.from {
            From::Newest => 1,
            _ => usize::MAX,
        };
        let point = |(seq, session, at): (_, _, &nacre_core::session::SessionVolume)| {
            let (root, size) = (at.root, at.size);
            (Point { seq, root, size }, session)
        };
        meant.take(limit).map(point).unzip()
    }

    fn survey(
        &self,
        points: &[Point],
        chosen: &[&Session],
        progress: &Progress,
        report: &mut CheckReport,
        all_bad: &mut Bad,
    ) -> Result<Vec<Seen>> {
        let nodes = self.archive.nodes();
        let mut survey = Survey {
            nodes: &nodes,
            objects: self.objects,
            bad: &Bad::new(),
        };
        report.sessions += points.len() as u64;
        let (mut bad, mut found, mut chunks) = (Bad::new(), (Vec::new(), Vec::new()), 0_u64);
        let everything = self.options.data == Some(Slice::All);
        if let Some(slice) = self.slice {
            let ids = self.archive.volume_ids(self.volume);
            let data = DataCheck {
                nodes: &nodes,
                ids: &ids,
                threads: self.options.threads,
                progress,
                stop: self.watch.stop,
            };
            bad = data.run(|give| {
                let mut each = |mut entries: super::survey::Entries| {
                    // All is all, also what lies in a pack that is wrongly said to be dead.
                    entries.retain(|(_, entry)| everything || touches(slice, entry));
                    chunks += entries.len() as u64;
                    give(entries)
                };
                found = self.grouped(&survey, points, chosen, &mut each)?;
                Ok(())
            })?;
        }
        if self.slice.is_none() || !bad.is_empty() {
            // What reading has found is put into its place among the sessions.
            survey.bad = &bad;
            let stop = self.watch.stop;
            found = self.grouped(&survey, points, chosen, &mut |_| {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                Ok(())
            })?;
        }
        all_bad.extend(bad);
        report.chunks += chunks;
        let (lost, seen) = found;
        report.lost.extend(lost);
        Ok(seen)
    }

    fn grouped(
        &self,
        survey: &Survey<'_>,
        points: &[Point],
        chosen: &[&Session],
        each: &mut dyn FnMut(super::survey::Entries) -> Result<()>,
    ) -> Result<(Vec<super::LostRange>, Vec<Seen>)> {
        let chunk_size = self.archive.chunk_size() as u64;
        let mut seen = Vec::new();
        let mut grouping = Grouping::new(&self.volume.name, chunk_size);
        survey.run(points, each, &mut |index, lost| {
            if let (Some(point), Some(session)) = (points.get(index), chosen.get(index)) {
                grouping.session(session.name, point.size, &lost.hits);
                let behind = |chunk: u64| chunk.saturating_mul(chunk_size) >= point.size;
                seen.push(Seen {
                    point: *point,
                    whole: lost.hits.iter().all(|(chunks, _)| behind(chunks.start)),
                });
            }
            Ok(())
        })?;
        Ok((grouping.finish(), seen))
    }
}
