//! A machine with its own memory, in front of a store: what one process of `nacre` has.

use std::sync::{Arc, Mutex};

use nacre::archive::{Archive, EntropySource, Error, OpenOptions, Pin, header_error, open};
use nacre::joints::{Entropy, StateDir, StateError, StateLock, Store};
use nacre_core::header::{Candidates, Credential, Unlocked};
use nacre_core::ids::ArchiveId;
use nacre_core::keys::Secret;
use nacre_tests::lab_image::Random;
use nacre_tests::{MemoryState, SimulatedClock};

use super::pool::Pool;

/// Who opens the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The key file from the beginning.
    Old,
    /// The recovery code from the beginning.
    Paper,
    /// The key file that a change of keys brings.
    New,
}

impl Who {
    pub fn secret(self) -> Secret {
        Secret::draw(&mut Seeded(Random::new(self as u64, "secret")))
    }

    fn unlock(self, candidates: &Candidates) -> Result<Unlocked, Error> {
        let secret = self.secret();
        let credential = match self {
            Self::Old | Self::New => Credential::KeyFile(&secret),
            Self::Paper => Credential::Recovery(&secret),
        };
        candidates.clone().unlock(&credential).map_err(header_error)
    }
}

struct Seeded(Random);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// Randomness that is the same in every run that begins with the same number; every thread gets its own.
pub fn entropy(run: u64) -> EntropySource {
    let threads = Arc::new(Mutex::new(0));
    Arc::new(move || {
        let mut thread = threads.lock().unwrap();
        *thread += 1;
        Box::new(Seeded(Random::new(run << 16 | *thread, "entropy")))
    })
}

/// A machine, and the store as it sees it.
#[derive(Clone)]
pub struct Machine {
    pub store: Arc<dyn Store>,
    pub memory: MemoryState,
    pub pool: Pool,
    pub entropy: EntropySource,
    pub who: Who,
    /// Whether it looks for chunks that are there already.
    pub dedup: bool,
}

const PIN: &str = "pin";

impl Machine {
    /// Opens the archive as the machine remembers it.
    pub fn open(&self) -> Result<Archive, Error> {
        self.open_as(self.who)
    }

    pub fn open_as(&self, who: Who) -> Result<Archive, Error> {
        let pin = self.memory.read(PIN, 200)?;
        let options = OpenOptions {
            pin: pin.map(|bytes| Pin::parse(&bytes).unwrap()),
            unlock: &mut |candidates| who.unlock(&candidates),
            memory: &|id| Ok(self.of(id)),
            allow_rollback: false,
            entropy: Arc::clone(&self.entropy),
        };
        open(Arc::clone(&self.store), options)
    }

    pub fn set_pin(&self, archive: ArchiveId, successor: Option<ArchiveId>) -> Result<(), Error> {
        let pin = Pin {
            archive,
            encrypted: true,
            successor,
        };
        Ok(self.memory.replace(PIN, &pin.encode())?)
    }

    /// What it remembers of one archive.
    pub fn of(&self, archive: ArchiveId) -> Arc<dyn StateDir> {
        let prefix = archive.to_string()[..8].to_owned();
        let memory = self.memory.clone();
        Arc::new(Folder { memory, prefix })
    }
}

/// The folder of one archive in the machine's memory.
struct Folder {
    memory: MemoryState,
    prefix: String,
}

impl Folder {
    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }
}

impl StateDir for Folder {
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, StateError> {
        self.memory.read(&self.name(name), limit)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.memory.replace(&self.name(name), bytes)
    }

    fn list(&self) -> Result<Vec<String>, StateError> {
        let prefix = self.name("");
        let all = self.memory.list()?.into_iter();
        Ok(all
            .filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned))
            .collect())
    }

    fn remove(&self, name: &str) -> Result<(), StateError> {
        self.memory.remove(&self.name(name))
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn StateLock>, StateError> {
        self.memory.lock(purpose)
    }

    fn turn(&self) -> Result<Box<dyn StateLock>, StateError> {
        self.memory.turn()
    }
}

pub fn clock(minutes: u32) -> SimulatedClock {
    SimulatedClock::at(1_800_000_000 + 60 * i64::from(minutes))
}
