//! What time it is: handed in, so that tests can set the clock back, stop it and let it jump.

use std::time::Duration;

/// A point in time, as UTC. Kept beside a session for people; no rule of the archive depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Seconds since 1970-01-01T00:00:00Z; negative before that.
    pub seconds: i64,
    /// Nanoseconds above `seconds`, below 1 000 000 000.
    pub nanos: u32,
}

/// A moment as the calendar and the clock on this machine's wall show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CivilTime {
    /// Local time as `YYYYMMDD-HHMMSS`, the form of session names; always 15 ASCII characters.
    pub name: String,
    /// The zone's name (`Europe/Berlin`, `UTC`), or its offset (`+02:00`) where it has no name; at most 64 bytes.
    pub zone: String,
    /// What was added to UTC, in seconds.
    pub offset_seconds: i32,
}

/// The clock on the wall and the stopwatch.
pub trait Clock: Send + Sync {
    /// The time of day. May jump in both directions.
    fn now(&self) -> Moment;

    /// `moment` in this machine's zone. Total: a moment beyond the calendar's range is moved to its nearest end.
    fn civil(&self, moment: Moment) -> CivilTime;

    /// Time since some fixed point; never goes back, and stands still or not while the machine sleeps.
    fn stopwatch(&self) -> Duration;
}
