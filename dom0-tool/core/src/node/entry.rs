//! Entries of leaves.

use super::codec::{PlaceReader, PlaceWriter};
use super::{Bitmap, Body, ChunkFormat, Slots};
use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::ids::{ChunkId, Digest};
use crate::place::{MAX_RECORD, Place, Pointer, TreeKind, raw_length};

/// Largest record that stands in its leaf, in bytes.
pub const INLINE_LIMIT: usize = 512;

/// What a leaf of a tree may hold. Implemented for the two kinds of leaves there are.
pub trait LeafEntry: Clone + PartialEq + Sized {
    /// Wraps entries into a node's body.
    fn into_body(entries: Slots<Self>) -> Body;
    /// The entries, if the body is a leaf of this kind.
    fn from_body(body: &Body) -> Option<&[(u8, Self)]>;
    /// Whether both stand for the same content, wherever it lies.
    fn same_content(&self, other: &Self) -> bool;
    /// Whether such a leaf belongs to this kind of tree.
    fn fits(tree: TreeKind) -> bool;
    /// The item that belongs to this entry alone and dies with it: a record's. Chunks are shared and counted by runs.
    fn own_item(&self) -> Option<Place>;
}

/// A chunk that is a few blocks over an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patched {
    /// Id of the full content.
    pub id: ChunkId,
    /// Id of the base.
    pub base: ChunkId,
    /// Where the base lies, stored whole.
    pub base_place: Place,
    /// Which blocks the patch replaces.
    pub bitmap: Bitmap,
    /// Where the patch lies.
    pub place: Place,
}

/// A chunk that is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkEntry {
    /// Stored whole.
    Chunk {
        /// Its id.
        id: ChunkId,
        /// Where it lies.
        place: Place,
    },
    /// Stored as a patch over a base.
    Patched(Box<Patched>),
    /// Found damaged; its content is unknown.
    Lost {
        /// The id it had.
        id: ChunkId,
    },
}

impl ChunkEntry {
    /// Id of the chunk's content.
    pub fn id(&self) -> &ChunkId {
        match self {
            Self::Chunk { id, .. } | Self::Lost { id } => id,
            Self::Patched(patched) => &patched.id,
        }
    }

    /// Whether the content is unknown.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// The items that this entry needs: one of a whole chunk; base and patch of a patched one.
    pub fn items(&self) -> impl Iterator<Item = Place> + use<> {
        let (first, second) = match self {
            Self::Chunk { place, .. } => (Some(*place), None),
            Self::Patched(patched) => (Some(patched.base_place), Some(patched.place)),
            Self::Lost { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }

    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Chunk { .. } => 1,
            Self::Patched(_) => 2,
            Self::Lost { .. } => 3,
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer, places: &mut PlaceWriter<'_>) {
        writer.raw(&self.id().0);
        match self {
            Self::Chunk { place, .. } => places.put(writer, place),
            Self::Patched(patched) => {
                writer.raw(&patched.base.0);
                places.put(writer, &patched.base_place);
                writer.raw(patched.bitmap.as_bytes());
                places.put(writer, &patched.place);
            }
            Self::Lost { .. } => {}
        }
    }

    pub(super) fn parse(
        kind: u8,
        format: ChunkFormat,
        reader: &mut Reader<'_>,
        places: &mut PlaceReader,
    ) -> Result<Self> {
        let id = ChunkId(reader.array()?);
        Ok(match kind {
            1 => Self::Chunk {
                id,
                place: places.get(reader)?,
            },
            2 => Self::Patched(Box::new(Patched {
                id,
                base: ChunkId(reader.array()?),
                base_place: places.get(reader)?,
                bitmap: Bitmap::parse(format, reader)?,
                place: places.get(reader)?,
            })),
            _ => Self::Lost { id },
        })
    }
}

impl LeafEntry for ChunkEntry {
    fn into_body(entries: Slots<Self>) -> Body {
        Body::Chunks(entries)
    }

    fn from_body(body: &Body) -> Option<&[(u8, Self)]> {
        match body {
            Body::Chunks(entries) => Some(entries),
            _ => None,
        }
    }

    fn same_content(&self, other: &Self) -> bool {
        self.is_lost() == other.is_lost() && self.id() == other.id()
    }

    fn fits(tree: TreeKind) -> bool {
        tree == TreeKind::Chunks
    }

    fn own_item(&self) -> Option<Place> {
        None
    }
}

/// A record in a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordEntry {
    /// The record itself, at most [`INLINE_LIMIT`] bytes.
    Inline(Vec<u8>),
    /// A record that is an item of its own.
    Record(Pointer),
}

impl RecordEntry {
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Inline(_) => 1,
            Self::Record(_) => 2,
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer, places: &mut PlaceWriter<'_>) {
        match self {
            Self::Inline(bytes) => writer.blob(bytes),
            Self::Record(pointer) => places.put_pointer(writer, pointer),
        }
    }

    pub(super) fn parse(
        kind: u8,
        reader: &mut Reader<'_>,
        places: &mut PlaceReader,
    ) -> Result<Self> {
        Ok(match kind {
            1 => Self::Inline(reader.blob(INLINE_LIMIT)?.to_vec()),
            2 => Self::Record(Pointer {
                place: places.get(reader)?,
                raw_length: raw_length(reader, MAX_RECORD)?,
                digest: Digest(reader.array()?),
            }),
            _ => return Err(FormatError::OutOfRange(reader.what())),
        })
    }
}

impl LeafEntry for RecordEntry {
    fn into_body(entries: Slots<Self>) -> Body {
        Body::Records(entries)
    }

    fn from_body(body: &Body) -> Option<&[(u8, Self)]> {
        match body {
            Body::Records(entries) => Some(entries),
            _ => None,
        }
    }

    fn same_content(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Record(one), Self::Record(two)) => one.digest == two.digest,
            _ => self == other,
        }
    }

    fn fits(tree: TreeKind) -> bool {
        tree != TreeKind::Chunks
    }

    fn own_item(&self) -> Option<Place> {
        match self {
            Self::Inline(_) => None,
            Self::Record(pointer) => Some(pointer.place),
        }
    }
}
