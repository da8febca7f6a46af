//! What pruning leaves and what it takes: values of `prune`.

use std::str::FromStr;

use super::error::BadValue;
use super::session::{SessionTime, TagId};

/// `--keep`: sessions that stay whatever else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepSpec {
    /// The one of this name.
    At(SessionTime),
    /// All with this tag.
    Tagged(TagId),
}

impl FromStr for KeepSpec {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if let Some(tag) = text.strip_prefix('^') {
            return Ok(Self::Tagged(tag.parse()?));
        }
        let time = text.parse().map(Self::At);
        time.map_err(|_| BadValue::new("give YYYYMMDD-HHMMSS or ^TAG"))
    }
}

/// `--autoprune`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoPrune {
    /// Nothing is thinned out.
    #[default]
    Off,
    /// What `--apdays` gives up goes; with `send` only as much of it as the store needs room.
    On,
    /// All of it goes.
    Full,
}

impl FromStr for AutoPrune {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::On),
            "full" => Ok(Self::Full),
            _ => Err(BadValue::new("use off, on or full")),
        }
    }
}

/// `--apdays=A:B:C:D`: days and sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApDays(pub [u32; 4]);

impl Default for ApDays {
    fn default() -> Self {
        Self([0, 62, 1, 2])
    }
}

impl FromStr for ApDays {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
        let days: Option<[u32; 4]> = numbers.ok().and_then(|numbers| numbers.try_into().ok());
        match days {
            Some(days) if days[2] > 0 => Ok(Self(days)),
            Some(_) => Err(BadValue::new(
                "the third number is the length of a window in days, at least 1",
            )),
            None => Err(BadValue::new(
                "give four numbers of days and sessions, A:B:C:D, as in 0:62:1:2",
            )),
        }
    }
}

/// A span of time, in seconds: `36h`, `10d`, `4w`, `6m` (of 30 days), `2y` (of 365 days).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub u64);

impl FromStr for Span {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const HOUR: u64 = 3600;
        let wrong = || BadValue::new("give a number and h, d, w, m or y, as in 10d");
        let (at, unit) = text.char_indices().next_back().ok_or_else(wrong)?;
        let unit = match unit {
            'h' => HOUR,
            'd' => 24 * HOUR,
            'w' => 7 * 24 * HOUR,
            'm' => 30 * 24 * HOUR,
            'y' => 365 * 24 * HOUR,
            _ => return Err(wrong()),
        };
        let number = text.get(..at).unwrap_or_default();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let span = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        span.map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        assert_eq!("36h".parse(), Ok(Span(36 * 3600)));
        assert_eq!("2w".parse(), Ok(Span(14 * 86_400)));
        for bad in [
            "",
            "d",
            "10",
            "-1d",
            "1.5d",
            "10 d",
            "99999999999999999999y",
            "9é",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn apdays_are_four_numbers() {
        assert_eq!("0:62:1:2".parse(), Ok(ApDays::default()));
        for bad in ["", "1:2:3", "1:2:3:4:5", "0:62:0:2", "a:b:c:d", "-1:2:3:4"] {
            assert!(bad.parse::<ApDays>().is_err(), "{bad}");
        }
    }
}
