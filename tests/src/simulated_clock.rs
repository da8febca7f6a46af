//! A clock that goes as the test wants.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use nacre::clock::SystemClock;
use nacre::joints::{CivilTime, Clock, Moment};

/// Stands still until it is moved. Local time is UTC.
#[derive(Debug)]
pub struct SimulatedClock {
    seconds: AtomicI64,
    stopwatch: AtomicU64,
}

impl SimulatedClock {
    /// Shows so many seconds since 1970.
    pub fn at(seconds: i64) -> Self {
        Self {
            seconds: AtomicI64::new(seconds),
            stopwatch: AtomicU64::new(0),
        }
    }

    /// Time goes on: the clock on the wall and the stopwatch.
    pub fn advance(&self, seconds: u32) {
        self.seconds.fetch_add(i64::from(seconds), Ordering::SeqCst);
        self.stopwatch
            .fetch_add(u64::from(seconds), Ordering::SeqCst);
    }

    /// Somebody sets the clock on the wall, also back; the stopwatch goes on unmoved.
    pub fn set(&self, seconds: i64) {
        self.seconds.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Moment {
        Moment {
            seconds: self.seconds.load(Ordering::SeqCst),
            nanos: 0,
        }
    }

    fn civil(&self, moment: Moment) -> CivilTime {
        SystemClock::utc().civil(moment)
    }

    fn stopwatch(&self) -> Duration {
        Duration::from_secs(self.stopwatch.load(Ordering::SeqCst))
    }
}
