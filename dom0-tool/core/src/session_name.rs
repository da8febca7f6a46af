//! Names of sessions: local time as `YYYYMMDD-HHMMSS`, stored and never computed again (DESIGN 4.4).

use std::fmt;
use std::str::FromStr;

use crate::error::FormatError;

/// Length of a name in bytes.
pub const NAME_LENGTH: usize = 15;

/// A session's name. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionName {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl SessionName {
    /// The name of a new session made at local time `now`: greater than the newest there is. A clock that was set back, or two
    /// sessions in one second, give the newest plus one second.
    pub fn after(now: Self, newest: Option<Self>) -> Self {
        match newest {
            Some(newest) if newest >= now => newest.plus_one_second(),
            _ => now,
        }
    }

    /// Year, month (1 to 12), day (1 to 31).
    pub fn date(self) -> (u16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// Hour (0 to 23), minute, second.
    pub fn time(self) -> (u8, u8, u8) {
        (self.hour, self.minute, self.second)
    }

    /// One second later by the calendar, without leap seconds or changes of zone.
    #[must_use]
    pub fn plus_one_second(self) -> Self {
        let mut next = self;
        let carried = carry(&mut next.second, 0, 59)
            && carry(&mut next.minute, 0, 59)
            && carry(&mut next.hour, 0, 23)
            && carry(&mut next.day, 1, days(self.year, self.month))
            && carry(&mut next.month, 1, 12);
        if carried {
            // There is nothing behind the year 9999; staying there is as good as anything.
            next.year = self.year.saturating_add(1).min(9999);
        }
        next
    }
}

/// Adds one, or goes back to `first` and says that the next larger unit must be raised.
fn carry(unit: &mut u8, first: u8, last: u8) -> bool {
    if *unit < last {
        *unit = unit.saturating_add(1);
        false
    } else {
        *unit = first;
        true
    }
}

/// Days of a month.
fn days(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FromStr for SessionName {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let bad = || FormatError::OutOfRange("a session name");
        let digits = |from: usize, to: usize| -> Result<u16, FormatError> {
            let part = text.get(from..to).ok_or_else(bad)?;
            if !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(bad());
            }
            part.parse().map_err(|_| bad())
        };
        let small = |from, to| u8::try_from(digits(from, to)?).map_err(|_| bad());
        if text.len() != NAME_LENGTH || text.get(8..9) != Some("-") {
            return Err(bad());
        }
        let name = Self {
            year: digits(0, 4)?,
            month: small(4, 6)?,
            day: small(6, 8)?,
            hour: small(9, 11)?,
            minute: small(11, 13)?,
            second: small(13, 15)?,
        };
        let valid = (1..=12).contains(&name.month)
            && (1..=days(name.year, name.month)).contains(&name.day)
            && name.hour <= 23
            && name.minute <= 59
            && name.second <= 59;
        if valid { Ok(name) } else { Err(bad()) }
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}{:02}{:02}-{:02}{:02}{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SessionName {
        text.parse().unwrap()
    }

    #[test]
    fn a_second_carries_through_the_calendar() {
        for (now, next) in [
            ("20261121-085959", "20261121-090000"),
            ("20261231-235959", "20270101-000000"),
            ("20280228-235959", "20280229-000000"),
            ("21000228-235959", "21000301-000000"),
            ("99991231-235959", "99990101-000000"),
        ] {
            assert_eq!(name(now).plus_one_second().to_string(), next);
        }
    }

    #[test]
    fn a_clock_set_back_still_gives_a_greater_name() {
        let newest = name("20261121-100000");
        let after = |now| SessionName::after(name(now), Some(newest)).to_string();
        assert_eq!(after("20261121-090000"), "20261121-100001");
        assert_eq!(after("20261121-100000"), "20261121-100001");
        assert_eq!(after("20261121-100005"), "20261121-100005");
        assert_eq!(SessionName::after(newest, None), newest);
    }

    #[test]
    fn what_is_no_time_is_no_name() {
        for text in [
            "",
            "20261121-24000",
            "20261121-240000",
            "20261131-000000",
            "20270229-000000",
            "20261121 000000",
            "2026112a-000000",
            "+0261121-000000",
            "20261121-0000000",
        ] {
            assert!(text.parse::<SessionName>().is_err(), "{text}");
        }
        assert!(name("20261121-000001") < name("20270101-000000"));
    }
}
