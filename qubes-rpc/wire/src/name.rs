//! Object names: the only strings that become paths at the helper.

use std::fmt;

use crate::bytes::{Cursor, Malformed};
use crate::limits::MAX_NAME;

/// The three folders of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// `header/`
    Header,
    /// `head/`
    Head,
    /// `pack/<xx>/`
    Pack,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 3] = [Self::Header, Self::Head, Self::Pack];

    /// The folder's name.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Head => "head",
            Self::Pack => "pack",
        }
    }

    /// The class as it is on the wire.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Head => 2,
            Self::Pack => 3,
        }
    }

    /// Reads a class.
    pub fn from_byte(byte: u8) -> Result<Self, Malformed> {
        match byte {
            1 => Ok(Self::Header),
            2 => Ok(Self::Head),
            3 => Ok(Self::Pack),
            _ => Err(Malformed("an object class is unknown")),
        }
    }
}

/// A name that follows the scheme exactly:
/// `header/` 8 hex digits `.a` or `.b`; `head/` 16 hex digits; `pack/xx/` 32 hex digits that begin with `xx`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    class: Class,
    length: u8,
    text: [u8; MAX_NAME],
}

impl Name {
    /// Reads a name. `None` for anything that is not exactly such a name.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let class = Class::ALL
            .into_iter()
            .find(|class| strip_folder(text, *class).is_some())?;
        let rest = strip_folder(text, class)?;
        let fits = match class {
            Class::Header => {
                let digits = rest.strip_suffix(b".a").or(rest.strip_suffix(b".b"))?;
                is_hex(digits, 8)
            }
            Class::Head => is_hex(rest, 16),
            Class::Pack => {
                let (first, name) = (rest.get(..2)?, rest.get(3..)?);
                rest.get(2) == Some(&b'/') && is_hex(name, 32) && name.starts_with(first)
            }
        };
        let mut copy = [0; MAX_NAME];
        copy.get_mut(..text.len())?.copy_from_slice(text);
        fits.then_some(Self {
            class,
            length: u8::try_from(text.len()).ok()?,
            text: copy,
        })
    }

    /// The folder in which the object lies.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The whole name, as on the wire and in listings.
    pub fn as_str(&self) -> &str {
        let bytes = self.text.get(..usize::from(self.length)).unwrap_or(&[]);
        // Only ASCII passes `parse`.
        std::str::from_utf8(bytes).unwrap_or("")
    }

    /// The file's own name, without folders.
    pub fn file(&self) -> &str {
        self.as_str().rsplit('/').next().unwrap_or("")
    }

    /// For a pack, the number of its folder below `pack/`: its first byte.
    pub fn shard(&self) -> Option<u8> {
        match self.class {
            Class::Pack => u8::from_str_radix(self.file().get(..2)?, 16).ok(),
            _ => None,
        }
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let length = usize::from(cursor.u8()?);
        Self::parse(cursor.take(length)?)
            .ok_or(Malformed("an object name does not follow the scheme"))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.length);
        out.extend_from_slice(self.as_str().as_bytes());
    }
}

fn strip_folder(text: &[u8], class: Class) -> Option<&[u8]> {
    text.strip_prefix(class.folder().as_bytes())?
        .strip_prefix(b"/")
}

fn is_hex(text: &[u8], digits: usize) -> bool {
    text.len() == digits
        && text
            .iter()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}
