//! The tasks that are running, and a thread that looks at them now and then.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::joints::{Progress, Task};

/// A task that is running.
#[derive(Clone, Debug)]
pub struct Running {
    /// What it is.
    pub task: Task,
    /// Its counters.
    pub progress: Arc<Progress>,
    /// When it began.
    pub since: Instant,
}

/// The tasks that are running.
#[derive(Debug, Default)]
pub struct Board {
    running: Mutex<Vec<Running>>,
}

impl Board {
    /// Puts a task on the board.
    pub fn begin(&self, task: &Task) -> Running {
        let running = Running {
            task: task.clone(),
            progress: Arc::default(),
            since: Instant::now(),
        };
        unpoisoned(&self.running).push(running.clone());
        running
    }

    /// Takes a task off; `None` if it was not there.
    pub fn end(&self, progress: &Arc<Progress>) -> Option<Running> {
        let mut running = unpoisoned(&self.running);
        let at = running
            .iter()
            .position(|one| Arc::ptr_eq(&one.progress, progress))?;
        Some(running.remove(at))
    }

    /// Those that are on it now.
    pub fn running(&self) -> Vec<Running> {
        unpoisoned(&self.running).clone()
    }
}

/// A thread that panicked while it reported is no reason for the others to stop.
pub fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls something again and again, until it is dropped.
#[derive(Debug)]
pub struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts. Where no thread can be had, there is no progress to be seen, and the work goes on.
    pub fn start(every: Duration, tick: impl Fn() + Send + 'static) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    tick();
                }
            });
        Self {
            stop: Some(stop),
            thread: thread.ok(),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
