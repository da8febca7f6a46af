//! An archive in memory, and what a machine needs to use it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use nacre::archive::{Archive, EntropySource, InitOptions, OpenOptions, Result, init, open};
use nacre::backup::{SendOptions, SendReport, Surroundings, send};
use nacre::joints::{
    Entropy, FrozenVolume, Progress, RestoreGoal, SourceError, StateDir, Store, VolumeRange,
};
use nacre::restore::{Compare, RestoreOptions, Version, Watch, restore};
use nacre_core::hash::HashType;
use nacre_core::head::Compression;
use nacre_core::header::Credential;
use nacre_core::ids::SessionSeq;
use nacre_core::node::ChunkFormat;

use crate::lab_image::Random;
use crate::{MemoryState, MemoryStore, RecordingMonitor, RecordingStore, SimulatedClock};

/// Store, dom0's memory, clock and randomness of one archive without a key.
pub struct MemoryArchive {
    /// The store.
    pub store: RecordingStore<MemoryStore>,
    /// dom0's memory.
    pub state: Arc<dyn StateDir>,
    /// The time.
    pub clock: SimulatedClock,
    seed: Arc<Mutex<u64>>,
}

struct Seeded(Random);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

impl MemoryArchive {
    /// Makes an archive with chunks of 2^`bits` bytes.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(bits: u8) -> Self {
        Self::on(MemoryStore::new(), bits)
    }

    /// The same in a store of the test's choice.
    ///
    /// # Panics
    /// If it cannot be made.
    #[allow(
        clippy::expect_used,
        reason = "a test cannot go on without its archive"
    )]
    pub fn on(store: MemoryStore, bits: u8) -> Self {
        let made = Self {
            store: RecordingStore::new(store),
            state: Arc::new(MemoryState::new()),
            clock: SimulatedClock::at(1_800_000_000),
            seed: Arc::default(),
        };
        let options = InitOptions {
            hash: HashType::Blake3,
            format: ChunkFormat::new(bits).expect("a chunk size"),
            compression: Compression::None,
            encrypted: false,
            slots: Vec::new(),
            memory: &|_| Ok(Arc::clone(&made.state)),
            entropy: made.entropy(),
        };
        init(Arc::new(made.store.clone()), options, &made.clock).expect("an archive");
        made
    }

    /// The same archive and machine, with the store seen in another way, years later.
    #[must_use]
    pub fn seen_on(&self, store: MemoryStore) -> Self {
        self.seen_from(store, Arc::clone(&self.state))
    }

    /// The archive in another store, on a machine with another memory, years later.
    #[must_use]
    pub fn seen_from(&self, store: MemoryStore, state: Arc<dyn StateDir>) -> Self {
        Self {
            store: RecordingStore::new(store),
            state,
            clock: SimulatedClock::at(1_900_000_000),
            seed: Arc::clone(&self.seed),
        }
    }

    /// Every thread gets randomness that no other has had.
    fn entropy(&self) -> EntropySource {
        let seed = Arc::clone(&self.seed);
        Arc::new(move || {
            let mut seed = seed.lock().unwrap_or_else(PoisonError::into_inner);
            *seed += 1;
            Box::new(Seeded(Random::new(*seed, "entropy")))
        })
    }

    /// Opens it, as a new process would do.
    ///
    /// # Panics
    /// If that fails.
    #[allow(
        clippy::expect_used,
        reason = "a test cannot go on without its archive"
    )]
    pub fn open(&self) -> Archive {
        let store = Arc::new(self.store.clone());
        let opened = self.open_on(store, &self.state);
        opened.expect("an archive that can be opened")
    }

    /// Opens the archive in another store, on a machine that remembers what is in `state`.
    ///
    /// # Errors
    /// Those of opening.
    #[allow(
        clippy::expect_used,
        reason = "the key is published, so it is always there"
    )]
    pub fn open_on(&self, store: Arc<dyn Store>, state: &Arc<dyn StateDir>) -> Result<Archive> {
        let options = OpenOptions {
            pin: None,
            unlock: &mut |candidates| {
                let unlocked = candidates.unlock(&Credential::Published);
                Ok(unlocked.expect("an archive without a key"))
            },
            memory: &|_| Ok(Arc::clone(state)),
            allow_rollback: false,
            entropy: self.entropy(),
        };
        open(store, options)
    }

    /// Sends volumes in a run of its own, a minute after the last. Returns what was said too.
    ///
    /// # Panics
    /// If the store fails.
    #[allow(clippy::expect_used, reason = "memory does not fail")]
    pub fn send(
        &self,
        mut volumes: Vec<Box<dyn FrozenVolume>>,
        options: &SendOptions,
        stop: &AtomicBool,
    ) -> (SendReport, RecordingMonitor) {
        self.clock.advance(60);
        let monitor = RecordingMonitor::new();
        let around = Surroundings {
            clock: &self.clock,
            monitor: &monitor,
            stop,
        };
        let report = send(&mut self.open(), &mut volumes, options, &around);
        (report.expect("a store that works"), monitor)
    }

    /// Every session of a volume, oldest first: its number, whether it is finished, and what it reads as.
    ///
    /// # Panics
    /// If any chunk of any of them cannot be read.
    pub fn sessions_of(&self, volume: &str) -> Vec<(SessionSeq, bool, Vec<u8>)> {
        self.sessions_where(volume, |_| true)
    }

    /// The same for some of the sessions.
    ///
    /// # Panics
    /// If any chunk of any of them cannot be read.
    #[allow(
        clippy::expect_used,
        reason = "that everything reads back is what tests want to know"
    )]
    pub fn sessions_where(
        &self,
        volume: &str,
        wanted: impl Fn(SessionSeq) -> bool,
    ) -> Vec<(SessionSeq, bool, Vec<u8>)> {
        let archive = self.open();
        let sessions = archive.sessions().expect("sessions");
        let Some(entry) = archive.head().volume(volume) else {
            return Vec::new();
        };
        let ids = archive.volume_ids(entry);
        let read = |root, size: u64| {
            let goal = MemoryGoal::new(usize::try_from(size).expect("a size in memory"));
            let options = RestoreOptions {
                threads: 1,
                compare: Compare::Nothing,
            };
            let watch = Watch {
                progress: &Progress::default(),
                stop: &AtomicBool::new(false),
            };
            let version = Version { root, size };
            let report = restore(&archive.nodes(), &ids, version, &goal, options, watch);
            let report = report.expect("a restore");
            assert!(report.damage.is_empty(), "{:?}", report.damage);
            goal.into_content()
        };
        let of_volume = sessions
            .of_volume(entry.id)
            .filter(|(seq, ..)| wanted(*seq));
        of_volume
            .map(|(seq, session, at)| (seq, !session.unfinished, read(at.root, at.size)))
            .collect()
    }
}

/// A goal in memory that begins as zeros, or as something else.
pub struct MemoryGoal {
    content: Mutex<Vec<u8>>,
    empty: bool,
}

impl MemoryGoal {
    /// Zeros.
    pub fn new(size: usize) -> Self {
        Self {
            content: Mutex::new(vec![0; size]),
            empty: true,
        }
    }

    /// What is there already.
    pub fn over(content: Vec<u8>) -> Self {
        Self {
            content: Mutex::new(content),
            empty: false,
        }
    }

    /// What was made of it.
    pub fn into_content(self) -> Vec<u8> {
        self.content
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, start: u64, length: usize, change: impl FnOnce(&mut [u8])) {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut content[start..start + length]);
    }
}

impl RestoreGoal for MemoryGoal {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        self.with(offset, bytes.len(), |room| room.copy_from_slice(bytes));
        Ok(())
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        self.with(range.start, length, |room| room.fill(0));
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.with(offset, buffer.len(), |there| buffer.copy_from_slice(there));
        Ok(())
    }

    fn starts_empty(&self) -> bool {
        self.empty
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        Ok(())
    }
}
