//! The machine's clock, in the zone that `TZ` or the system says.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::joints::{CivilTime, Clock, Moment};

/// The kernel's clock and the system's time zone, which is looked up once.
#[derive(Clone, Debug)]
pub struct SystemClock {
    zone: TimeZone,
    started: Instant,
}

impl SystemClock {
    /// Takes the zone of `TZ`, else of /etc/localtime, else UTC.
    pub fn new() -> Self {
        Self::in_zone(TimeZone::system())
    }

    /// A clock whose local time is UTC, whatever the system says.
    pub fn utc() -> Self {
        Self::in_zone(TimeZone::UTC)
    }

    fn in_zone(zone: TimeZone) -> Self {
        Self {
            zone,
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Moment {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanos: since.subsec_nanos(),
            },
            // A clock before 1970 is wrong in any case; whole seconds tell as much.
            Err(error) => Moment {
                seconds: i64::try_from(error.duration().as_secs()).map_or(i64::MIN, |s| -s),
                nanos: 0,
            },
        }
    }

    fn civil(&self, moment: Moment) -> CivilTime {
        // A day inside the calendar's ends, so that no zone's offset leads out of it.
        let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let seconds = moment.seconds.clamp(first + 86_400, last - 86_400);
        let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = time.to_zoned(self.zone.clone());
        // Years outside 0..=9999 have no form with four digits.
        let year = local.year().clamp(0, 9999);
        let name = format!(
            "{year:04}{:02}{:02}-{:02}{:02}{:02}",
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second()
        );
        let zone = match self.zone.iana_name() {
            Some(name) if name.len() <= 64 => name.to_owned(),
            _ => local.offset().to_string(),
        };
        CivilTime {
            name,
            zone,
            offset_seconds: local.offset().seconds(),
        }
    }

    fn stopwatch(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn civil(zone: TimeZone, seconds: i64) -> CivilTime {
        SystemClock::in_zone(zone).civil(Moment { seconds, nanos: 0 })
    }

    #[test]
    fn a_moment_is_named_in_local_time() {
        let utc = civil(TimeZone::UTC, 1_709_164_799);
        assert_eq!(
            (utc.name.as_str(), utc.offset_seconds),
            ("20240228-235959", 0)
        );
        assert_eq!(utc.zone, "UTC");
        let west = TimeZone::fixed(jiff::tz::offset(-5));
        let west = civil(west, 1_709_164_799);
        assert_eq!(
            (west.name.as_str(), west.offset_seconds),
            ("20240228-185959", -18_000)
        );
        assert_eq!(west.zone, "-05");
    }

    #[test]
    fn any_moment_has_a_name_of_fifteen_characters() {
        for seconds in [i64::MIN, -1, 0, 253_402_300_800, i64::MAX] {
            for hours in [-24, 0, 24] {
                let zone = TimeZone::fixed(jiff::tz::offset(hours));
                assert_eq!(civil(zone, seconds).name.len(), 15);
            }
        }
    }
}
