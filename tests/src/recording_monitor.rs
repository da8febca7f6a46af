//! A monitor that remembers what it was told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre::joints::{Counts, Level, Monitor, Outcome, Progress, Summary, Task};

/// What was said, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A task began.
    Began(Task),
    /// A task ended, with these counts.
    Ended(String, Outcome, Counts),
    /// A message.
    Message(Level, String),
    /// The summary.
    Summary(Summary),
}

/// Remembers everything. Clones share their memory.
#[derive(Clone, Debug, Default)]
pub struct RecordingMonitor {
    said: Arc<Mutex<Vec<Said>>>,
    running: Arc<Mutex<Vec<Running>>>,
}

/// A task's counters, and its volume.
type Running = (Arc<Progress>, String);

impl RecordingMonitor {
    /// With an empty memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything said so far.
    pub fn said(&self) -> Vec<Said> {
        lock(&self.said).clone()
    }

    /// The texts of all messages at this level or above.
    pub fn messages(&self, least: Level) -> Vec<String> {
        let said = self.said();
        said.into_iter()
            .filter_map(|said| match said {
                Said::Message(level, text) if level >= least => Some(text),
                _ => None,
            })
            .collect()
    }

    /// The counts of all tasks that ended, added up.
    pub fn counts(&self) -> Counts {
        let said = self.said();
        said.iter().fold(Counts::default(), |sum, said| match said {
            Said::Ended(_, _, counts) => sum.plus(*counts),
            _ => sum,
        })
    }

    /// Tasks that began and have not ended: none after a command.
    pub fn running(&self) -> usize {
        lock(&self.running).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Monitor for RecordingMonitor {
    fn begin(&self, task: &Task) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        lock(&self.running).push((progress.clone(), task.volume.clone()));
        lock(&self.said).push(Said::Began(task.clone()));
        progress
    }

    fn end(&self, progress: &Arc<Progress>, outcome: &Outcome) {
        let mut running = lock(&self.running);
        let at = running
            .iter()
            .position(|(one, _)| Arc::ptr_eq(one, progress));
        let volume = at.map_or_else(String::new, |at| running.remove(at).1);
        lock(&self.said).push(Said::Ended(volume, outcome.clone(), progress.counts()));
    }

    fn message(&self, level: Level, text: &str) {
        lock(&self.said).push(Said::Message(level, text.to_owned()));
    }

    fn summary(&self, summary: &Summary) {
        lock(&self.said).push(Said::Summary(summary.clone()));
    }
}
