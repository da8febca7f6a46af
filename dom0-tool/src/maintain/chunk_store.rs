//! A few chunks that are stored again: packs filled one after the other, each written when it is full.

use nacre_core::entropy::draw;
use nacre_core::ids::{Alias, ChunkId, ChunkNumber, PackName, SessionSeq, VolumeId};
use nacre_core::object_name::ObjectName;
use nacre_core::pack::{DirectoryEntry, PackKind, PackRecord, PackWriter};
use nacre_core::place::Place;
use nacre_core::seal::{Encoder, ItemBuffer, ItemKind};

use crate::archive::{Archive, Error, Result};
use crate::joints::{PutOutcome, StoreError, StoreErrorKind};

/// A pack is written when it holds this much.
const PACK_SIZE: u64 = 64 << 20;

/// Packs in the making. What is not committed afterwards belongs to nothing.
pub struct ChunkStore<'a> {
    archive: &'a Archive,
    open: Option<(PackWriter, Vec<u8>)>,
    next: Alias,
    finished: Vec<(Alias, PackRecord)>,
}

impl<'a> ChunkStore<'a> {
    /// Nothing stored yet.
    pub fn new(archive: &'a Archive) -> Self {
        Self {
            archive,
            open: None,
            next: archive.head().next.alias,
            finished: Vec::new(),
        }
    }

    /// Stores a chunk, whose id was checked.
    pub fn put(
        &mut self,
        (volume, session): (VolumeId, SessionSeq),
        chunk: u64,
        id: ChunkId,
        content: &[u8],
    ) -> Result<Place> {
        let mut entropy = (self.archive.entropy_source())();
        let sealer = self.archive.sealer();
        if self.open.is_none() {
            let name = PackName(draw(entropy.as_mut()));
            let alias = self.next;
            self.next = Alias(alias.0 + 1);
            let writer = PackWriter::new(alias, name, PackKind::Data, sealer.key_generation());
            self.open = Some((writer, Vec::new()));
        }
        let Some((writer, bytes)) = &mut self.open else {
            return Err(Error::internal());
        };
        let mut item = ItemBuffer::default();
        item.encode(&mut Encoder::new(self.archive.compression()), content);
        let length = item.sealed_length();
        let entry = DirectoryEntry::Chunk {
            volume,
            chunk: ChunkNumber(chunk),
            session,
            id,
        };
        let offset = writer.reserve(entry, length);
        let place = Place {
            alias: writer.alias(),
            offset,
            length,
        };
        let name = writer.name();
        sealer.seal(&mut item, ItemKind::Chunk, name, offset, entropy.as_mut());
        bytes.extend_from_slice(item.as_bytes());
        if writer.length() >= PACK_SIZE {
            self.close()?;
        }
        Ok(place)
    }

    /// The packs that were written, and the next free alias.
    pub fn finish(mut self) -> Result<(Vec<(Alias, PackRecord)>, Alias)> {
        self.close()?;
        Ok((self.finished, self.next))
    }

    fn close(&mut self) -> Result<()> {
        let Some((writer, mut bytes)) = self.open.take() else {
            return Ok(());
        };
        let (alias, name) = (writer.alias(), ObjectName::Pack(writer.name()));
        let mut entropy = (self.archive.entropy_source())();
        let mut encoder = Encoder::new(self.archive.compression());
        let end = writer.finish(&self.archive.sealer(), &mut encoder, entropy.as_mut());
        bytes.extend_from_slice(&end.bytes);
        // Durable with the barrier of the commit that names it.
        if self.archive.store().put_whole(name, &bytes)? == PutOutcome::Exists {
            let detail = "it says that a new pack is there already";
            return Err(StoreError::new(StoreErrorKind::Protocol, Some(name), detail).into());
        }
        self.finished.push((alias, end.record));
        Ok(())
    }
}
