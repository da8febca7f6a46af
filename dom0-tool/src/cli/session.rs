//! Which sessions are meant, and how they are tagged.

use std::fmt;
use std::str::FromStr;

use super::error::BadValue;
use super::volume::is_printable;

/// A session's name: local time at its creation, `YYYYMMDD-HHMMSS`. Sorts by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionTime(String);

impl SessionTime {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SessionTime {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wrong =
            || BadValue::new("a session is named YYYYMMDD-HHMMSS, as `nacre list VOLUME` shows it");
        let digits = |from: usize, to: usize| -> Option<u32> {
            let part = text.get(from..to)?;
            let all_digits = part.bytes().all(|byte| byte.is_ascii_digit());
            all_digits.then(|| part.parse().ok())?
        };
        let fields = (|| {
            Some((
                digits(0, 4)?,
                digits(4, 6)?,
                digits(6, 8)?,
                digits(9, 11)?,
                digits(11, 13)?,
                digits(13, 15)?,
            ))
        })();
        let Some((year, month, day, hour, minute, second)) = fields else {
            return Err(wrong());
        };
        let form = text.len() == 15 && text.as_bytes().get(8) == Some(&b'-');
        if !form || day == 0 || day > days(year, month) || hour > 23 || minute > 59 || second > 59 {
            return Err(wrong());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Days of a month; 0 if there is no such month.
fn days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => 0,
    }
}

/// One session, said by name or by tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionPoint {
    /// The newest.
    Newest,
    /// The one of this name.
    At(SessionTime),
    /// The last one that has this tag.
    Tagged(TagId),
}

impl FromStr for SessionPoint {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text == "newest" {
            Ok(Self::Newest)
        } else if let Some(tag) = text.strip_prefix('^') {
            Ok(Self::Tagged(tag.parse()?))
        } else {
            text.parse().map(Self::At).map_err(|_| {
                BadValue::new(
                    "give YYYYMMDD-HHMMSS, ^TAG, or newest; `nacre list VOLUME` shows them",
                )
            })
        }
    }
}

impl fmt::Display for SessionPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::At(time) => time.fmt(f),
            Self::Tagged(tag) => write!(f, "^{tag}"),
        }
    }
}

/// The value of `--session`: one session, or a range from the first to the last, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionSelector {
    /// One.
    One(SessionPoint),
    /// From one to another.
    Range(SessionPoint, SessionPoint),
}

impl FromStr for SessionSelector {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Some((first, last)) = text.split_once(',') else {
            return Ok(Self::One(text.parse()?));
        };
        let (first, last) = (first.parse()?, last.parse()?);
        if let (SessionPoint::At(first), SessionPoint::At(last)) = (&first, &last)
            && first > last
        {
            return Err(BadValue::new("a range begins with its older session"));
        }
        Ok(Self::Range(first, last))
    }
}

/// A tag's id: 1 to 128 bytes, printable, without space, comma, `=` and `^`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId(String);

impl TagId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TagId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TagId {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let well_formed = (1..=128).contains(&text.len())
            && is_printable(text)
            && !text.contains([' ', ',', '=', '^']);
        if !well_formed || text == "@" {
            return Err(BadValue::new(
                "a tag has 1 to 128 bytes, all printable, and no space, comma, '=' or '^'",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A tag as `send` stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// By which sessions are selected.
    pub id: TagId,
    /// A remark for people, at most 1024 bytes; may be empty.
    pub description: String,
}

impl FromStr for Tag {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (id, description) = text.split_once(',').unwrap_or((text, ""));
        let description = description.trim();
        if description.len() > 1024 || !is_printable(description) {
            return Err(BadValue::new(
                "a tag's description is one line of at most 1024 bytes without control or invisible characters",
            ));
        }
        Ok(Self {
            id: id.trim().parse()?,
            description: description.to_owned(),
        })
    }
}

/// `--tag` of `send`: a tag, or the wish to be asked for one (empty, or `@`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagWish {
    /// Ask for it.
    Ask,
    /// This one.
    Given(Tag),
}

impl FromStr for TagWish {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "" | "@" => Ok(Self::Ask),
            _ => text.parse().map(Self::Given),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_of_the_calendar_name_a_session() {
        for good in ["20240229-000000", "20000229-235959", "20251231-120000"] {
            assert!(good.parse::<SessionTime>().is_ok(), "{good}");
        }
        for bad in [
            "20230229-000000",
            "19000229-000000",
            "20251301-000000",
            "20250100-000000",
            "20250101-240000",
            "20250101-006000",
            "20250101",
            "20250101_000000",
            "20250101-000000 ",
            "2025010१-000000",
            "+0250101-000000",
            "",
        ] {
            assert!(bad.parse::<SessionTime>().is_err(), "{bad}");
        }
    }

    #[test]
    fn selectors_mean_what_they_say() {
        let at = |text: &str| SessionPoint::At(text.parse().unwrap());
        assert_eq!(
            "newest".parse::<SessionSelector>(),
            Ok(SessionSelector::One(SessionPoint::Newest))
        );
        assert_eq!(
            "20240101-000000,20240102-000000".parse(),
            Ok(SessionSelector::Range(
                at("20240101-000000"),
                at("20240102-000000")
            ))
        );
        assert!(matches!(
            "^a,^b".parse(),
            Ok(SessionSelector::Range(
                SessionPoint::Tagged(_),
                SessionPoint::Tagged(_)
            ))
        ));
        for bad in [
            "",
            ",",
            "^",
            "^a b",
            "20240102-000000,20240101-000000",
            "^a,^b,^c",
            "yesterday",
        ] {
            assert!(bad.parse::<SessionSelector>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_follow_their_rules() {
        assert_eq!("".parse(), Ok(TagWish::Ask));
        assert_eq!("@".parse(), Ok(TagWish::Ask));
        let tag: Tag = "base,before the upgrade, again".parse().unwrap();
        assert_eq!(tag.id.as_str(), "base");
        assert_eq!(tag.description, "before the upgrade, again");
        for bad in ["a b", "a=b", "^a", ",x", "a,\u{1b}[0m"] {
            assert!(bad.parse::<TagWish>().is_err(), "{bad}");
        }
    }
}
