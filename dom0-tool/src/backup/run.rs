//! One run of `send`: volumes through the pipeline, checkpoints on the way, a finished session at the end (DESIGN 4.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nacre_core::seal::Encoder;
use nacre_core::session::{MAX_VOLUME, Tag};

use super::basis::{ChunkRanges, Look, look};
use super::draft::{Compared, Draft};
use super::ending::{Ending, Try};
use super::failure::Sticky;
use super::feed::{Feed, Step};
use super::packer::Packer;
use super::patcher::Before;
use super::pipeline::{Parts, Pipeline, orders};
use super::report::{SendReport, VolumeOutcome, VolumeReport};
use super::worker::{Done, Owner};
use crate::archive::{Archive, Dedup, Error, KnownEntries, Result};
use crate::joints::{
    Activity, Clock, Counts, FrozenVolume, Monitor, Outcome, Progress, Ranges, SourceError,
    SourceErrorKind, Task,
};

/// Bytes that one job holds, unless a chunk is larger.
const JOB_SIZE: usize = 1 << 20;

/// Changed chunks that wait for a commit, at most: a terabyte that was emptied must not wait in memory.
const MOST_PENDING: usize = 1 << 17;

/// Leaves that wait for a commit, at most. Each is written whole, several KiB of it, and all of them into one index pack, which has 256 MiB.
const MOST_LEAVES: usize = 1 << 13;

/// How to send.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// Number of workers.
    pub threads: usize,
    /// Tags of the new session.
    pub tags: Vec<Tag>,
    /// Whether volumes that did not change get a session too.
    pub send_unchanged: bool,
    /// Count what would be sent, and store nothing: by the storage's own change map where there is one, otherwise by comparing.
    pub dry_run: bool,
    /// Look for changed chunks in the whole dedup domain before they are stored.
    pub dedup: bool,
    /// Volumes for which that is done in any case: in them content moves about.
    pub always_dedup: Vec<String>,
    /// Compare everything, whatever the storage says of changes (`--remap`).
    pub compare_all: bool,
    /// A checkpoint is committed after this many stored bytes …
    pub checkpoint_bytes: u64,
    /// Also when changes lie in so many leaves of the volumes' trees.
    pub checkpoint_leaves: usize,
    /// … or this much time.
    pub checkpoint_time: Duration,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            tags: Vec::new(),
            send_unchanged: false,
            dry_run: false,
            dedup: false,
            always_dedup: Vec::new(),
            compare_all: false,
            checkpoint_bytes: 2 << 30,
            checkpoint_leaves: MOST_LEAVES,
            checkpoint_time: Duration::from_secs(300),
        }
    }
}

impl SendOptions {
    fn dedups(&self, volume: &str) -> bool {
        self.dedup || self.always_dedup.iter().any(|name| name == volume)
    }
}

/// The world around a run.
pub struct Surroundings<'a> {
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who is told how it goes.
    pub monitor: &'a dyn Monitor,
    /// Set when the user wants it to stop.
    pub stop: &'a AtomicBool,
}

/// Sends the volumes as one session. A volume that cannot be read is told in the report; the others are sent all the same.
pub fn send(
    archive: &mut Archive,
    volumes: &mut [Box<dyn FrozenVolume>],
    options: &SendOptions,
    around: &Surroundings<'_>,
) -> Result<SendReport> {
    send_again(archive, volumes, options, around, &mut Try::default())
}

/// The same for a run that may be tried again, with the same volumes, once the archive was opened anew. Each try is told of the one before.
pub fn send_again(
    archive: &mut Archive,
    volumes: &mut [Box<dyn FrozenVolume>],
    options: &SendOptions,
    around: &Surroundings<'_>,
    last: &mut Try,
) -> Result<SendReport> {
    let ending = match last.made_it(archive)? {
        Some(ending) => ending,
        None => run(archive, volumes, options, around, last)?,
    };
    Ok(ending.conclude(volumes, around.monitor))
}

fn run(
    archive: &mut Archive,
    volumes: &[Box<dyn FrozenVolume>],
    options: &SendOptions,
    around: &Surroundings<'_>,
    last: &mut Try,
) -> Result<Ending> {
    let store = archive.store();
    let sealer = archive.sealer();
    let entropy = archive.entropy_source();
    let compression = archive.compression();
    let encoder = move || Encoder::new(compression);
    let queue = orders();
    let packer = Packer::new(
        &sealer,
        encoder(),
        queue.0.clone(),
        entropy(),
        archive.head().next.alias,
    );
    let sticky = Sticky::default();
    let chunk_size = archive.chunk_size();
    let mut ending = None;
    let sent = std::thread::scope(|scope| {
        let pipeline = Pipeline::start(
            scope,
            Parts {
                store: store.as_ref(),
                sealer: &sealer,
                packer: &packer,
                orders: queue,
                sticky: &sticky,
                entropy: &*entropy,
                encoder: &encoder,
                chunk_size,
                threads: options.threads,
                dry_run: options.dry_run,
                job_size: JOB_SIZE.max(chunk_size),
            },
        );
        let draft = Draft::begin(archive, around, options)?;
        let mut names = volumes.iter().map(|volume| volume.name());
        let dedup = if names.any(|name| options.dedups(name)) && !options.dry_run {
            Some(Arc::new(Dedup::open(archive)?))
        } else {
            None
        };
        let run = Run {
            archive: &mut *archive,
            pipeline,
            packer: &packer,
            options,
            around,
            draft,
            dedup,
            watched: Arc::default(),
            since: Instant::now(),
            stored_since: 0,
        };
        run.all(volumes, &mut ending)
    });
    match sent {
        Ok(()) => ending.ok_or_else(Error::internal),
        Err(error) => {
            last.failed(archive, ending);
            Err(error)
        }
    }
}

struct Run<'a, 'b> {
    archive: &'b mut Archive,
    pipeline: Pipeline<'a>,
    packer: &'a Packer<'a>,
    options: &'b SendOptions,
    around: &'b Surroundings<'b>,
    draft: Draft,
    dedup: Option<Arc<Dedup>>,
    /// Counters of the volume being read.
    watched: Arc<Progress>,
    /// When the last checkpoint was, and what was stored since.
    since: Instant,
    stored_since: u64,
}

impl<'a> Run<'a, '_> {
    /// Sends all volumes. `ending` says how that ends once the last commit is made.
    fn all(
        mut self,
        volumes: &'a [Box<dyn FrozenVolume>],
        ending: &mut Option<Ending>,
    ) -> Result<()> {
        let started = Instant::now();
        let mut reports = Vec::new();
        let count = volumes.len();
        let mut interrupted = false;
        for (at, volume) in volumes.iter().enumerate() {
            let report = self.volume(volume.as_ref())?;
            interrupted = matches!(report.outcome, VolumeOutcome::Interrupted);
            reports.push(report);
            if interrupted {
                break;
            }
            if at + 1 < count && !self.options.dry_run && self.draft.has_changes() {
                self.commit(false)?;
            }
        }
        let dry_run = self.options.dry_run;
        let commits = !dry_run
            && if interrupted {
                self.draft.has_changes() || self.stored_since > 0
            } else {
                self.draft.has_volumes()
            };
        *ending = Some(Ending {
            session: self.draft.kept(commits),
            volumes: reports,
            keep: if interrupted || dry_run {
                Vec::new()
            } else {
                self.draft.keeps_snapshot()
            },
            interrupted,
            started,
            before: self.archive.head_hash(),
        });
        if commits {
            self.commit(!interrupted)?;
        }
        self.keep_index();
        Ok(())
    }

    /// Takes one volume through the pipeline. Errors of reading it are its own; errors of the store end the run.
    fn volume(&mut self, volume: &'a dyn FrozenVolume) -> Result<VolumeReport> {
        let compared = self.draft.open_volume(self.archive, volume)?;
        if let Some(dedup) = self.dedup_of(volume) {
            dedup.prepare(self.archive, compared.volume)?;
        }
        let look = self.look(volume, &compared)?;
        let chunk_size = self.archive.chunk_size() as u64;
        let chunks = look.chunks(volume.size().div_ceil(chunk_size));
        let bytes = |chunk: u64| (chunk * chunk_size).min(volume.size());
        let to_look_at = chunks.iter().map(|c| bytes(c.end) - bytes(c.start)).sum();
        self.watched = self.around.monitor.begin(&Task {
            activity: Activity::Send,
            volume: volume.name().to_owned(),
            total: Some(to_look_at),
        });
        let changed = match look {
            Look::Only { changed, .. } => Some(changed),
            Look::Everything(_) => None,
        };
        let result = match &changed {
            _ if volume.size() > MAX_VOLUME => Err(Error::Source(SourceError::new(
                SourceErrorKind::NotAVolume,
                volume.name(),
                "it is larger than 1 PiB",
            ))),
            Some(changed) if self.options.dry_run => {
                self.estimate(to_look_at, changed.total());
                Ok(())
            }
            _ => self.feed(volume, &compared, chunks, changed),
        };
        let outcome = match result {
            Ok(()) => self.draft.close_volume(self.options.send_unchanged),
            Err(Error::Interrupted) => {
                self.draft.leave_volume();
                VolumeOutcome::Interrupted
            }
            Err(Error::Source(error)) => {
                self.draft.leave_volume();
                VolumeOutcome::Failed(error)
            }
            Err(error) => {
                let outcome = Outcome::Failed(error.to_string());
                self.around.monitor.end(&self.watched, &outcome);
                return Err(error);
            }
        };
        let report = VolumeReport {
            name: volume.name().to_owned(),
            outcome,
            size: volume.size(),
            counts: self.watched.counts(),
        };
        self.around
            .monitor
            .end(&self.watched, &report.outcome.for_monitor());
        Ok(report)
    }

    /// The index of chunks, if it is used for the volume.
    fn dedup_of(&self, volume: &dyn FrozenVolume) -> Option<&Arc<Dedup>> {
        let wanted = self.options.dedups(volume.name());
        self.dedup.as_ref().filter(|_| wanted)
    }

    /// Which chunks of the volume are looked at; if it has to be all of them, that is told once.
    fn look(&mut self, volume: &dyn FrozenVolume, compared: &Compared) -> Result<Look> {
        let look = if self.options.compare_all {
            Look::Everything(None)
        } else {
            let nodes = self.archive.nodes();
            look(&nodes, volume, &compared.base, compared.finished.as_ref())?
        };
        if let Look::Everything(why) = &look {
            self.draft.adopt_snapshot();
            if let Some(why) = why {
                let text = format!("volume {}: comparing everything: {why}", volume.name());
                self.around.monitor.note(&text);
            }
        }
        Ok(look)
    }

    /// The session is in the archive: that dom0 cannot keep its index is worth a word, not a failure.
    fn keep_index(&self) {
        let Some(dedup) = &self.dedup else {
            return;
        };
        if let Err(error) = dedup.save(self.archive) {
            let text = format!("the dedup index is not kept for the next run: {error}");
            self.around.monitor.warning(&text);
        }
        if dedup.is_full() {
            self.around.monitor.note(
                "the dedup index is full: some chunks are stored again; `nacre arch-deduplicate` shares them",
            );
        }
    }

    /// What the storage itself says of changes is good enough to tell how much there is to do.
    fn estimate(&mut self, looked_at: u64, changed: u64) {
        self.draft.estimated(changed);
        self.watched.add(Counts {
            scanned: looked_at,
            changed,
            ..Counts::default()
        });
    }

    fn feed(
        &mut self,
        volume: &'a dyn FrozenVolume,
        compared: &Compared,
        chunks: ChunkRanges,
        changed: Option<Arc<Ranges>>,
    ) -> Result<()> {
        let ids = self.archive.chunk_ids(compared.domain);
        let owner = Owner::new(compared.volume, self.draft.seq(), ids);
        let owner = owner.with_dedup(self.dedup_of(volume).cloned());
        let owner = Arc::new(match changed {
            Some(changed) => {
                owner.with_patches(Before::new(volume, changed, self.archive.format()))
            }
            None => owner,
        });
        let chunk_size = self.archive.chunk_size() as u64;
        let known = KnownEntries::new(self.archive.nodes(), &compared.base, Arc::clone(&chunks));
        let batch = (JOB_SIZE as u64 / chunk_size).max(1);
        let mut feed = Feed::new(volume, known, chunks, chunk_size, batch);
        let outcome = self.steps(&mut feed, &owner);
        // Whatever ended it: what the workers have in hand is stored and goes into the next commit.
        let drained = self.drain();
        self.draft.reached(feed.next_chunk());
        drained.and(outcome)
    }

    fn steps(&mut self, feed: &mut Feed<'_>, owner: &Arc<Owner<'a>>) -> Result<()> {
        let mut told = 0;
        loop {
            if self.around.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let pipeline = &mut self.pipeline;
            match feed.step(|| pipeline.buffer())? {
                Step::Job(job) => self.pipeline.submit(owner, job)?,
                Step::Emptied(chunks) => self.draft.emptied(&chunks),
                Step::Done => return Ok(()),
            }
            self.collect();
            let scanned = feed.looked_at() - told;
            told += scanned;
            self.watched.scanned(scanned);
            if self.checkpoint_due() {
                self.drain()?;
                self.draft.reached(feed.next_chunk());
                self.commit(false)?;
            }
        }
    }

    fn collect(&mut self) {
        let mut taken = Taken::new(&mut self.draft, &mut self.stored_since, &self.watched);
        self.pipeline.collect(&mut |done| taken.take(done));
    }

    fn drain(&mut self) -> Result<()> {
        let mut taken = Taken::new(&mut self.draft, &mut self.stored_since, &self.watched);
        self.pipeline.drain(&mut |done| taken.take(done))
    }

    fn checkpoint_due(&self) -> bool {
        self.stored_since >= self.options.checkpoint_bytes
            || self.draft.pending() >= MOST_PENDING
            || self.draft.pending_leaves() >= self.options.checkpoint_leaves
            || self.stored_since > 0 && self.since.elapsed() >= self.options.checkpoint_time
    }

    /// Everything so far becomes part of the archive.
    fn commit(&mut self, finished: bool) -> Result<()> {
        let packs = self.pipeline.settle()?;
        let index = self.packer.take_alias();
        let mut commit = self.archive.begin_commit(index);
        commit.add_packs(packs);
        self.draft.write(&mut commit, finished)?;
        let sessions = commit.changed_sessions().clone();
        if let Some(dedup) = &self.dedup {
            commit.share(dedup.shared());
        }
        commit.finish(self.around.clock)?;
        self.draft.committed();
        if let Some(dedup) = &self.dedup {
            dedup.committed(&sessions);
        }
        self.since = Instant::now();
        self.stored_since = 0;
        Ok(())
    }
}

/// Takes the workers' results into the draft.
struct Taken<'a> {
    draft: &'a mut Draft,
    stored: &'a mut u64,
    watched: &'a Progress,
}

impl<'a> Taken<'a> {
    fn new(draft: &'a mut Draft, stored: &'a mut u64, watched: &'a Progress) -> Self {
        Self {
            draft,
            stored,
            watched,
        }
    }

    fn take(&mut self, done: &mut Done) {
        *self.stored += done.stored;
        self.draft.take(done);
        self.watched.add(Counts {
            changed: done.changed,
            deduplicated: done.deduplicated,
            sent: done.stored,
            ..Counts::default()
        });
    }
}
