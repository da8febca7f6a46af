//! Where things lie: places, pointers, roots (doc/FORMAT.md, section 6).

use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::ids::{Alias, Digest};

/// Largest pack, in bytes; every range inside a pack ends at or before it.
pub const MAX_PACK: u64 = 256 << 20;
/// Largest decoded node, in bytes.
pub const MAX_NODE: u32 = 64 << 10;
/// Largest decoded record, in bytes.
pub const MAX_RECORD: u32 = 16 << 20;
/// The highest level of a tree: 11 times 6 bits cover 64-bit keys.
pub const MAX_LEVEL: u8 = 10;
/// Bits of a key that choose the child at one level.
pub const FAN_BITS: u32 = 6;
/// Children of a node.
pub const FAN_OUT: usize = 64;

/// What a tree holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TreeKind {
    /// One volume in one session, by chunk number.
    Chunks = 1,
    /// Session records, by session number.
    Sessions = 2,
    /// Pack records, by alias.
    Packs = 3,
    /// Run counters, by alias.
    Counters = 4,
    /// Hashes of earlier heads, by epoch.
    Heads = 5,
}

impl TreeKind {
    /// The number that stands for this kind in the format.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Reads the number of a kind.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        match reader.u8()? {
            1 => Ok(Self::Chunks),
            2 => Ok(Self::Sessions),
            3 => Ok(Self::Packs),
            4 => Ok(Self::Counters),
            5 => Ok(Self::Heads),
            _ => Err(FormatError::OutOfRange(reader.what())),
        }
    }

    /// Largest decoded size of a node or record of this tree.
    pub fn max_raw(self) -> u32 {
        match self {
            Self::Chunks => MAX_NODE,
            _ => MAX_RECORD,
        }
    }
}

/// A range of the pack that the pack tree knows by an alias: one sealed item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The pack.
    pub alias: Alias,
    /// First byte in the pack as it was first written.
    pub offset: u64,
    /// Sealed length in bytes, at least 1.
    pub length: u32,
}

impl Place {
    /// First byte behind the range.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.length))
    }

    /// The same place, if it can lie in a pack.
    pub(crate) fn checked(self, what: &'static str) -> Result<Self> {
        if self.length == 0 || self.end() > MAX_PACK {
            Err(FormatError::OutOfRange(what))
        } else {
            Ok(self)
        }
    }

    fn encode(&self, writer: &mut Writer) {
        writer.varint(self.alias.0);
        writer.varint(self.offset);
        writer.varint(u64::from(self.length));
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        Self {
            alias: Alias(reader.varint()?),
            offset: reader.varint()?,
            length: reader.narrow()?,
        }
        .checked(reader.what())
    }
}

/// A place and what must be found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    /// Where the sealed node or record lies.
    pub place: Place,
    /// Its decoded length in bytes.
    pub raw_length: u32,
    /// Its digest (FORMAT 6.2).
    pub digest: Digest,
}

/// A whole tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Root {
    /// A tree without keys.
    #[default]
    Empty,
    /// The topmost node.
    Node {
        /// Its level, the lowest that holds the highest key present.
        level: u8,
        /// Where it lies.
        pointer: Pointer,
    },
}

impl Root {
    /// The topmost node, if there is one.
    pub fn pointer(&self) -> Option<&Pointer> {
        match self {
            Self::Empty => None,
            Self::Node { pointer, .. } => Some(pointer),
        }
    }

    /// Whether both trees hold the same content, wherever it lies.
    pub fn same_content(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) => true,
            (
                Self::Node { level, pointer },
                Self::Node {
                    level: other_level,
                    pointer: other,
                },
            ) => level == other_level && pointer.digest == other.digest,
            _ => false,
        }
    }

    /// Writes the root (FORMAT 6.3).
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Empty => writer.u8(0),
            Self::Node { level, pointer } => {
                writer.u8(level.saturating_add(1));
                pointer.place.encode(writer);
                writer.varint(u64::from(pointer.raw_length));
                writer.raw(&pointer.digest.0);
            }
        }
    }

    /// Reads a root.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        let levels = reader.u8()?;
        let Some(level) = levels.checked_sub(1) else {
            return Ok(Self::Empty);
        };
        if level > MAX_LEVEL {
            return Err(FormatError::OutOfRange(reader.what()));
        }
        let place = Place::parse(reader)?;
        let pointer = Pointer {
            place,
            raw_length: raw_length(reader, MAX_NODE)?,
            digest: Digest(reader.array()?),
        };
        Ok(Self::Node { level, pointer })
    }
}

/// Reads a decoded length of 1 up to `limit` bytes.
pub(crate) fn raw_length(reader: &mut Reader<'_>, limit: u32) -> Result<u32> {
    let length = reader.narrow()?;
    if length == 0 || length > limit {
        return Err(FormatError::OutOfRange(reader.what()));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn any_root() -> impl Strategy<Value = Root> {
        let node = (
            0..=MAX_LEVEL,
            any::<u64>(),
            0..MAX_PACK,
            1..=0xffff_u32,
            1..=MAX_NODE,
            any::<[u8; 32]>(),
        )
            .prop_map(|(level, alias, offset, length, raw_length, digest)| {
                let offset = offset.min(MAX_PACK - u64::from(length));
                Root::Node {
                    level,
                    pointer: Pointer {
                        place: Place {
                            alias: Alias(alias),
                            offset,
                            length,
                        },
                        raw_length,
                        digest: Digest(digest),
                    },
                }
            });
        prop_oneof![Just(Root::Empty), node]
    }

    proptest! {
        #[test]
        fn a_root_is_read_back_as_written(root in any_root()) {
            let mut writer = Writer::new();
            root.encode(&mut writer);
            let mut reader = Reader::new("root", writer.as_bytes());
            prop_assert_eq!(Root::parse(&mut reader), Ok(root));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn a_root_outside_any_pack_is_refused() {
        let mut writer = Writer::new();
        Root::Node {
            level: 0,
            pointer: Pointer {
                place: Place {
                    alias: Alias(1),
                    offset: MAX_PACK,
                    length: 1,
                },
                raw_length: 1,
                digest: Digest([0; 32]),
            },
        }
        .encode(&mut writer);
        let mut reader = Reader::new("root", writer.as_bytes());
        assert_eq!(
            Root::parse(&mut reader),
            Err(FormatError::OutOfRange("root"))
        );
    }
}
