//! Fills a pack: places are given out first, the end is sealed when the pack is full.

use super::directory::{Directory, DirectoryEntry, DirectoryItem, Origin, Trailer};
use super::record::{PackKind, PackRecord};
use crate::entropy::Entropy;
use crate::ids::{Alias, KeyGeneration, PackName};
use crate::seal::{Encoder, ItemBuffer, ItemKind, OVERHEAD, Sealer};

use super::TRAILER_BODY;

/// Length of a sealed trailer: it stands at the end of every pack.
pub const TRAILER: u64 = (OVERHEAD + TRAILER_BODY) as u64;

/// A pack that is being written.
pub struct PackWriter {
    alias: Alias,
    name: PackName,
    kind: PackKind,
    key_generation: KeyGeneration,
    length: u64,
    own: u64,
    directory: Directory,
}

/// The end of a pack, and what the pack tree must know of it.
pub struct PackEnd {
    /// Sealed directory and trailer, to be written at the pack's length.
    pub bytes: Vec<u8>,
    /// The pack's record.
    pub record: PackRecord,
}

impl PackWriter {
    /// An empty pack. The name must be fresh.
    pub fn new(
        alias: Alias,
        name: PackName,
        kind: PackKind,
        key_generation: KeyGeneration,
    ) -> Self {
        Self {
            alias,
            name,
            kind,
            key_generation,
            length: 0,
            own: 0,
            directory: Directory {
                alias,
                ..Directory::default()
            },
        }
    }

    /// Its alias.
    pub fn alias(&self) -> Alias {
        self.alias
    }

    /// Its name.
    pub fn name(&self) -> PackName {
        self.name
    }

    /// Bytes given out so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Items so far.
    pub fn items(&self) -> usize {
        self.directory.items.len()
    }

    /// Reserves the next `length` bytes for an item, and returns where they begin.
    pub fn reserve(&mut self, entry: DirectoryEntry, length: u32) -> u64 {
        let offset = self.length;
        self.length = offset.saturating_add(u64::from(length));
        self.directory.items.push(DirectoryItem {
            offset,
            length,
            origin: None,
            entry,
        });
        offset
    }

    /// Takes an item over from another pack, still sealed. The answer is its offset here.
    pub fn take_over(
        &mut self,
        entry: DirectoryEntry,
        length: u32,
        origin: Origin,
        origin_offset: u64,
    ) -> u64 {
        let origins = &mut self.directory.origins;
        let known = origins.iter().position(|known| *known == origin);
        let index = known.unwrap_or_else(|| {
            origins.push(origin);
            origins.len().saturating_sub(1)
        });
        let offset = self.reserve(entry, length);
        if let Some(item) = self.directory.items.last_mut() {
            item.origin = Some((index, origin_offset));
        }
        offset
    }

    /// Says that so many of the reserved bytes are nodes of the pack tree, whose lives the pack's record does not follow.
    pub fn count_own(&mut self, length: u32) {
        self.own = self.own.saturating_add(u64::from(length));
    }

    /// Seals directory and trailer.
    pub fn finish(
        self,
        sealer: &Sealer,
        encoder: &mut Encoder,
        entropy: &mut dyn Entropy,
    ) -> PackEnd {
        let body = self.directory.encode();
        let mut directory = ItemBuffer::default();
        directory.encode(encoder, &body);
        sealer.seal(
            &mut directory,
            ItemKind::Directory,
            self.name,
            self.length,
            entropy,
        );
        let length = directory.sealed_length();
        let trailer = Trailer {
            directory_offset: self.length,
            directory_length: length,
            directory_raw: u32::try_from(body.len()).unwrap_or(u32::MAX),
            items: u32::try_from(self.directory.items.len()).unwrap_or(u32::MAX),
            kind: self.kind,
        };
        let trailer_at = self.length.saturating_add(u64::from(length));
        let mut last = ItemBuffer::default();
        last.store(&trailer.encode());
        sealer.seal(&mut last, ItemKind::Trailer, self.name, trailer_at, entropy);
        let mut bytes = directory.into_bytes();
        bytes.extend_from_slice(last.as_bytes());
        let end = bytes.len() as u64;
        let record = PackRecord::new(
            self.kind,
            self.name,
            self.key_generation,
            self.length.saturating_add(end),
            self.own.saturating_add(end),
        );
        PackEnd { bytes, record }
    }
}
