//! A machine: what it remembers, its volumes, and how it opens the archive.

use std::sync::{Arc, Mutex};

use nacre::archive::{
    Archive, EntropySource, Error, InitOptions, Memory, OpenOptions, header_error, init, open,
};
use nacre::joints::{Entropy, StateDir, Store};
use nacre_core::freshness::Anchor;
use nacre_core::hash::HashType;
use nacre_core::head::Compression;
use nacre_core::header::{Credential, NewSecret, NewSlot};
use nacre_core::keys::Secret;
use nacre_core::node::ChunkFormat;
use nacre_tests::lab_image::Random;
use nacre_tests::{MemoryPool, MemoryState, SimulatedClock};

/// Key files are told apart by numbers below this.
pub const KEYS: u8 = 6;
pub const CHUNK: usize = 64 << 10;

struct Seeded(Random);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// The key file with a number.
pub fn secret(key: u8) -> Secret {
    Secret::draw(&mut Seeded(Random::new(u64::from(key), "secret")))
}

/// The slot of a key file; its label says which one.
pub fn slot<'a>(label: &'a str, secret: &'a Secret) -> NewSlot<'a> {
    NewSlot {
        label,
        created: 0,
        secret: NewSecret::KeyFile(secret),
    }
}

/// Clones are the same machine.
#[derive(Clone)]
pub struct Machine {
    pub memory: MemoryState,
    pub pool: MemoryPool,
    entropy: EntropySource,
}

impl Machine {
    /// A machine with a number that no other has: its randomness and its snapshots are its own.
    pub fn new(number: u64) -> Self {
        let threads = Arc::new(Mutex::new(0));
        let pool = MemoryPool::new(4096).with_identities_from(number << 32);
        Self {
            memory: MemoryState::new(),
            pool,
            entropy: Arc::new(move || {
                let mut thread = threads.lock().unwrap();
                *thread += 1;
                Box::new(Seeded(Random::new(number << 32 | *thread, "entropy")))
            }),
        }
    }

    /// Makes the archive, which two keys open.
    pub fn init(&self, store: Arc<dyn Store>, clock: &SimulatedClock) {
        let (one, other) = (secret(0), secret(1));
        let options = InitOptions {
            hash: HashType::Blake3,
            format: ChunkFormat::new(16).unwrap(),
            compression: Compression::Zstd(1),
            encrypted: true,
            slots: vec![slot("0", &one), slot("1", &other)],
            memory: &|_| Ok(self.dir()),
            entropy: Arc::clone(&self.entropy),
        };
        init(store, options, clock).unwrap();
    }

    /// The same machine with another memory.
    pub fn with_memory(&self, memory: MemoryState) -> Self {
        Self {
            memory,
            ..self.clone()
        }
    }

    fn dir(&self) -> Arc<dyn StateDir> {
        Arc::new(self.memory.clone())
    }

    /// Opens the archive with a key, as a process of its own would. `force` is `--force-allow-rollback`.
    pub fn open(&self, store: Arc<dyn Store>, key: u8, force: bool) -> Result<Archive, Error> {
        let secret = secret(key);
        let options = OpenOptions {
            pin: None,
            unlock: &mut |candidates| {
                candidates
                    .unlock(&Credential::KeyFile(&secret))
                    .map_err(header_error)
            },
            memory: &|_| Ok(self.dir()),
            allow_rollback: force,
            entropy: Arc::clone(&self.entropy),
        };
        let mut archive = open(store, options)?;
        // All volumes may share chunks.
        archive.set_domain_rule(Box::new(|_| "all".to_owned()));
        Ok(archive)
    }

    /// What it remembers of the newest head.
    pub fn anchor(&self) -> Option<Anchor> {
        Memory::new(self.dir()).anchor().unwrap()
    }
}
