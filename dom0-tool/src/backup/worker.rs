//! One worker: zero test, id, known already?, compress, reserve a place, seal.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use nacre_core::entropy::Entropy;
use nacre_core::hash::ChunkIdKey;
use nacre_core::ids::{ChunkNumber, SessionSeq, VolumeId};
use nacre_core::node::ChunkEntry;
use nacre_core::pack::DirectoryEntry;
use nacre_core::seal::{Encoder, ItemBuffer, ItemKind, Sealer};

use super::failure::{Failure, Sticky};
use super::feed::Job;
use super::packer::{Packer, Segment};
use super::sender::Order;
use super::zero::is_zero;
use crate::joints::AlignedBuffer;

/// For whom chunks are stored: goes with each job.
pub struct Owner {
    /// The volume.
    pub volume: VolumeId,
    /// The session being written.
    pub session: SessionSeq,
    /// The id key of the volume's dedup domain.
    pub ids: ChunkIdKey,
}

/// What a worker found out about one job.
pub struct Done {
    /// Chunks that differ from what was known: their new entry, or `None` when they are zero now.
    pub edits: Vec<(u64, Option<ChunkEntry>)>,
    /// Bytes of chunks that differ.
    pub changed: u64,
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
    mut encoder: Encoder,
    mut entropy: Box<dyn Entropy>,
    jobs: &Receiver<(Arc<Owner>, Job)>,
    done: &Sender<Done>,
) {
    for (owner, job) in jobs {
        if shared.sticky.is_set() {
            continue;
        }
        let result = work(shared, &mut encoder, entropy.as_mut(), &owner, job);
        match result {
            Ok(result) => {
                if done.send(result).is_err() {
                    return;
                }
            }
            Err(failure) => shared.sticky.set(failure),
        }
    }
}

fn work(
    shared: &Shared<'_>,
    encoder: &mut Encoder,
    entropy: &mut dyn Entropy,
    owner: &Owner,
    job: Job,
) -> Result<Done, Failure> {
    let mut edits = Vec::new();
    let (mut changed, mut stored) = (0, 0);
    let mut known = job.known.iter().peekable();
    let chunks = job.content[..job.length].chunks(shared.chunk_size);
    for (number, content) in (job.first..).zip(chunks) {
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
        if shared.dry_run {
            continue;
        }
        let entry = DirectoryEntry::Chunk {
            volume: owner.volume,
            chunk: ChunkNumber(number),
            session: owner.session,
            id,
        };
        let mut item = ItemBuffer::from_spent(shared.spent.try_recv().unwrap_or_default());
        item.encode(encoder, content);
        let length = item.sealed_length();
        let reserved = shared.packer.reserve(entry, length)?;
        let (name, place) = (reserved.name, reserved.place);
        shared
            .sealer
            .seal(&mut item, ItemKind::Chunk, name, place.offset, entropy);
        let segment = Segment {
            pack: reserved.pack,
            name,
            offset: place.offset,
            bytes: item.into_bytes(),
            last: false,
        };
        shared
            .orders
            .send(Order::Segment(segment))
            .map_err(|_| Failure::Gone)?;
        stored += u64::from(length);
        edits.push((number, Some(ChunkEntry::Chunk { id, place })));
    }
    Ok(Done {
        changed: changed * shared.chunk_size as u64,
        stored,
        edits,
        content: job.content,
    })
}
