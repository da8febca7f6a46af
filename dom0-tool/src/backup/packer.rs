//! Hands out places in packs to the workers, and closes packs that are full or old.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use nacre_core::entropy::{Entropy, draw};
use nacre_core::ids::{Alias, KeyGeneration, PackName};
use nacre_core::pack::{DirectoryEntry, PackKind, PackRecord, PackWriter};
use nacre_core::place::Place;
use nacre_core::seal::{Encoder, Sealer};

use super::failure::Failure;
use super::sender::Order;

/// A pack is closed when it holds this much …
const PACK_SIZE: u64 = 64 << 20;
/// … or was open for this long: a bad link must still make headway (DESIGN 4.1).
const PACK_AGE: Duration = Duration::from_secs(20);

/// Sealed bytes on their way to the store.
pub struct Segment {
    /// Number of the pack in this run.
    pub pack: u64,
    /// The pack's name.
    pub name: PackName,
    /// Where in the pack they stand.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the pack ends with them.
    pub last: bool,
}

/// A place that a worker may fill.
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    /// Number of the pack in this run.
    pub pack: u64,
    /// The pack's name.
    pub name: PackName,
    /// The place, for the index.
    pub place: Place,
}

/// Gives out places. Shared by the workers.
pub struct Packer<'a> {
    sealer: &'a Sealer,
    segments: Sender<Order>,
    state: Mutex<State>,
}

struct State {
    entropy: Box<dyn Entropy>,
    encoder: Encoder,
    next_alias: Alias,
    next_pack: u64,
    open: Option<Open>,
    finished: Vec<(Alias, PackRecord)>,
}

struct Open {
    writer: PackWriter,
    number: u64,
    since: Instant,
}

impl<'a> Packer<'a> {
    /// A packer whose first pack gets the alias `next_alias`.
    pub fn new(
        sealer: &'a Sealer,
        encoder: Encoder,
        segments: Sender<Order>,
        entropy: Box<dyn Entropy>,
        next_alias: Alias,
    ) -> Self {
        Self {
            sealer,
            segments,
            state: Mutex::new(State {
                entropy,
                encoder,
                next_alias,
                next_pack: 0,
                open: None,
                finished: Vec::new(),
            }),
        }
    }

    /// Reserves room for an item of `length` sealed bytes.
    pub fn reserve(&self, entry: DirectoryEntry, length: u32) -> Result<Reserved, Failure> {
        let mut state = self.lock();
        if state.open.is_none() {
            let opened = state.open_pack(self.sealer.key_generation());
            state.open = Some(opened);
        }
        let Some(open) = state.open.as_mut() else {
            return Err(Failure::Gone);
        };
        let offset = open.writer.reserve(entry, length);
        let reserved = Reserved {
            pack: open.number,
            name: open.writer.name(),
            place: Place {
                alias: open.writer.alias(),
                offset,
                length,
            },
        };
        if open.writer.length() >= PACK_SIZE || open.since.elapsed() >= PACK_AGE {
            self.close(&mut state)?;
        }
        Ok(reserved)
    }

    /// Closes the open pack, and says which packs were finished since the last call.
    pub fn finish(&self) -> Result<Vec<(Alias, PackRecord)>, Failure> {
        let mut state = self.lock();
        self.close(&mut state)?;
        Ok(std::mem::take(&mut state.finished))
    }

    /// Takes an alias for a pack that is written otherwise.
    pub fn take_alias(&self) -> Alias {
        let mut state = self.lock();
        let alias = state.next_alias;
        state.next_alias = Alias(alias.0 + 1);
        alias
    }

    fn close(&self, state: &mut State) -> Result<(), Failure> {
        let Some(open) = state.open.take() else {
            return Ok(());
        };
        let (alias, name, offset) = (
            open.writer.alias(),
            open.writer.name(),
            open.writer.length(),
        );
        let end = open
            .writer
            .finish(self.sealer, &mut state.encoder, state.entropy.as_mut());
        state.finished.push((alias, end.record));
        let segment = Segment {
            pack: open.number,
            name,
            offset,
            bytes: end.bytes,
            last: true,
        };
        self.segments
            .send(Order::Segment(segment))
            .map_err(|_| Failure::Gone)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A worker that panicked has failed the run; what it held is not used any more.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    fn open_pack(&mut self, key_generation: KeyGeneration) -> Open {
        let alias = self.next_alias;
        let number = self.next_pack;
        self.next_alias = Alias(alias.0 + 1);
        self.next_pack += 1;
        let name = PackName(draw(self.entropy.as_mut()));
        Open {
            writer: PackWriter::new(alias, name, PackKind::Data, key_generation),
            number,
            since: Instant::now(),
        }
    }
}
