//! The index pack of a commit: takes nodes and records, seals them at once, counts the pack tree's own.

use std::sync::Arc;

use super::directory::DirectoryEntry;
use super::record::{PackKind, PackRecord};
use super::writer::PackWriter;
use crate::entropy::Entropy;
use crate::error::FormatError;
use crate::ids::{Alias, PackName};
use crate::place::{Place, TreeKind};
use crate::seal::{Encoder, ItemBuffer, ItemKind, Sealer};
use crate::tree::{NodeItem, NodeSink, RecordItem};

/// An index pack in memory. It is small: what one commit changed.
pub struct IndexPack {
    writer: PackWriter,
    sealer: Arc<Sealer>,
    encoder: Encoder,
    entropy: Box<dyn Entropy>,
    bytes: Vec<u8>,
    pack_nodes: u64,
}

/// A finished index pack.
pub struct FinishedIndex {
    /// Its alias.
    pub alias: Alias,
    /// The whole object.
    pub bytes: Vec<u8>,
    /// Its record.
    pub record: PackRecord,
    /// Nodes of the pack tree in it.
    pub pack_nodes: u64,
}

impl IndexPack {
    /// An empty index pack. The name must be fresh.
    pub fn new(
        alias: Alias,
        name: PackName,
        sealer: Arc<Sealer>,
        encoder: Encoder,
        entropy: Box<dyn Entropy>,
    ) -> Self {
        let writer = PackWriter::new(alias, name, PackKind::Index, sealer.key_generation());
        Self {
            writer,
            sealer,
            encoder,
            entropy,
            bytes: Vec::new(),
            pack_nodes: 0,
        }
    }

    /// Its alias.
    pub fn alias(&self) -> Alias {
        self.writer.alias()
    }

    /// Its name.
    pub fn name(&self) -> PackName {
        self.writer.name()
    }

    /// What it will be as a pack record is known only at its end: seals the directory.
    pub fn finish(mut self) -> FinishedIndex {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut encoder = self.encoder;
        let alias = self.writer.alias();
        let end = self
            .writer
            .finish(&self.sealer, &mut encoder, self.entropy.as_mut());
        bytes.extend_from_slice(&end.bytes);
        FinishedIndex {
            alias,
            bytes,
            record: end.record,
            pack_nodes: self.pack_nodes,
        }
    }

    fn put(
        &mut self,
        kind: ItemKind,
        entry: DirectoryEntry,
        body: &[u8],
    ) -> Result<Place, FormatError> {
        let mut item = ItemBuffer::default();
        item.encode(&mut self.encoder, body);
        let length = item.sealed_length();
        let offset = self.writer.reserve(entry, length);
        let place = Place {
            alias: self.writer.alias(),
            offset,
            length,
        }
        .checked("an index pack")?;
        self.sealer.seal(
            &mut item,
            kind,
            self.writer.name(),
            offset,
            self.entropy.as_mut(),
        );
        self.bytes.extend_from_slice(item.as_bytes());
        Ok(place)
    }
}

impl NodeSink for IndexPack {
    type Error = FormatError;

    fn put_node(&mut self, item: NodeItem<'_>) -> Result<Place, FormatError> {
        let entry = DirectoryEntry::Node {
            tree: item.tree,
            level: item.level,
            volume: item.volume,
            prefix: item.prefix,
            session: item.session,
            raw_length: length_of(item.bytes)?,
            digest: item.digest,
        };
        let place = self.put(ItemKind::Node, entry, item.bytes)?;
        if item.tree == TreeKind::Packs {
            self.pack_nodes = self.pack_nodes.saturating_add(1);
            self.writer.count_own(place.length);
        }
        Ok(place)
    }

    fn put_record(&mut self, item: RecordItem<'_>) -> Result<Place, FormatError> {
        let entry = DirectoryEntry::Record {
            tree: item.tree,
            key: item.key,
            raw_length: length_of(item.bytes)?,
            digest: item.digest,
        };
        let place = self.put(ItemKind::Record, entry, item.bytes)?;
        if item.tree == TreeKind::Packs {
            self.pack_nodes = self.pack_nodes.saturating_add(1);
            self.writer.count_own(place.length);
        }
        Ok(place)
    }
}

fn length_of(bytes: &[u8]) -> Result<u32, FormatError> {
    u32::try_from(bytes.len()).map_err(|_| FormatError::OutOfRange("an index item"))
}
