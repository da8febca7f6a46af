//! The directory and the trailer at the end of a pack: enough to rebuild lost index objects (doc/FORMAT.md, section 5).

use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::ids::{
    Alias, ChunkId, ChunkNumber, Digest, KeyGeneration, PackName, SessionSeq, VolumeId,
};
use crate::place::{MAX_LEVEL, MAX_PACK, TreeKind};

use super::record::PackKind;

const WHAT: &str = "a pack directory";
/// Length of the trailer's body.
pub const TRAILER_BODY: usize = 24;
/// Largest chunk has 2 MiB: 512 blocks of 4 KiB.
const MAX_BITMAP: usize = 64;
/// This bit of the tag says that the item was copied from another pack.
const COPIED: u8 = 0x80;

/// What an item is, and for whom it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryEntry {
    /// A whole chunk.
    Chunk {
        /// The volume it was stored for.
        volume: VolumeId,
        /// Its number there.
        chunk: ChunkNumber,
        /// The session it was stored for.
        session: SessionSeq,
        /// Its id.
        id: ChunkId,
    },
    /// Blocks by which a chunk differs from its base.
    Patch {
        /// The volume it was stored for.
        volume: VolumeId,
        /// Its number there.
        chunk: ChunkNumber,
        /// The session it was stored for.
        session: SessionSeq,
        /// Id of the full content.
        id: ChunkId,
        /// Id of the base.
        base: ChunkId,
        /// Which blocks differ, a bit for each.
        bitmap: Vec<u8>,
    },
    /// A node of a tree.
    Node {
        /// Which tree.
        tree: TreeKind,
        /// Its level.
        level: u8,
        /// The volume, for chunk trees; else 0.
        volume: VolumeId,
        /// First key divided by 64 to the power of level plus one.
        prefix: u64,
        /// The session it was written for; 0 if none.
        session: SessionSeq,
        /// Decoded length.
        raw_length: u32,
        /// Its digest.
        digest: Digest,
    },
    /// A record too large for its leaf.
    Record {
        /// Which tree.
        tree: TreeKind,
        /// Its key.
        key: u64,
        /// Decoded length.
        raw_length: u32,
        /// Its digest.
        digest: Digest,
    },
}

/// A pack from which items were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name to which the items are bound.
    pub name: PackName,
    /// The key generation with which they are sealed.
    pub key_generation: KeyGeneration,
    /// The alias by which index nodes know that pack.
    pub alias: Alias,
}

/// An item in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryItem {
    /// First byte in this pack.
    pub offset: u64,
    /// Sealed length.
    pub length: u32,
    /// Where it was first written, if not here: index into the origins, and offset there.
    pub origin: Option<(usize, u64)>,
    /// What it is.
    pub entry: DirectoryEntry,
}

/// Everything that a pack holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The alias by which index nodes know this pack: without it nothing could be found again if the pack tree were lost.
    pub alias: Alias,
    /// Packs from which items were copied.
    pub origins: Vec<Origin>,
    /// The items, in rising order of offset.
    pub items: Vec<DirectoryItem>,
}

impl Directory {
    /// Writes the directory's body.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.varint(self.alias.0);
        writer.count(self.origins.len());
        for origin in &self.origins {
            writer.raw(&origin.name.0);
            writer.varint(u64::from(origin.key_generation.0));
            writer.varint(origin.alias.0);
        }
        writer.count(self.items.len());
        let mut at = 0_u64;
        for item in &self.items {
            let copied = if item.origin.is_some() { COPIED } else { 0 };
            writer.u8(item.entry.tag() | copied);
            writer.varint(item.offset.saturating_sub(at));
            writer.varint(u64::from(item.length));
            if let Some((origin, offset)) = item.origin {
                writer.count(origin);
                writer.varint(offset);
            }
            item.entry.encode(&mut writer);
            at = item.offset.saturating_add(u64::from(item.length));
        }
        writer.into_bytes()
    }

    /// Reads a directory's body.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, bytes);
        let mut directory = Self {
            alias: Alias(reader.varint()?),
            ..Self::default()
        };
        for _ in 0..reader.count(18)? {
            directory.origins.push(Origin {
                name: PackName(reader.array()?),
                key_generation: KeyGeneration(reader.narrow()?),
                alias: Alias(reader.varint()?),
            });
        }
        let mut at = 0_u64;
        for _ in 0..reader.count(32)? {
            let item = parse_item(&mut reader, at, directory.origins.len())?;
            at = item.offset.saturating_add(u64::from(item.length));
            directory.items.push(item);
        }
        reader.finish()?;
        Ok(directory)
    }
}

fn parse_item(reader: &mut Reader<'_>, at: u64, origins: usize) -> Result<DirectoryItem> {
    let out_of_range = FormatError::OutOfRange(WHAT);
    let tag = reader.u8()?;
    let offset = at.checked_add(reader.varint()?);
    let length: u32 = reader.narrow()?;
    let end = offset.and_then(|offset| offset.checked_add(u64::from(length)));
    let (Some(offset), Some(end)) = (offset, end) else {
        return Err(out_of_range);
    };
    if length == 0 || end > MAX_PACK {
        return Err(out_of_range);
    }
    let origin = if tag & COPIED == 0 {
        None
    } else {
        let (index, offset) = (reader.narrow::<usize>()?, reader.varint()?);
        if index >= origins || offset > MAX_PACK {
            return Err(out_of_range);
        }
        Some((index, offset))
    };
    Ok(DirectoryItem {
        offset,
        length,
        origin,
        entry: DirectoryEntry::parse(tag & !COPIED, reader)?,
    })
}

impl DirectoryEntry {
    fn tag(&self) -> u8 {
        match self {
            Self::Chunk { .. } => 1,
            Self::Patch { .. } => 2,
            Self::Node { .. } => 3,
            Self::Record { .. } => 4,
        }
    }

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Chunk {
                volume,
                chunk,
                session,
                id,
            } => {
                encode_owner(writer, *volume, *chunk, *session);
                writer.raw(&id.0);
            }
            Self::Patch {
                volume,
                chunk,
                session,
                id,
                base,
                bitmap,
            } => {
                encode_owner(writer, *volume, *chunk, *session);
                writer.raw(&id.0);
                writer.raw(&base.0);
                writer.blob(bitmap);
            }
            Self::Node {
                tree,
                level,
                volume,
                prefix,
                session,
                raw_length,
                digest,
            } => {
                writer.u8(tree.number());
                writer.u8(*level);
                writer.varint(u64::from(volume.0));
                writer.varint(*prefix);
                writer.varint(session.0);
                writer.varint(u64::from(*raw_length));
                writer.raw(&digest.0);
            }
            Self::Record {
                tree,
                key,
                raw_length,
                digest,
            } => {
                writer.u8(tree.number());
                writer.varint(*key);
                writer.varint(u64::from(*raw_length));
                writer.raw(&digest.0);
            }
        }
    }

    fn parse(tag: u8, reader: &mut Reader<'_>) -> Result<Self> {
        match tag {
            1 | 2 => {
                let volume = VolumeId(reader.narrow()?);
                let chunk = ChunkNumber(reader.varint()?);
                let session = SessionSeq(reader.varint()?);
                let id = ChunkId(reader.array()?);
                Ok(if tag == 1 {
                    Self::Chunk {
                        volume,
                        chunk,
                        session,
                        id,
                    }
                } else {
                    Self::Patch {
                        volume,
                        chunk,
                        session,
                        id,
                        base: ChunkId(reader.array()?),
                        bitmap: reader.blob(MAX_BITMAP)?.to_vec(),
                    }
                })
            }
            3 => {
                let tree = TreeKind::parse(reader)?;
                let level = reader.u8()?;
                if level > MAX_LEVEL {
                    return Err(FormatError::OutOfRange(WHAT));
                }
                Ok(Self::Node {
                    tree,
                    level,
                    volume: VolumeId(reader.narrow()?),
                    prefix: reader.varint()?,
                    session: SessionSeq(reader.varint()?),
                    raw_length: reader.narrow()?,
                    digest: Digest(reader.array()?),
                })
            }
            4 => Ok(Self::Record {
                tree: TreeKind::parse(reader)?,
                key: reader.varint()?,
                raw_length: reader.narrow()?,
                digest: Digest(reader.array()?),
            }),
            _ => Err(FormatError::OutOfRange(WHAT)),
        }
    }
}

fn encode_owner(writer: &mut Writer, volume: VolumeId, chunk: ChunkNumber, session: SessionSeq) {
    writer.varint(u64::from(volume.0));
    writer.varint(chunk.0);
    writer.varint(session.0);
}

/// The last item of a pack: where its directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// First byte of the sealed directory.
    pub directory_offset: u64,
    /// Its sealed length.
    pub directory_length: u32,
    /// Its decoded length.
    pub directory_raw: u32,
    /// Number of items without directory and trailer.
    pub items: u32,
    /// What the pack holds.
    pub kind: PackKind,
}

impl Trailer {
    /// Writes the trailer's body.
    pub fn encode(&self) -> [u8; TRAILER_BODY] {
        let mut writer = Writer::new();
        writer.u64(self.directory_offset);
        writer.u32(self.directory_length);
        writer.u32(self.directory_raw);
        writer.u32(self.items);
        writer.u8(self.kind.number());
        writer.raw(&[0; 3]);
        let mut body = [0; TRAILER_BODY];
        body.copy_from_slice(writer.as_bytes());
        body
    }

    /// Reads the trailer's body.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("a pack trailer", bytes);
        let trailer = Self {
            directory_offset: reader.u64()?,
            directory_length: reader.u32()?,
            directory_raw: reader.u32()?,
            items: reader.u32()?,
            kind: PackKind::parse(&mut reader)?,
        };
        if reader.array()? != [0; 3] {
            return Err(FormatError::OutOfRange("a pack trailer"));
        }
        reader.finish()?;
        Ok(trailer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Directory {
        let owner = (VolumeId(3), ChunkNumber(77), SessionSeq(5));
        let entries = [
            DirectoryEntry::Chunk {
                volume: owner.0,
                chunk: owner.1,
                session: owner.2,
                id: ChunkId([1; 32]),
            },
            DirectoryEntry::Patch {
                volume: owner.0,
                chunk: owner.1,
                session: owner.2,
                id: ChunkId([2; 32]),
                base: ChunkId([1; 32]),
                bitmap: vec![1, 0, 0, 128],
            },
            DirectoryEntry::Node {
                tree: TreeKind::Chunks,
                level: 2,
                volume: owner.0,
                prefix: 9,
                session: owner.2,
                raw_length: 4000,
                digest: Digest([4; 32]),
            },
            DirectoryEntry::Record {
                tree: TreeKind::Sessions,
                key: 12,
                raw_length: 9000,
                digest: Digest([5; 32]),
            },
        ];
        let mut directory = Directory {
            alias: Alias(700),
            origins: vec![Origin {
                name: PackName([6; 16]),
                key_generation: KeyGeneration(1),
                alias: Alias(12),
            }],
            items: Vec::new(),
        };
        for (offset, entry) in (0..).step_by(1000).zip(entries) {
            directory.items.push(DirectoryItem {
                offset,
                length: 900,
                origin: (offset == 1000).then_some((0, 123)),
                entry,
            });
        }
        directory
    }

    #[test]
    fn a_directory_is_read_back() {
        assert_eq!(Directory::parse(&sample().encode()), Ok(sample()));
        assert_eq!(
            Directory::parse(&Directory::default().encode()),
            Ok(Directory::default())
        );
    }

    #[test]
    fn a_trailer_is_read_back() {
        let trailer = Trailer {
            directory_offset: 1 << 26,
            directory_length: 5000,
            directory_raw: 9000,
            items: 400,
            kind: PackKind::Index,
        };
        let bytes = trailer.encode();
        assert_eq!(Trailer::parse(&bytes), Ok(trailer));
        assert!(Trailer::parse(&bytes[..23]).is_err());
    }

    proptest! {
        #[test]
        fn altered_directories_are_read_or_refused_but_never_panic(at: prop::sample::Index, to: u8) {
            let mut bytes = sample().encode();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(directory) = Directory::parse(&bytes) {
                prop_assert_eq!(directory.encode(), bytes);
            }
        }
    }
}
