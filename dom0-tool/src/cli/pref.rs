//! `--pref`.

use std::str::FromStr;

use super::error::BadValue;
use super::volume::is_printable;

/// A property of a qube, and the value that it is to have instead of the archive's; `None` leaves it to the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pref {
    /// The property's name.
    pub name: String,
    /// Its value; empty is a value.
    pub value: Option<String>,
}

impl FromStr for Pref {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let well = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(well) {
            return Err(BadValue::new(
                "give NAME=VALUE or NAME, with a name that `qvm-prefs` shows",
            ));
        }
        let value = value.map(str::to_owned);
        if value
            .as_deref()
            .is_some_and(|value| value.len() > 4096 || !is_printable(value))
        {
            return Err(BadValue::new(
                "a property's value is one line without invisible characters",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_be_empty_or_left_to_the_system() {
        let pref = |text: &str| text.parse::<Pref>().map(|pref| (pref.name, pref.value));
        assert_eq!(
            pref("netvm="),
            Ok(("netvm".to_owned(), Some(String::new())))
        );
        assert_eq!(pref("netvm"), Ok(("netvm".to_owned(), None)));
        let options = Some("a=b".to_owned());
        assert_eq!(
            pref("kernelopts=a=b"),
            Ok(("kernelopts".to_owned(), options))
        );
        for bad in ["", "=x", "a b=c", "Netvm=x", "netvm=a\nb"] {
            assert!(bad.parse::<Pref>().is_err(), "{bad:?}");
        }
    }
}
