//! One volume from the archive to its goal, or only read and checked.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use nacre_core::hash::ChunkIdKey;
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Root, TreeKind};
use nacre_core::tree::{Compare as DiffBy, Diff, Walk};

use super::gather::Gather;
use crate::archive::{ChunkReader, Damage, Error, Nodes, Result, Task, tasks};
use crate::joints::{Counts, Progress, RestoreGoal, VolumeRange};

/// Threads that wait for the store beside those that compute.
const WAITING: usize = 2;

/// What is compared with the goal's old content before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compare {
    /// Nothing: write everything.
    #[default]
    Nothing,
    /// Ids of the old chunks, before fetching (`--sparse`).
    BeforeFetch,
    /// Content, before writing (`--sparse-write`).
    BeforeWrite,
}

/// How to restore.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    /// Number of threads that decode.
    pub threads: usize,
    /// What to compare first.
    pub compare: Compare,
}

/// Which volume at which point in time.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Its tree.
    pub root: Root,
    /// Its size in bytes.
    pub size: u64,
}

/// What a restore did.
#[derive(Clone, Debug, Default)]
pub struct RestoreReport {
    /// What could not be read.
    pub damage: Damage,
    /// Bytes of chunks that were read and found right.
    pub checked: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Writes a version of a volume to `goal`. The caller finishes the goal, if the report lets it.
pub fn restore(
    nodes: &Nodes,
    ids: &ChunkIdKey,
    version: Version,
    goal: &dyn RestoreGoal,
    options: RestoreOptions,
    watch: Watch<'_>,
) -> Result<RestoreReport> {
    Run::new(nodes, ids, version, Some(goal), options, watch).all()
}

/// Writes a version of a volume to a goal that holds the tree `held` already: only the chunks in which the two differ are fetched and written.
/// Of their bytes the goal has to be sure: nothing is compared.
pub fn restore_difference(
    nodes: &Nodes,
    ids: &ChunkIdKey,
    held: &Root,
    version: Version,
    goal: &dyn RestoreGoal,
    options: RestoreOptions,
    watch: Watch<'_>,
) -> Result<RestoreReport> {
    let run = Run::new(nodes, ids, version, Some(goal), options, watch);
    Run {
        held: Some(*held),
        ..run
    }
    .all()
}

/// Reads a version of a volume as a restore would, and writes nothing.
pub fn verify(
    nodes: &Nodes,
    ids: &ChunkIdKey,
    version: Version,
    options: RestoreOptions,
    watch: Watch<'_>,
) -> Result<RestoreReport> {
    Run::new(nodes, ids, version, None, options, watch).all()
}

/// The same for the chunks alone in which a version differs from the tree `held`; for all where there is none.
pub fn verify_difference(
    nodes: &Nodes,
    ids: &ChunkIdKey,
    held: Option<&Root>,
    version: Version,
    options: RestoreOptions,
    watch: Watch<'_>,
) -> Result<RestoreReport> {
    let run = Run::new(nodes, ids, version, None, options, watch);
    Run {
        held: held.copied(),
        ..run
    }
    .all()
}

/// Who is told, and who may stop it.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Counters.
    pub progress: &'a Progress,
    /// Set when the user wants it to stop.
    pub stop: &'a AtomicBool,
}

/// Memory of one thread.
struct Scratch {
    /// A chunk as the goal holds it now.
    old: Vec<u8>,
    gather: Gather,
}

struct Run<'a> {
    nodes: &'a Nodes,
    ids: &'a ChunkIdKey,
    version: Version,
    goal: Option<&'a dyn RestoreGoal>,
    /// What the goal holds already.
    held: Option<Root>,
    options: RestoreOptions,
    watch: Watch<'a>,
    chunk_size: usize,
    report: Mutex<RestoreReport>,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
}

impl<'a> Run<'a> {
    fn new(
        nodes: &'a Nodes,
        ids: &'a ChunkIdKey,
        version: Version,
        goal: Option<&'a dyn RestoreGoal>,
        options: RestoreOptions,
        watch: Watch<'a>,
    ) -> Self {
        Self {
            nodes,
            ids,
            version,
            goal,
            held: None,
            options,
            watch,
            chunk_size: nodes.format().chunk_size(),
            report: Mutex::default(),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    fn all(self) -> Result<RestoreReport> {
        let started = Instant::now();
        let threads = self.options.threads.max(1) + WAITING;
        let (sender, tasks) = bounded::<Task>(threads * 2);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let tasks = tasks.clone();
                let run = &self;
                scope.spawn(move || run.work(&tasks));
            }
            drop(tasks);
            let mut give = |task| {
                // No receiver is left only when all threads have failed, and they have said why.
                let _ = sender.send(task);
            };
            let fed = match &self.held {
                Some(held) => self.feed_difference(held, &mut give),
                None => self.feed(&mut give),
            };
            drop(sender);
            if let Err(error) = fed {
                self.fail(error);
            }
        });
        if let Some(error) = lock(&self.failure).take() {
            return Err(error);
        }
        if self.watch.stop.load(Ordering::Relaxed) {
            // Tasks may have been left out: what was written is not whole.
            return Err(Error::Interrupted);
        }
        let mut report = std::mem::take(&mut *lock(&self.report));
        report.elapsed = started.elapsed();
        Ok(report)
    }

    /// Walks the tree; chunks go to the threads, what lies between them becomes zero here.
    fn feed(&self, give: &mut dyn FnMut(Task)) -> Result<()> {
        let chunk_size = self.chunk_size as u64;
        let chunks = self.version.size.div_ceil(chunk_size);
        let mut next = 0;
        let mut walk = Walk::new(TreeKind::Chunks, &self.version.root, 0..chunks);
        let mut source = self.nodes;
        let mut lost = Vec::new();
        while let Some(batch) = walk.next_tolerant(&mut source, &mut lost) {
            let entries = batch.entries::<ChunkEntry>();
            let entries: Vec<(u64, ChunkEntry)> = entries
                .map(|(chunk, entry)| (chunk, entry.clone()))
                .collect();
            if !entries.is_empty() {
                self.between(&mut next, &entries, &mut lost)?;
            }
            for task in tasks::cut(entries) {
                give(task);
            }
            if self.stopped() {
                return Err(Error::Interrupted);
            }
        }
        self.between(&mut next, &[], &mut lost)?;
        self.zero(next, chunks)
    }

    /// Goes through what differs from what the goal holds. Without the whole index of both that cannot be known, so nothing is tolerated.
    fn feed_difference(&self, held: &Root, give: &mut dyn FnMut(Task)) -> Result<()> {
        let chunks = self.version.size.div_ceil(self.chunk_size as u64);
        let wanted = &self.version.root;
        let mut diff = Diff::<ChunkEntry>::new(TreeKind::Chunks, held, wanted, DiffBy::Content);
        let mut source = self.nodes;
        while let Some(batch) = diff.next(&mut source)? {
            let mut entries = Vec::new();
            for cell in batch.entries.into_iter().filter(|cell| cell.key < chunks) {
                match cell.new {
                    Some(entry) => entries.push((cell.key, entry)),
                    None => self.zero(cell.key, cell.key + 1)?,
                }
            }
            for task in tasks::cut(entries) {
                give(task);
            }
            if self.stopped() {
                return Err(Error::Interrupted);
            }
        }
        Ok(())
    }

    /// Chunks of which the tree has no entry are zero, unless the part of the tree that would say so cannot be read.
    fn between(
        &self,
        next: &mut u64,
        entries: &[(u64, ChunkEntry)],
        lost: &mut Vec<(Range<u64>, Error)>,
    ) -> Result<()> {
        let mut known: Vec<Range<u64>> =
            entries.iter().map(|(chunk, _)| *chunk..chunk + 1).collect();
        // A node high in the tree may be lost long before the walk comes to where its chunks are.
        let reached = entries.last().map_or(u64::MAX, |(chunk, _)| *chunk);
        for (chunks, error) in lost.extract_if(.., |(chunks, _)| chunks.start <= reached) {
            if !error.is_damage() {
                return Err(error);
            }
            let range = self.range(chunks.start, chunks.end);
            lock(&self.report).damage.add(range, error.to_string());
            known.push(chunks);
        }
        known.sort_by_key(|chunks| chunks.start);
        for chunks in known {
            self.zero(*next, chunks.start)?;
            *next = chunks.end.max(*next);
        }
        Ok(())
    }

    fn zero(&self, from: u64, to: u64) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        let range = self.range(from, to);
        self.watch.progress.scanned(range.end - range.start);
        match self.goal {
            Some(goal) if self.held.is_some() || !goal.starts_empty() => Ok(goal.zero(range)?),
            _ => Ok(()),
        }
    }

    /// The bytes of chunks `from..to`.
    fn range(&self, from: u64, to: u64) -> VolumeRange {
        let chunk_size = self.chunk_size as u64;
        VolumeRange {
            start: from.saturating_mul(chunk_size),
            end: to.saturating_mul(chunk_size).min(self.version.size),
        }
    }

    fn work(&self, tasks: &Receiver<Task>) {
        let mut reader = ChunkReader::new(self.nodes, self.ids, self.chunk_size);
        let mut scratch = Scratch {
            old: vec![0; self.chunk_size],
            gather: Gather::new(self.chunk_size),
        };
        for task in tasks {
            if self.stopped() {
                continue;
            }
            if let Err(error) = self.one(&mut reader, &mut scratch, task) {
                self.fail(error);
            }
        }
    }

    fn one(&self, reader: &mut ChunkReader<'_>, scratch: &mut Scratch, task: Task) -> Result<()> {
        let mut counts = Counts::default();
        let mut lost = Vec::new();
        let task = self.without_equal(&mut scratch.old, task, &mut counts)?;
        let result = reader.read(&task, &mut |chunk, content, fetched| {
            let range = self.range(chunk, chunk + 1);
            counts.scanned += range.end - range.start;
            counts.fetched += fetched;
            match content {
                Ok(content) => counts.written += self.put(range, content, scratch)?,
                Err(error) if error.is_damage() => lost.push((range, error.to_string())),
                Err(error) => return Err(error),
            }
            Ok(())
        });
        // Also after an error: other threads go on until they see it, and what was taken must not be written at another task's time.
        let flushed = self.goal.map_or(Ok(()), |goal| scratch.gather.flush(goal));
        self.watch.progress.add(counts);
        let mut report = lock(&self.report);
        report.checked += counts.scanned;
        for (range, why) in lost {
            report.damage.add(range, why);
        }
        result.and(flushed)
    }

    /// With `--sparse`: leaves out chunks that the goal holds already.
    fn without_equal(&self, old: &mut [u8], task: Task, counts: &mut Counts) -> Result<Task> {
        let (Some(goal), Compare::BeforeFetch) = (self.goal, self.options.compare) else {
            return Ok(task);
        };
        if goal.starts_empty() {
            return Ok(task);
        }
        let mut rest = Vec::with_capacity(task.len());
        for (chunk, entry) in task {
            let range = self.range(chunk, chunk + 1);
            read_old(goal, range, old)?;
            if !entry.is_lost() && *entry.id() == self.ids.id(old) {
                let length = range.end - range.start;
                counts.scanned += length;
                let inside = old.get(..usize::try_from(length).unwrap_or(usize::MAX));
                goal.keep(range.start, inside.unwrap_or(old))?;
            } else {
                rest.push((chunk, entry));
            }
        }
        Ok(rest)
    }

    /// Writes a chunk; returns how many bytes were written.
    fn put(&self, range: VolumeRange, content: &[u8], scratch: &mut Scratch) -> Result<u64> {
        let Some(goal) = self.goal else {
            return Ok(0);
        };
        let length = usize::try_from(range.end - range.start).unwrap_or(content.len());
        let inside = content.get(..length).unwrap_or(content);
        if self.options.compare == Compare::BeforeWrite && !goal.starts_empty() {
            read_old(goal, range, &mut scratch.old)?;
            if scratch.old.get(..length) == Some(inside) {
                return Ok(0);
            }
        }
        scratch.gather.put(goal, range.start, inside)?;
        Ok(inside.len() as u64)
    }

    fn stopped(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.watch.stop.load(Ordering::Relaxed)
    }

    fn fail(&self, error: Error) {
        self.failed.store(true, Ordering::Relaxed);
        let mut failure = lock(&self.failure);
        if failure.is_none() {
            *failure = Some(error);
        }
    }
}

/// What the goal holds now, as a chunk: zero behind the volume's end.
fn read_old(goal: &dyn RestoreGoal, range: VolumeRange, old: &mut [u8]) -> Result<()> {
    let inside = usize::try_from(range.end - range.start).unwrap_or(old.len());
    let (now, behind) = old.split_at_mut(inside.min(old.len()));
    goal.read_at(range.start, now)?;
    behind.fill(0);
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
