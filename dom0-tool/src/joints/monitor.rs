//! Who watches: counts of running tasks, messages, and the summary at the end.
//!
//! The pipelines touch only [`Progress`], whose counters are plain atomic additions; whoever shows them looks at them
//! when it pleases. A `Monitor` that is slow or blocked therefore never slows the work down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a task does with its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A volume is read and stored.
    Send,
    /// A volume is written back.
    Receive,
    /// A volume is read back and compared, and not written.
    Verify,
    /// A local volume is compared with a session.
    Diff,
    /// A volume is looked through for damage in all its sessions.
    Check,
}

/// One task, as it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// What is done.
    pub activity: Activity,
    /// The volume's name; may come from an archive and is sanitised by whoever shows it.
    pub volume: String,
    /// Bytes there are to look at, if known: the size of the volume.
    pub total: Option<u64>,
}

/// Bytes counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Looked at, holes and zeros included: the measure of how far a task is.
    pub scanned: u64,
    /// Different from what the archive (sending) or the goal (receiving) had.
    pub changed: u64,
    /// Changed bytes that the archive had elsewhere, so that they were not sent.
    pub deduplicated: u64,
    /// Sent to the store, as it lies there.
    pub sent: u64,
    /// Fetched from the store, as it lies there.
    pub fetched: u64,
    /// Written to the goal.
    pub written: u64,
}

impl Counts {
    /// The sum, field by field; stops at the largest number instead of wrapping.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            scanned: self.scanned.saturating_add(other.scanned),
            changed: self.changed.saturating_add(other.changed),
            deduplicated: self.deduplicated.saturating_add(other.deduplicated),
            sent: self.sent.saturating_add(other.sent),
            fetched: self.fetched.saturating_add(other.fetched),
            written: self.written.saturating_add(other.written),
        }
    }
}

/// The counters of one task, shared by its threads and by those who watch.
#[derive(Debug, Default)]
pub struct Progress {
    scanned: AtomicU64,
    changed: AtomicU64,
    deduplicated: AtomicU64,
    sent: AtomicU64,
    fetched: AtomicU64,
    written: AtomicU64,
}

impl Progress {
    /// Adds to the counters; zeros cost nothing.
    pub fn add(&self, by: Counts) {
        let pairs = [
            (&self.scanned, by.scanned),
            (&self.changed, by.changed),
            (&self.deduplicated, by.deduplicated),
            (&self.sent, by.sent),
            (&self.fetched, by.fetched),
            (&self.written, by.written),
        ];
        for (counter, bytes) in pairs {
            if bytes != 0 {
                // Relaxed: nothing but the number itself is read through these counters.
                counter.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Adds to `scanned` alone.
    pub fn scanned(&self, bytes: u64) {
        self.scanned.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The counters now. Each is right; together they may be of slightly different instants.
    pub fn counts(&self) -> Counts {
        Counts {
            scanned: self.scanned.load(Ordering::Relaxed),
            changed: self.changed.load(Ordering::Relaxed),
            deduplicated: self.deduplicated.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            fetched: self.fetched.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
        }
    }
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All done.
    Done,
    /// There was nothing to do: nothing had changed.
    Unchanged,
    /// Done but for parts that are named (`volume-x: bytes 0..4096 are damaged`).
    Partly(String),
    /// Not done; why.
    Failed(String),
}

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault; shown with `--debug`.
    Debug,
    /// Shown with `--verbose`.
    Detail,
    /// Shown unless `--quiet`.
    Note,
    /// Always shown: it worked, but the user should know.
    Warning,
    /// Always shown: something did not work.
    Error,
}

/// What is said of one volume at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSummary {
    /// The volume's name.
    pub volume: String,
    /// Its size in bytes.
    pub size: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Its counts.
    pub counts: Counts,
}

/// What is said of the whole command at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What was done.
    pub activity: Activity,
    /// The session that was made or read, if there was one.
    pub session: Option<String>,
    /// Nothing was changed: the figures are those of `--dry-run`.
    pub dry_run: bool,
    /// Volume by volume, in the order of the work.
    pub volumes: Vec<VolumeSummary>,
    /// From the command's begin to its end.
    pub elapsed: Duration,
}

impl Summary {
    /// The sum over all volumes.
    pub fn counts(&self) -> Counts {
        self.volumes
            .iter()
            .fold(Counts::default(), |sum, volume| sum.plus(volume.counts))
    }
}

/// Something that watches the work. Calls come from several threads and must be cheap.
pub trait Monitor: Send + Sync {
    /// A task begins. It counts by the value returned, until `end` is called with the same value.
    fn begin(&self, task: &Task) -> Arc<Progress>;

    /// A task ended. Its counters do not change any more.
    fn end(&self, progress: &Arc<Progress>, outcome: &Outcome);

    /// Says something. `text` is one sentence; whoever shows it sanitises it.
    fn message(&self, level: Level, text: &str);

    /// Says what the command did. Called once for each target, after the last task.
    fn summary(&self, summary: &Summary);

    /// What is told from here on is about this target, one of several; empty: about the one that the command was given.
    fn target(&self, _name: &str) {}
}

/// Shorter ways to say things.
impl dyn Monitor + '_ {
    /// A message at `Level::Note`.
    pub fn note(&self, text: &str) {
        self.message(Level::Note, text);
    }

    /// A message at `Level::Warning`.
    pub fn warning(&self, text: &str) {
        self.message(Level::Warning, text);
    }

    /// A message at `Level::Error`.
    pub fn error(&self, text: &str) {
        self.message(Level::Error, text);
    }
}

/// Watches nothing and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Monitor for Unwatched {
    fn begin(&self, _task: &Task) -> Arc<Progress> {
        Arc::default()
    }

    fn end(&self, _progress: &Arc<Progress>, _outcome: &Outcome) {}

    fn message(&self, _level: Level, _text: &str) {}

    fn summary(&self, _summary: &Summary) {}
}
