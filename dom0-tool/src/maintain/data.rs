//! Reading chunks back, in several threads, and remembering which are bad.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use nacre_core::hash::ChunkIdKey;

use super::survey::{Bad, Entries, bad_key};
use crate::archive::{ChunkReader, Error, Nodes, Result, Task, tasks};
use crate::joints::{Counts, Progress};

/// Threads that wait for the store beside those that compute.
const WAITING: usize = 2;

/// Checks chunks of one volume.
pub struct DataCheck<'a> {
    /// The index.
    pub nodes: &'a Nodes,
    /// Ids of the volume's domain.
    pub ids: &'a ChunkIdKey,
    /// Threads that decode.
    pub threads: usize,
    /// Counters.
    pub progress: &'a Progress,
    /// Set when the user wants it to stop.
    pub stop: &'a AtomicBool,
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    bad: Mutex<Bad>,
    failure: Mutex<Option<Error>>,
    failed: AtomicBool,
}

impl DataCheck<'_> {
    /// Calls `feed` with a function that takes entries to read, and returns those that are bad.
    pub fn run(
        &self,
        feed: impl FnOnce(&mut dyn FnMut(Entries) -> Result<()>) -> Result<()>,
    ) -> Result<Bad> {
        let shared = Shared::default();
        let threads = self.threads.max(1) + WAITING;
        let (sender, tasks) = bounded::<Task>(threads * 2);
        let fed = std::thread::scope(|scope| {
            for _ in 0..threads {
                let tasks = tasks.clone();
                let shared = &shared;
                scope.spawn(move || self.work(&tasks, shared));
            }
            drop(tasks);
            let fed = feed(&mut |entries| self.give(entries, &sender, &shared));
            drop(sender);
            fed
        });
        if let Some(error) = lock(&shared.failure).take() {
            return Err(error);
        }
        fed?;
        if self.stop.load(Ordering::Relaxed) {
            // The threads may have left out what was handed to them already: what was not read is not known to be whole.
            return Err(Error::Interrupted);
        }
        Ok(std::mem::take(&mut *lock(&shared.bad)))
    }

    fn give(&self, entries: Entries, sender: &Sender<Task>, shared: &Shared) -> Result<()> {
        for task in tasks::cut(entries) {
            // No receiver is left only when all threads have failed, and they have said why.
            let _ = sender.send(task);
        }
        if self.stop.load(Ordering::Relaxed) || shared.failed.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }

    fn work(&self, tasks: &Receiver<Task>, shared: &Shared) {
        let mut reader = ChunkReader::new(self.nodes, self.ids, self.nodes.format().chunk_size());
        for task in tasks {
            if shared.failed.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = self.one(&mut reader, &task, shared) {
                shared.failed.store(true, Ordering::Relaxed);
                lock(&shared.failure).get_or_insert(error);
            }
        }
    }

    fn one(&self, reader: &mut ChunkReader<'_>, task: &Task, shared: &Shared) -> Result<()> {
        let size = self.nodes.format().chunk_size() as u64;
        let mut at = task.iter();
        reader.read(task, &mut |_, content, fetched| {
            let entry = at.next().map(|(_, entry)| entry);
            self.progress.add(Counts {
                scanned: size,
                fetched,
                ..Counts::default()
            });
            match content {
                Ok(_) => Ok(()),
                Err(error) if error.is_damage() => {
                    if let Some(key) = entry.and_then(bad_key) {
                        lock(&shared.bad).insert(key, error.to_string().into());
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
