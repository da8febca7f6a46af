//! `arch-check --repair`: mends what can be mended and marks what is lost, so that everything else can be restored, sent to and pruned.
//!
//! In this order, each step with a commit of its own, so that a crash leaves the archive as it was or a step further, and the same command goes on:
//! the archive's own records; volume after volume; counters and dead ranges as a recount finds them; last the copies of the header.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::Ordering;

use nacre_core::head::Volume;
use nacre_core::ids::{ChunkId, SessionSeq, VolumeId};
use nacre_core::node::ChunkEntry;
use nacre_core::object_name::{Copy, ObjectName};
use nacre_core::place::{Place, Root};

use super::check::{CheckOptions, CheckWatch, Looked, look};
use super::chunk_store::ChunkStore;
use super::elsewhere::Elsewhere;
use super::findings::CheckReport;
use super::hits::Hits;
use super::rebuild::{Cells, readable, rebuild};
use super::records;
use super::recount;
use super::stretches::stretches;
use super::survey::{Lost, Point, Survey};
use crate::archive::{Archive, ChunkReader, Error, Nodes, Result, Sessions, VolumeEdit};
use crate::joints::PutOutcome;

/// What a repair did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Records of packs put together anew.
    pub packs: u64,
    /// Sessions put together anew, under new names.
    pub sessions: u64,
    /// Other records that are gone, told as ranges of numbers.
    pub records_gone: u64,
    /// Pieces of volumes' trees that were found again from elsewhere, bit for bit.
    pub pieces: u64,
    /// Chunks whose content was found again, counted once for each version.
    pub healed: u64,
    /// Chunks that are marked as lost from now on, counted once for each version.
    pub marked: u64,
    /// Packs whose dead ranges or counters were corrected.
    pub corrected: u64,
    /// Copies of the header written anew.
    pub headers: u64,
    /// Heads put in the place of a damaged one.
    pub heads: u64,
    /// How many chunks of which volume came from where: by the volume's name and that of the place. Content that several versions share counts once.
    pub sources: BTreeMap<(String, String), u64>,
}

impl Repaired {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// So many lost chunks are mended with one commit, each counted once for each version: some 500 bytes of memory are kept for one.
const AT_ONCE: u64 = 1 << 16;

/// What was found, and what was done about it.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// What the check before had found.
    pub found: CheckReport,
    /// What was done; with `dry_run`, what would be.
    pub done: Repaired,
}

/// Where lost content of a volume may still be, given its name in the archive, in the order in which it is looked for. Asked once for each
/// damaged volume.
pub type Sources<'a> = dyn Fn(&str) -> Vec<Elsewhere> + 'a;

/// Mends an archive. `options` says how much of the data is read first; its limits to volumes and sessions are not looked at.
pub fn repair(
    archive: &mut Archive,
    options: &CheckOptions,
    sources: &Sources<'_>,
    dry_run: bool,
    watch: CheckWatch<'_>,
) -> Result<RepairReport> {
    let looked = look(archive, options, watch)?;
    let mut report = RepairReport {
        found: looked.report.clone(),
        done: Repaired::default(),
    };
    let done = &mut report.done;
    let looked = if mend_records(archive, &looked, dry_run, watch, done)? {
        // More can be reached now than before.
        look(archive, options, watch)?
    } else {
        looked
    };
    let (sessions, _) = archive.readable_sessions()?;
    let volumes: Vec<Volume> = archive.head().volumes.clone();
    for volume in &volumes {
        let mend = Mend {
            volume,
            sessions: &sessions,
            looked: &looked,
            sources,
            dry_run,
            watch,
        };
        mend.run(archive, done)?;
    }
    correct_books(archive, dry_run, watch, done)?;
    mend_headers(archive, dry_run, done)?;
    if head_is_bad(archive)? {
        // None of the commits above has put another in its place.
        done.heads = 1;
        if !dry_run {
            archive.begin_small_commit().finish(watch.clock)?;
        }
    }
    Ok(report)
}

fn head_is_bad(archive: &Archive) -> Result<bool> {
    let name = ObjectName::Head(archive.head().epoch);
    match archive.store().get_whole(name, nacre_core::head::MAX_HEAD) {
        Ok(Some(bytes)) => Ok(nacre_core::ids::HeadHash::of(&bytes) != archive.head_hash()),
        Ok(None) => Ok(true),
        Err(error) => match Error::Store(error) {
            error if error.is_damage() => Ok(true),
            error => Err(error),
        },
    }
}

/// Puts new records in the place of lost ones. Returns whether the archive is another one now.
fn mend_records(
    archive: &mut Archive,
    looked: &Looked,
    dry_run: bool,
    watch: CheckWatch<'_>,
    done: &mut Repaired,
) -> Result<bool> {
    let (sessions, _) = archive.readable_sessions()?;
    let lost = records::find(archive, &looked.objects, &sessions)?;
    if lost.is_empty() {
        return Ok(false);
    }
    done.packs = lost.packs.len() as u64;
    done.sessions = lost.sessions.len() as u64;
    done.records_gone = lost.records.len() as u64;
    if dry_run {
        return Ok(false);
    }
    archive.nodes().stand_in(lost.nodes);
    let mut commit = archive.begin_small_commit();
    commit.mend();
    for (tree, keys) in &lost.records {
        // Of a lost node any key will do: the node must go even if nothing comes in its place.
        commit.drop_record(*tree, keys.start);
    }
    commit.add_packs(lost.packs.into_iter().collect());
    for (seq, session) in lost.sessions {
        commit.set_session(seq, session);
    }
    commit.finish(watch.clock)?;
    Ok(true)
}

/// Recounts, and writes what differs.
fn correct_books(
    archive: &mut Archive,
    dry_run: bool,
    watch: CheckWatch<'_>,
    done: &mut Repaired,
) -> Result<()> {
    let (sessions, lost) = archive.readable_sessions()?;
    if !lost.is_empty() {
        return Ok(());
    }
    let volumes = recount::by_volume(archive, &sessions);
    let Some(books) = recount::recount(archive, &volumes, true, watch.stop)? else {
        return Ok(());
    };
    done.corrected = (books.packs.len() + books.counters.len()) as u64;
    if dry_run || books.are_right() && !archive.head().books_in_doubt() {
        return Ok(());
    }
    let mut commit = archive.begin_small_commit();
    commit.correct();
    // Packs of which nothing lives are given up.
    commit.sweep(books.packs.keys().copied());
    commit.add_packs(books.packs.into_iter().collect());
    let counters = books.counters.into_iter();
    let encoded = |counters: nacre_core::counters::Counters| counters.encode();
    commit.set_counters(
        counters
            .map(|(alias, right)| (alias.0, right.map(encoded)))
            .collect(),
    );
    commit.finish(watch.clock)
}

/// Writes a copy of the header anew that is not what it must be. The other copy is there all the while.
fn mend_headers(archive: &Archive, dry_run: bool, done: &mut Repaired) -> Result<()> {
    let store = archive.store();
    let header = archive.header();
    let generation = header.description().generation;
    let names = [Copy::A, Copy::B].map(|copy| ObjectName::Header(generation, copy));
    let mut bad = Vec::new();
    for name in names {
        // Twice: a copy is deleted before it is written anew, so one bad moment must not be enough.
        if !is_header(archive, name)? && !is_header(archive, name)? {
            bad.push(name);
        }
    }
    if bad.len() == names.len() {
        let why = "both copies of the header are damaged now, and one was not when the archive was opened";
        return Err(Error::Lost(why.to_owned()));
    }
    done.headers = bad.len() as u64;
    if dry_run {
        return Ok(());
    }
    for name in bad {
        store.delete(&[name])?;
        if store.put_whole(name, header.bytes())? == PutOutcome::Exists {
            return Err(Error::refused(
                format!("{name} cannot be written anew: the store still has the damaged one"),
                "Repair where the store lets objects be deleted.",
            ));
        }
        store.barrier()?;
    }
    Ok(())
}

fn is_header(archive: &Archive, name: ObjectName) -> Result<bool> {
    let found = archive.store().get_whole(name, 64 << 10);
    match found.map_err(Error::Store) {
        Ok(found) => Ok(found.as_deref() == Some(archive.header().bytes())),
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error),
    }
}

/// One volume.
struct Mend<'a> {
    volume: &'a Volume,
    sessions: &'a Sessions,
    looked: &'a Looked,
    sources: &'a Sources<'a>,
    dry_run: bool,
    watch: CheckWatch<'a>,
}

/// What is known about the content of a volume's chunks.
struct Known {
    /// Where content lies that some version has lost.
    good: HashMap<ChunkId, ChunkEntry>,
    /// Lost nodes whose entries are certain.
    rebuilt: HashMap<Place, Cells>,
    /// Where more may be.
    elsewhere: Vec<Elsewhere>,
}

/// What becomes of one version.
struct Version {
    seq: SessionSeq,
    edit: VolumeEdit,
}

impl Mend<'_> {
    fn run(&self, archive: &mut Archive, done: &mut Repaired) -> Result<()> {
        let of_volume = self.sessions.of_volume(self.volume.id).rev();
        let mut points: Vec<Point> = of_volume
            .map(|(seq, _, at)| Point {
                seq,
                root: at.root,
                size: at.size,
            })
            .collect();
        let nodes = archive.nodes();
        let survey = Survey {
            nodes: &nodes,
            objects: &self.looked.objects,
            bad: &self.looked.bad,
        };
        let mut lost: Vec<Lost> = Vec::new();
        survey.run(&points, &mut |_| Ok(()), &mut |_, here| {
            lost.push(here.clone());
            Ok(())
        })?;
        if lost.iter().all(|here| here.hits.is_empty()) {
            return Ok(());
        }
        let mut elsewhere = self.elsewhere();
        let most = AT_ONCE / (points.len() as u64).max(1);
        let largest = points.iter().map(|point| point.size).max().unwrap_or(0);
        let end = largest.div_ceil(archive.chunk_size() as u64);
        for chunks in stretches(&lost, most, end) {
            let here: Vec<Lost> = lost.iter().map(|lost| lost.within(&chunks)).collect();
            elsewhere = self.stretch(archive, &mut points, &here, elsewhere, done)?;
        }
        Ok(())
    }

    /// Mends a stretch of the volume in all versions, of which `lost` is what they have lost there.
    fn stretch(
        &self,
        archive: &mut Archive,
        points: &mut [Point],
        lost: &[Lost],
        elsewhere: Vec<Elsewhere>,
        done: &mut Repaired,
    ) -> Result<Vec<Elsewhere>> {
        let nodes = archive.nodes();
        let mut known = Known {
            good: good_elsewhere(&nodes, archive, points, lost)?,
            rebuilt: rebuild(archive, self.volume.id, points, lost)?,
            elsewhere,
        };
        done.pieces += known.rebuilt.len() as u64;
        let mut store = ChunkStore::new(archive);
        let mut versions = Vec::new();
        // The oldest first, as they were written.
        for (point, here) in points.iter().zip(lost).rev() {
            let edits = self.edits(archive, point, here, &mut known, &mut store, done)?;
            if !edits.is_empty() {
                versions.push(Version {
                    seq: point.seq,
                    edit: VolumeEdit {
                        volume: self.volume.id,
                        session: point.seq,
                        base: point.root,
                        edits: edits.into_iter().collect(),
                        size: point.size,
                    },
                });
            }
        }
        if self.dry_run || versions.is_empty() {
            return Ok(known.elsewhere);
        }
        let (packs, next) = store.finish()?;
        let gone = lost.iter().flat_map(|here| &here.nodes);
        nodes.stand_in(gone.map(|node| (node.pointer.place, node.level)));
        for (seq, root) in self.commit(archive, versions, packs, next)? {
            for point in points.iter_mut().filter(|point| point.seq == seq) {
                point.root = root;
            }
        }
        Ok(known.elsewhere)
    }

    /// Writes the versions as they are from now on. Returns their trees.
    fn commit(
        &self,
        archive: &mut Archive,
        versions: Vec<Version>,
        packs: Vec<(nacre_core::ids::Alias, nacre_core::pack::PackRecord)>,
        next: nacre_core::ids::Alias,
    ) -> Result<Vec<(SessionSeq, Root)>> {
        let (sessions, _) = archive.readable_sessions()?;
        let mut commit = archive.begin_commit(next);
        commit.mend();
        commit.add_packs(packs);
        let (numbers, edits): (Vec<SessionSeq>, Vec<VolumeEdit>) =
            versions.into_iter().map(|v| (v.seq, v.edit)).unzip();
        let roots: Vec<Root> = commit.edit_volumes(edits)?;
        let trees: Vec<(SessionSeq, Root)> = numbers.into_iter().zip(roots).collect();
        for (seq, root) in trees.iter().copied() {
            let Some(session) = sessions.get(seq) else {
                continue;
            };
            let mut session = session.clone();
            for member in &mut session.volumes {
                if member.volume == self.volume.id {
                    member.root = root;
                }
            }
            commit.set_session(seq, session);
            let Some(volume) = commit.head.volume_by_id_mut(self.volume.id) else {
                continue;
            };
            let is_newest = volume.newest == Some(seq);
            if is_newest {
                volume.root = root;
            }
            // The next send must look at everything: what is lost here has not changed there. Behind an unfinished session it would look at what
            // changed since the finished one.
            let finished = volume.finished().map(|(finished, _)| finished);
            if is_newest || finished == Some(seq) {
                commit.set_snapshot(self.volume.id, &[]);
            }
        }
        commit.finish(self.watch.clock)?;
        Ok(trees)
    }

    /// Where more may be. Local copies are told which snapshot the newest session was read from.
    fn elsewhere(&self) -> Vec<Elsewhere> {
        let places = (self.sources)(&self.volume.name);
        if let Some((_, _, identity)) = self.sessions.snapshot_of(self.volume) {
            for place in &places {
                place.expect(identity);
            }
        }
        places
    }

    /// A chunk's content from elsewhere. Nothing vouches for it but the id.
    fn fetch(
        &self,
        archive: &Archive,
        chunk: u64,
        id: ChunkId,
        known: &mut Known,
        done: &mut Repaired,
    ) -> Result<Option<Vec<u8>>> {
        let ids = archive.volume_ids(self.volume);
        let offset = chunk.saturating_mul(archive.chunk_size() as u64);
        let mut content = vec![0; archive.chunk_size()];
        let mut at = 0;
        while let Some(place) = known.elsewhere.get_mut(at) {
            if self.watch.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match place.find(offset, &mut content, &|found| ids.id(found) == id) {
                Ok(true) => {
                    let from = (self.volume.name.clone(), place.name.clone());
                    *done.sources.entry(from).or_default() += 1;
                    return Ok(Some(content));
                }
                Ok(false) => at += 1,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => {
                    let text = format!(
                        "nothing more of volume {} is looked for at {}: {error}",
                        self.volume.name, place.name
                    );
                    self.watch.monitor.warning(&text);
                    known.elsewhere.remove(at);
                }
            }
        }
        Ok(None)
    }

    /// What must be written for one version.
    fn edits(
        &self,
        archive: &Archive,
        point: &Point,
        lost: &Lost,
        known: &mut Known,
        store: &mut ChunkStore<'_>,
        done: &mut Repaired,
    ) -> Result<BTreeMap<u64, Option<ChunkEntry>>> {
        let nodes = archive.nodes();
        let chunks = point.size.div_ceil(archive.chunk_size() as u64);
        let clamp = |range: &Range<u64>| range.start..range.end.min(chunks);
        let mut edits: BTreeMap<u64, Option<ChunkEntry>> = BTreeMap::new();
        // Entries that may have to be mended.
        let mut doubtful = Cells::new();
        for node in &lost.nodes {
            match known.rebuilt.get(&node.pointer.place) {
                Some(cells) => {
                    for (chunk, entry) in cells.range(clamp(&node.keys)) {
                        if self.is_readable(archive, *chunk, entry)? {
                            edits.insert(*chunk, Some(entry.clone()));
                        } else {
                            doubtful.insert(*chunk, entry.clone());
                        }
                    }
                }
                None => {
                    // Not even the ids are known: whatever was there, it must not read as zeros.
                    for chunk in clamp(&node.keys) {
                        let id = ChunkId::default();
                        edits.insert(chunk, Some(ChunkEntry::Lost { id }));
                        done.marked += 1;
                    }
                }
            }
        }
        for (range, _) in lost.hits.iter() {
            let cells = readable(&nodes, &point.root, clamp(&range))?;
            let rest = cells.into_iter();
            doubtful.extend(rest.filter(|(chunk, _)| !edits.contains_key(chunk)));
        }
        for (chunk, entry) in doubtful {
            let id = *entry.id();
            let owner = (self.volume.id, point.seq);
            if let Some(found) = self.find(archive, (chunk, id), owner, known, store, done)? {
                done.healed += 1;
                edits.insert(chunk, Some(found));
            } else if !entry.is_lost() {
                done.marked += 1;
                edits.insert(chunk, Some(ChunkEntry::Lost { id }));
            }
        }
        Ok(edits)
    }

    /// Whether an entry that the check did not meet, or not for this version, holds what it says: it is read.
    fn is_readable(&self, archive: &Archive, chunk: u64, entry: &ChunkEntry) -> Result<bool> {
        let nodes = archive.nodes();
        let places: Vec<Place> = entry.items().collect();
        for found in nodes.locate_all(&places) {
            match found {
                Ok(found) => {
                    if self.looked.objects.fault(&found)?.is_some() {
                        return Ok(false);
                    }
                }
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let ids = archive.volume_ids(self.volume);
        let mut reader = ChunkReader::new(&nodes, &ids, archive.chunk_size());
        let mut right = false;
        let task = vec![(chunk, entry.clone())];
        reader.read(&task, &mut |_, content, _| match content {
            Ok(_) => {
                right = true;
                Ok(())
            }
            Err(error) if error.is_damage() => Ok(()),
            Err(error) => Err(error),
        })?;
        Ok(right)
    }

    /// Content with this id, from another version or from elsewhere.
    fn find(
        &self,
        archive: &Archive,
        (chunk, id): (u64, ChunkId),
        owner: (VolumeId, SessionSeq),
        known: &mut Known,
        store: &mut ChunkStore<'_>,
        done: &mut Repaired,
    ) -> Result<Option<ChunkEntry>> {
        if let Some(found) = known.good.get(&id) {
            // In a dry run it may be one that was not stored.
            if found.is_lost() || self.is_readable(archive, chunk, found)? {
                return Ok(Some(found.clone()));
            }
            known.good.remove(&id);
        }
        let Some(content) = self.fetch(archive, chunk, id, known, done)? else {
            return Ok(None);
        };
        let entry = if self.dry_run {
            ChunkEntry::Lost { id }
        } else {
            let place = store.put(owner, chunk, id, &content)?;
            ChunkEntry::Chunk { id, place }
        };
        known.good.insert(id, entry.clone());
        Ok(Some(entry))
    }
}

/// Content that some version has lost and another still has at the same chunk.
fn good_elsewhere(
    nodes: &Nodes,
    archive: &Archive,
    points: &[Point],
    lost: &[Lost],
) -> Result<HashMap<ChunkId, ChunkEntry>> {
    let mut all = Hits::default();
    for here in lost {
        all.overlay(&here.hits);
    }
    let largest = points.iter().map(|point| point.size).max().unwrap_or(0);
    let chunks = largest.div_ceil(archive.chunk_size() as u64);
    let mut good = HashMap::new();
    for (point, here) in points.iter().zip(lost) {
        for (range, _) in all.iter() {
            let range = range.start..range.end.min(chunks);
            for (chunk, entry) in readable(nodes, &point.root, range)? {
                let hit = here.hits.iter().any(|(range, _)| range.contains(&chunk));
                if !hit && !entry.is_lost() {
                    good.entry(*entry.id()).or_insert(entry);
                }
            }
        }
    }
    Ok(good)
}
