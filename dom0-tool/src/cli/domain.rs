//! Dedup domains: which volumes may share chunks.

use std::str::FromStr;

use super::error::BadValue;
use super::volume::is_printable;

/// Longest name of a domain, in bytes.
const LONGEST: usize = 255;

/// The value of `--dedup-domain`: a domain for all volumes that are new to the archive, or for those whose names fit a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainWish {
    /// `*` stands for any characters; `None`: every volume.
    pattern: Option<String>,
    /// The domain.
    domain: String,
}

impl DomainWish {
    /// The domain, if it is meant for a volume of this name.
    pub fn domain_of(&self, volume: &str) -> Option<&str> {
        let fits = self
            .pattern
            .as_ref()
            .is_none_or(|pattern| fits(pattern, volume));
        fits.then_some(self.domain.as_str())
    }

    /// Whether it is meant for every volume.
    pub fn is_for_all(&self) -> bool {
        self.pattern.is_none()
    }
}

impl FromStr for DomainWish {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (pattern, domain) = match text.split_once('=') {
            Some((pattern, domain)) => (Some(pattern.trim().to_owned()), domain.trim()),
            None => (None, text.trim()),
        };
        if pattern.as_deref() == Some("") {
            return Err(BadValue::new("give NAME, or PATTERN=NAME"));
        }
        if domain.is_empty() || domain.len() > LONGEST || !is_printable(domain) {
            return Err(BadValue::new(
                "a domain's name is printable, not empty, and has at most 255 bytes",
            ));
        }
        Ok(Self {
            pattern,
            domain: domain.to_owned(),
        })
    }
}

/// Whether a name fits a pattern, in which `*` stands for any characters, also none. Takes each piece at its first place, so the time is bounded
/// by the product of the lengths.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let Some((front, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(front) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = name.find(piece) else {
            return false;
        };
        name = name.get(at + piece.len()..).unwrap_or_default();
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_a_person_would_expect() {
        for (pattern, name, wanted) in [
            ("vm-work-private", "vm-work-private", true),
            ("vm-work-private", "vm-work-privat", false),
            ("vm-work-*", "vm-work-private", true),
            ("vm-*-root", "vm-a-b-root", true),
            ("vm-*-root", "vm-root", false),
            ("*", "", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a*a", "a", false),
            ("appvms/*/private.img", "appvms/mail/private.img", true),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_wish_names_a_domain_and_may_name_a_pattern() {
        let wish: DomainWish = "vm-work-* = work".parse().unwrap();
        assert_eq!(wish.domain_of("vm-work-private"), Some("work"));
        assert_eq!(wish.domain_of("vm-home-private"), None);
        let all: DomainWish = "shared".parse().unwrap();
        assert_eq!(all.domain_of("anything"), Some("shared"));
        for bad in ["", "=x", "x=", "a\u{7f}"] {
            assert!(bad.parse::<DomainWish>().is_err(), "{bad:?}");
        }
    }
}
