//! One worker: zero test, id, known already?, patch or whole, compress, reserve a place, seal.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use nacre_core::entropy::Entropy;
use nacre_core::hash::ChunkIdKey;
use nacre_core::ids::{ChunkId, ChunkNumber, SessionSeq, VolumeId};
use nacre_core::node::{ChunkEntry, Patched};
use nacre_core::pack::DirectoryEntry;
use nacre_core::place::Place;
use nacre_core::seal::{Encoder, ItemBuffer, ItemKind, Sealer};

use super::failure::{Failure, Sticky};
use super::feed::Job;
use super::packer::{Packer, Segment};
use super::patcher::{Before, Change, Patcher};
use super::sender::Order;
use super::zero::is_zero;
use crate::archive::Dedup;
use crate::joints::AlignedBuffer;

/// For whom chunks are stored: goes with each job.
pub struct Owner<'v> {
    /// The volume.
    volume: VolumeId,
    /// The session being written.
    session: SessionSeq,
    /// The id key of the volume's dedup domain.
    ids: ChunkIdKey,
    /// What chunks held before, where that is at hand.
    before: Option<Before<'v>>,
    /// Finds chunks that the archive has already.
    dedup: Option<Arc<Dedup>>,
}

impl<'v> Owner<'v> {
    /// Chunks of a volume in a session, stored whole.
    pub fn new(volume: VolumeId, session: SessionSeq, ids: ChunkIdKey) -> Self {
        Self {
            volume,
            session,
            ids,
            before: None,
            dedup: None,
        }
    }

    /// Stores patches where they pay.
    #[must_use]
    pub fn with_patches(self, before: Before<'v>) -> Self {
        Self {
            before: Some(before),
            ..self
        }
    }

    /// Stores nothing that the archive has already.
    #[must_use]
    pub fn with_dedup(self, dedup: Option<Arc<Dedup>>) -> Self {
        Self { dedup, ..self }
    }

    /// The entry of a chunk that the archive has already.
    fn find(&self, number: u64, id: ChunkId) -> Option<ChunkEntry> {
        let place = self.dedup.as_ref()?.find(self.volume, number, &id)?;
        Some(ChunkEntry::Chunk { id, place })
    }

    /// A chunk was stored.
    fn stored(&self, number: u64, entry: &ChunkEntry) {
        if let (Some(dedup), ChunkEntry::Chunk { id, place }) = (&self.dedup, entry) {
            dedup.stored(self.volume, number, *id, *place);
        }
    }
}

/// What a worker found out about one job.
pub struct Done {
    /// Chunks that differ from what was known: their new entry, or `None` when they are zero now.
    pub edits: Vec<(u64, Option<ChunkEntry>)>,
    /// Bytes of chunks that differ.
    pub changed: u64,
    /// Bytes of those that the archive had already.
    pub deduplicated: u64,
    /// Sealed bytes stored for them.
    pub stored: u64,
    /// The job's memory, to be used again.
    pub content: AlignedBuffer,
}

/// What all workers share.
pub struct Shared<'a> {
    /// Size of a chunk in bytes.
    pub chunk_size: usize,
    /// Store nothing, count only.
    pub dry_run: bool,
    /// Seals items.
    pub sealer: &'a Sealer,
    /// Gives out places.
    pub packer: &'a Packer<'a>,
    /// To the sender.
    pub orders: Sender<Order>,
    /// Buffers that the sender has emptied.
    pub spent: Receiver<Vec<u8>>,
    /// The first error.
    pub sticky: &'a Sticky,
}

/// Works until there are no more jobs.
pub fn run(
    shared: &Shared<'_>,
    encoder: Encoder,
    entropy: Box<dyn Entropy>,
    jobs: &Receiver<(Arc<Owner<'_>>, Job)>,
    done: &Sender<Done>,
) {
    let mut worker = Worker {
        shared,
        encoder,
        entropy,
        patcher: Patcher::new(),
    };
    for (owner, job) in jobs {
        if shared.sticky.is_set() {
            continue;
        }
        match worker.work(&owner, job) {
            Ok(result) => {
                if done.send(result).is_err() {
                    return;
                }
            }
            Err(failure) => shared.sticky.set(failure),
        }
    }
}

struct Worker<'s, 'a> {
    shared: &'s Shared<'a>,
    encoder: Encoder,
    entropy: Box<dyn Entropy>,
    patcher: Patcher,
}

impl Worker<'_, '_> {
    fn work(&mut self, owner: &Owner<'_>, job: Job) -> Result<Done, Failure> {
        let mut edits = Vec::new();
        let (mut changed, mut deduplicated, mut stored) = (0, 0, 0);
        let mut known = job.known.iter().peekable();
        let chunks = job.content[..job.length].chunks(self.shared.chunk_size);
        for (number, content) in job.chunks.iter().cloned().flatten().zip(chunks) {
            let old = known
                .next_if(|(at, _)| *at == number)
                .map(|(_, entry)| entry);
            if is_zero(content) {
                if old.is_some() {
                    changed += 1;
                    edits.push((number, None));
                }
                continue;
            }
            let id = owner.ids.id(content);
            if old.is_some_and(|entry| !entry.is_lost() && *entry.id() == id) {
                continue;
            }
            changed += 1;
            if self.shared.dry_run {
                continue;
            }
            if let Some(entry) = owner.find(number, id) {
                deduplicated += 1;
                edits.push((number, Some(entry)));
                continue;
            }
            let (entry, length) = self.store(owner, number, id, content, old)?;
            owner.stored(number, &entry);
            stored += u64::from(length);
            edits.push((number, Some(entry)));
        }
        Ok(Done {
            changed: changed * self.shared.chunk_size as u64,
            deduplicated: deduplicated * self.shared.chunk_size as u64,
            stored,
            edits,
            content: job.content,
        })
    }

    /// Stores a chunk, as a patch where that pays. Returns its entry and the sealed bytes that it took.
    fn store(
        &mut self,
        owner: &Owner<'_>,
        number: u64,
        id: ChunkId,
        content: &[u8],
        old: Option<&ChunkEntry>,
    ) -> Result<(ChunkEntry, u32), Failure> {
        let spent = self.shared.spent.try_recv().unwrap_or_default();
        let mut item = ItemBuffer::from_spent(spent);
        let (volume, chunk, session) = (owner.volume, ChunkNumber(number), owner.session);
        if let (Some(entry), Some(before)) = (old, &owner.before) {
            let change = Change {
                number,
                entry,
                content,
            };
            let encoder = &mut self.encoder;
            let plan = self
                .patcher
                .encode(before, &owner.ids, change, encoder, &mut item);
            if let Some(plan) = plan {
                let directory = DirectoryEntry::Patch {
                    volume,
                    chunk,
                    session,
                    id,
                    base: plan.base,
                    bitmap: plan.bitmap.as_bytes().to_vec(),
                };
                let place = self.send(item, ItemKind::Patch, directory)?;
                let patched = Patched {
                    id,
                    base: plan.base,
                    base_place: plan.base_place,
                    bitmap: plan.bitmap,
                    place,
                };
                return Ok((ChunkEntry::Patched(Box::new(patched)), place.length));
            }
        }
        item.encode(&mut self.encoder, content);
        let directory = DirectoryEntry::Chunk {
            volume,
            chunk,
            session,
            id,
        };
        let place = self.send(item, ItemKind::Chunk, directory)?;
        Ok((ChunkEntry::Chunk { id, place }, place.length))
    }

    /// Reserves a place for an encoded item, seals it for that place and sends it off.
    fn send(
        &mut self,
        mut item: ItemBuffer,
        kind: ItemKind,
        directory: DirectoryEntry,
    ) -> Result<Place, Failure> {
        let reserved = self
            .shared
            .packer
            .reserve(directory, item.sealed_length())?;
        let (name, place) = (reserved.name, reserved.place);
        self.shared
            .sealer
            .seal(&mut item, kind, name, place.offset, self.entropy.as_mut());
        let segment = Segment {
            pack: reserved.pack,
            name,
            offset: place.offset,
            bytes: item.into_bytes(),
            last: false,
        };
        self.shared
            .orders
            .send(Order::Segment(segment))
            .map_err(|_| Failure::Gone)?;
        Ok(place)
    }
}
