//! Names of the objects of an archive (DESIGN 4.1).

use std::fmt;

use crate::ids::{Epoch, Generation, PackName};

/// Which of the two copies of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Copy {
    /// `.a`, written first.
    A,
    /// `.b`, written second.
    B,
}

/// An object of the archive, by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectName {
    /// `header/<generation, 8 hex digits>.a` or `.b`
    Header(Generation, Copy),
    /// `head/<epoch, 16 hex digits>`
    Head(Epoch),
    /// `pack/<xx>/<name, 32 hex digits>`, where `xx` is the name's first byte.
    Pack(PackName),
}

/// The three folders of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectClass {
    /// `header/`
    Header,
    /// `head/`
    Head,
    /// `pack/`
    Pack,
}

impl ObjectName {
    /// The folder in which the object lies.
    pub fn class(&self) -> ObjectClass {
        match self {
            Self::Header(..) => ObjectClass::Header,
            Self::Head(_) => ObjectClass::Head,
            Self::Pack(_) => ObjectClass::Pack,
        }
    }

    /// Reads a name as the store lists it. `None` for anything that is not exactly such a name.
    pub fn parse(text: &str) -> Option<Self> {
        let (class, rest) = text.split_once('/')?;
        match class {
            "header" => {
                let (number, copy) = rest.split_once('.')?;
                let copy = match copy {
                    "a" => Copy::A,
                    "b" => Copy::B,
                    _ => return None,
                };
                Some(Self::Header(Generation(hex_number(number, 8)?), copy))
            }
            "head" => Some(Self::Head(Epoch(hex_number(rest, 16)?))),
            "pack" => {
                let (first, name) = rest.split_once('/')?;
                if name.len() != 32 || name.get(..2)? != first {
                    return None;
                }
                let mut bytes = [0; 16];
                for (byte, pair) in bytes.iter_mut().zip(name.as_bytes().chunks_exact(2)) {
                    *byte = u8::try_from(hex_number(std::str::from_utf8(pair).ok()?, 2)?).ok()?;
                }
                Some(Self::Pack(PackName(bytes)))
            }
            _ => None,
        }
    }
}

/// Exactly `digits` lower-case hex digits.
fn hex_number(text: &str, digits: usize) -> Option<u64> {
    let canonical = text.len() == digits
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    canonical.then(|| u64::from_str_radix(text, 16).ok())?
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(generation, copy) => {
                let copy = match copy {
                    Copy::A => 'a',
                    Copy::B => 'b',
                };
                write!(f, "header/{:08x}.{copy}", generation.0)
            }
            Self::Head(epoch) => write!(f, "head/{:016x}", epoch.0),
            Self::Pack(name) => {
                let [first, ..] = name.0;
                write!(f, "pack/{first:02x}/{name}")
            }
        }
    }
}

impl fmt::Display for ObjectClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Head => "head",
            Self::Pack => "pack",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_as_written() {
        let names = [
            ObjectName::Header(Generation(1), Copy::A),
            ObjectName::Header(Generation(0xffff_ffff), Copy::B),
            ObjectName::Head(Epoch(u64::MAX)),
            ObjectName::Pack(PackName([0xab; 16])),
        ];
        for name in names {
            assert_eq!(ObjectName::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn anything_else_is_no_name() {
        for text in [
            "",
            "head/",
            "head/1",
            "head/000000000000000G",
            "head/000000000000000A",
            "header/00000001.c",
            "header/00000001",
            "pack/ab/abababababababababababababababab/x",
            "pack/ac/abababababababababababababababab",
            "pack/../abababababababababababababababab",
            "../head/0000000000000001",
        ] {
            assert_eq!(ObjectName::parse(text), None, "{text}");
        }
    }
}
