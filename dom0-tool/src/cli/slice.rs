//! `--data` of `arch-check`: how much of the data is read.

use std::str::FromStr;

use super::error::BadValue;

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSlice {
    /// All of it.
    All,
    /// So many percent, 1 to 100: what was read longest ago first.
    Percent(u8),
    /// One of several parts of about the same size.
    Part {
        /// Which, from 1.
        part: u32,
        /// How many there are, up to 1000.
        of: u32,
    },
}

impl FromStr for DataSlice {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wrong = || BadValue::new("give a percentage from 1% to 100%, or N/M: part N of M");
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            };
        }
        let (part, of) = text.split_once('/').ok_or_else(wrong)?;
        match (part.parse(), of.parse()) {
            (Ok(part), Ok(of)) if (1..=of).contains(&part) && of <= 1000 => {
                Ok(Self::Part { part, of })
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_percentages_and_fractions() {
        let read = |text: &str| text.parse::<DataSlice>().ok();
        assert_eq!(read("all"), Some(DataSlice::All));
        assert_eq!(read("5%"), Some(DataSlice::Percent(5)));
        assert_eq!(read("3/7"), Some(DataSlice::Part { part: 3, of: 7 }));
        for wrong in [
            "", "0%", "101%", "5", "0/7", "8/7", "1/0", "a/b", "1/1001", "-1%",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
