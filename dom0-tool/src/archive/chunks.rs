//! One task: fetch the items, open them, apply patches, check ids.

use nacre_core::hash::ChunkIdKey;
use nacre_core::ids::ChunkId;
use nacre_core::node::{ChunkEntry, Patched, patch};
use nacre_core::place::Place;
use nacre_core::seal::{Decoder, ItemKind};

use super::tasks::Task;
use super::{Error, Nodes, Result, SealedItem};

/// Content of chunks, made by one thread with memory of its own.
pub struct ChunkReader<'a> {
    nodes: &'a Nodes,
    ids: &'a ChunkIdKey,
    chunk_size: usize,
    decoder: Decoder,
    content: Vec<u8>,
    patch: Vec<u8>,
}

/// Takes a chunk's number, its content or the reason why there is none, and the sealed bytes that it took.
pub type Each<'a> = &'a mut dyn FnMut(u64, Result<&[u8]>, u64) -> Result<()>;

/// An item that a task needs.
struct Part {
    kind: ItemKind,
    place: Place,
}

impl<'a> ChunkReader<'a> {
    /// A reader of chunks in one dedup domain.
    pub fn new(nodes: &'a Nodes, ids: &'a ChunkIdKey, chunk_size: usize) -> Self {
        Self {
            nodes,
            ids,
            chunk_size,
            decoder: Decoder::new(),
            content: Vec::new(),
            patch: Vec::new(),
        }
    }

    /// Reads all chunks of a task and hands each to `each` with its content or the reason why there is none, and the sealed bytes it took.
    pub fn read(&mut self, task: &Task, each: Each<'_>) -> Result<()> {
        let parts: Vec<Part> = task.iter().flat_map(|(_, entry)| parts(entry)).collect();
        let places: Vec<(ItemKind, Place)> =
            parts.iter().map(|part| (part.kind, part.place)).collect();
        let mut sealed = self.nodes.sealed_items(&places).into_iter();
        for (chunk, entry) in task {
            let mut fetched = 0;
            let mut next = || {
                let item = sealed
                    .next()
                    .unwrap_or_else(|| Err(Error::State("an item is missing".to_owned())));
                if let Ok(item) = &item {
                    fetched += item.length();
                }
                item
            };
            let content = match entry {
                ChunkEntry::Chunk { id, .. } => {
                    let item = next();
                    item.and_then(|item| self.whole(*id, item))
                }
                ChunkEntry::Patched(patched) => {
                    let (base, change) = (next(), next());
                    base.and_then(|base| self.patched(patched, base, change?))
                }
                ChunkEntry::Lost { .. } => Err(Error::Lost(
                    "it was found damaged before, and is kept only in name".to_owned(),
                )),
            };
            each(*chunk, content, fetched)?;
        }
        Ok(())
    }

    fn whole(&mut self, id: ChunkId, item: SealedItem) -> Result<&[u8]> {
        let location = item.location();
        item.open(
            self.nodes,
            self.chunk_size,
            &mut self.decoder,
            &mut self.content,
        )?;
        self.check(id, location)
    }

    fn patched(
        &mut self,
        patched: &Patched,
        base: SealedItem,
        change: SealedItem,
    ) -> Result<&[u8]> {
        // The id of what comes out vouches for the base, too: the base's own would cost as much once more.
        base.open(
            self.nodes,
            self.chunk_size,
            &mut self.decoder,
            &mut self.content,
        )?;
        let object = change.location();
        change.open(
            self.nodes,
            patched.bitmap.count() as usize * patch::BLOCK,
            &mut self.decoder,
            &mut self.patch,
        )?;
        patch::apply(&mut self.content, &patched.bitmap, &self.patch)
            .map_err(Error::damaged(&object))?;
        self.check(patched.id, object)
    }

    /// The digest of the tree vouches for the id, the id for the content.
    fn check(&self, id: ChunkId, object: impl ToString) -> Result<&[u8]> {
        if self.ids.id(&self.content) == id {
            Ok(&self.content)
        } else {
            let error = nacre_core::error::FormatError::Mismatch("a chunk");
            Err(Error::damaged(object)(error))
        }
    }
}

fn parts(entry: &ChunkEntry) -> Vec<Part> {
    let part = |kind, place| Part { kind, place };
    match entry {
        ChunkEntry::Chunk { place, .. } => vec![part(ItemKind::Chunk, *place)],
        ChunkEntry::Patched(patched) => vec![
            part(ItemKind::Chunk, patched.base_place),
            part(ItemKind::Patch, patched.place),
        ],
        ChunkEntry::Lost { .. } => Vec::new(),
    }
}
