//! An archive in memory with some volumes and sessions, and the content of every version of every volume.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nacre::archive::{
    Archive, Compacted, EntropySource, Error, InitOptions, OpenOptions, header_error, init, open,
};
use nacre::backup::{SendOptions, SendReport, Surroundings, VolumeOutcome, send};
use nacre::joints::{
    Entropy, FrozenVolume, Progress, RestoreGoal, SourceError, StateDir, Store, VolumeRange,
};
use nacre::maintain::{
    CheckOptions, CheckReport, CheckWatch, Elsewhere, RepairReport, Slice, check, repair,
};
use nacre::restore::{Compare, RestoreOptions, Version, Watch, restore};
use nacre_core::hash::HashType;
use nacre_core::head::Compression;
use nacre_core::header::Credential;
use nacre_core::ids::VolumeId;
use nacre_core::node::ChunkFormat;
use nacre_core::object_name::ObjectName;
use nacre_core::pack::MovePolicy;
use nacre_tests::lab_image::Random;
use nacre_tests::{LastWrite, MemoryState, MemoryStore, RecordingMonitor, SimulatedClock};

pub const CHUNK: usize = 64 << 10;

struct Seeded(Random);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// A version of a volume: its name, and that of the session.
pub type Key = (String, String);

/// What came back, and the ranges that did not.
pub type Came = (Vec<u8>, Vec<VolumeRange>);

/// An archive in memory, and what a machine needs to use it.
pub struct Bench {
    pub store: MemoryStore,
    pub state: MemoryState,
    pub clock: SimulatedClock,
    seed: Arc<Mutex<u64>>,
    /// What every version holds.
    pub model: BTreeMap<Key, Vec<u8>>,
    /// Whether `versions` may use what this machine keeps.
    pub from_caches: bool,
}

impl Bench {
    pub fn new() -> Self {
        let bench = Self {
            store: MemoryStore::new(),
            state: MemoryState::new(),
            clock: SimulatedClock::at(1_800_000_000),
            seed: Arc::default(),
            model: BTreeMap::new(),
            from_caches: false,
        };
        let options = InitOptions {
            hash: HashType::Blake3,
            format: ChunkFormat::new(16).unwrap(),
            compression: Compression::Zstd(1),
            encrypted: false,
            slots: Vec::new(),
            memory: &|_| Ok(Arc::new(bench.state.clone()) as Arc<dyn StateDir>),
            entropy: bench.entropy(),
        };
        init(Arc::new(bench.store.clone()), options, &bench.clock).unwrap();
        bench
    }

    /// The same archive and machine, as they are now, apart from these.
    pub fn fork(&self) -> Self {
        Self {
            store: self.store.fork(),
            state: self.state.reopened(LastWrite::Kept),
            clock: SimulatedClock::at(1_900_000_000),
            seed: Arc::new(Mutex::new(1 << 32)),
            model: self.model.clone(),
            from_caches: self.from_caches,
        }
    }

    /// From here on new packs get other names than those of another fork.
    pub fn with_names_from(self, seed: u64) -> Self {
        *self.seed.lock().unwrap() = seed;
        self
    }

    fn entropy(&self) -> EntropySource {
        let seed = Arc::clone(&self.seed);
        Arc::new(move || {
            let mut seed = seed.lock().unwrap();
            *seed += 1;
            Box::new(Seeded(Random::new(*seed, "entropy")))
        })
    }

    pub fn try_open(&self) -> Result<Archive, Error> {
        self.try_open_on(Arc::new(self.store.clone()), &self.state)
    }

    /// The archive as another store shows it, or a machine that remembers something else.
    pub fn try_open_on(
        &self,
        store: Arc<dyn Store>,
        state: &MemoryState,
    ) -> Result<Archive, Error> {
        let options = OpenOptions {
            pin: None,
            unlock: &mut |candidates| {
                candidates
                    .unlock(&Credential::Published)
                    .map_err(header_error)
            },
            memory: &|_| Ok(Arc::new(state.clone()) as Arc<dyn StateDir>),
            allow_rollback: false,
            entropy: self.entropy(),
        };
        open(store, options)
    }

    /// Sends volumes as one session.
    pub fn try_send(&mut self, volumes: &[(&str, &[u8])]) -> Result<SendReport, Error> {
        self.clock.advance(60);
        let mut frozen = volumes
            .iter()
            .map(|(name, content)| made(name, content))
            .collect::<Vec<_>>();
        let options = SendOptions {
            threads: 2,
            checkpoint_time: Duration::from_secs(3600),
            ..SendOptions::default()
        };
        let monitor = RecordingMonitor::new();
        let around = Surroundings {
            clock: &self.clock,
            monitor: &monitor,
            stop: &AtomicBool::new(false),
        };
        let report = send(&mut self.try_open()?, &mut frozen, &options, &around)?;
        if let Some((_, session)) = &report.session {
            for ((name, content), volume) in volumes.iter().zip(&report.volumes) {
                if matches!(volume.outcome, VolumeOutcome::Stored) {
                    let key = ((*name).to_owned(), session.clone());
                    self.model.insert(key, content.to_vec());
                }
            }
        }
        Ok(report)
    }

    pub fn send(&mut self, volumes: &[(&str, &[u8])]) {
        self.try_send(volumes).unwrap();
    }

    /// An archive with packs to put together: a volume whose first half is another in each of four sessions.
    pub fn with_small_packs() -> Self {
        let mut bench = Self::new();
        let mut content = vec![0; 4 * CHUNK];
        for session in 0..4_u64 {
            Random::new(session, "moved").fill(&mut content[..2 * CHUNK]);
            bench.send(&[("v", &content)]);
        }
        bench
    }

    /// Puts packs together that are small even in a small archive.
    pub fn compact(&self) -> Result<Compacted, Error> {
        self.compact_on(Arc::new(self.store.clone()))
    }

    /// The same in the archive as another store shows it.
    pub fn compact_on(&self, store: Arc<dyn Store>) -> Result<Compacted, Error> {
        let policy = MovePolicy {
            small: 1 << 20,
            small_packs: 1,
            target: 1 << 22,
            ..MovePolicy::default()
        };
        let mut archive = self.try_open_on(store, &self.state)?;
        let moves = archive.plan_moves(&policy)?;
        assert!(!moves.groups.is_empty());
        archive.compact(&moves, &self.clock)
    }

    pub fn check(&self, data: bool) -> Result<CheckReport, Error> {
        let options = CheckOptions {
            data: data.then_some(Slice::All),
            threads: 2,
            ..CheckOptions::default()
        };
        let monitor = RecordingMonitor::new();
        check(&self.try_open()?, &options, self.watch(&monitor))
    }

    pub fn repair(&self, sources: &[(&str, &[u8])], dry_run: bool) -> Result<RepairReport, Error> {
        let options = CheckOptions {
            data: Some(Slice::All),
            threads: 2,
            ..CheckOptions::default()
        };
        let sources = |volume: &str| {
            let here = sources.iter().filter(|(name, _)| *name == volume);
            here.map(|(name, content)| Elsewhere::local("a copy", made(name, content)))
                .collect()
        };
        let monitor = RecordingMonitor::new();
        let mut archive = self.try_open()?;
        repair(
            &mut archive,
            &options,
            &sources,
            dry_run,
            self.watch(&monitor),
        )
    }

    fn watch<'a>(&'a self, monitor: &'a RecordingMonitor) -> CheckWatch<'a> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        CheckWatch {
            monitor,
            clock: &self.clock,
            stop: &NEVER,
        }
    }

    /// Forgets the oldest session of a volume and frees what only it needed. The answer is its name.
    pub fn try_prune_oldest(&mut self, name: &str) -> Result<Option<String>, Error> {
        self.clock.advance(60);
        let mut archive = self.try_open()?;
        let Some(id) = archive.head().volume(name).map(|volume| volume.id) else {
            return Ok(None);
        };
        let sessions = archive.sessions()?;
        let Some((seq, session, _)) = sessions.of_volume(id).next() else {
            return Ok(None);
        };
        let session = session.name.to_string();
        archive.prune(&[(seq, [id].into())].into(), &self.clock)?;
        archive.free()?;
        self.model.remove(&(name.to_owned(), session.clone()));
        Ok(Some(session))
    }

    /// Every version that the archive lists, with what comes back and which ranges do not: read from the store, not from what this machine keeps.
    pub fn versions(&self) -> Result<BTreeMap<Key, Came>, Error> {
        let archive = self.try_open()?;
        if !self.from_caches {
            archive.memory().remove_caches()?;
        }
        let sessions = archive.sessions()?;
        let mut all = BTreeMap::new();
        for volume in &archive.head().volumes {
            for (_, session, _) in sessions.of_volume(volume.id) {
                let key = (volume.name.clone(), session.name.to_string());
                all.insert(key, read(&archive, volume.id, &session.name.to_string())?);
            }
        }
        Ok(all)
    }

    /// All objects' names.
    pub fn names(&self) -> Vec<ObjectName> {
        self.store.objects().into_keys().collect()
    }

    /// Puts other bytes, or none, in the place of an object.
    pub fn set(&self, name: ObjectName, bytes: Option<&[u8]>) {
        self.store.delete(&[name]).unwrap();
        if let Some(bytes) = bytes {
            self.store.put_whole(name, bytes).unwrap();
        }
    }
}

/// One version, and the ranges that are lost.
fn read(archive: &Archive, id: VolumeId, name: &str) -> Result<(Vec<u8>, Vec<VolumeRange>), Error> {
    let sessions = archive.sessions()?;
    let (_, _, at) = sessions
        .of_volume(id)
        .find(|(_, session, _)| session.name.to_string() == name)
        .unwrap();
    let goal = Goal(Mutex::new(vec![0; usize::try_from(at.size).unwrap()]));
    let version = Version {
        root: at.root,
        size: at.size,
    };
    let options = RestoreOptions {
        threads: 2,
        compare: Compare::Nothing,
    };
    let watch = Watch {
        progress: &Progress::default(),
        stop: &AtomicBool::new(false),
    };
    let ids = archive.volume_ids(archive.head().volume_by_id(id).unwrap());
    let report = restore(&archive.nodes(), &ids, version, &goal, options, watch)?;
    let ranges = report.damage.ranges().map(|(range, _)| range);
    Ok((goal.0.into_inner().unwrap(), ranges.collect()))
}

struct Goal(Mutex<Vec<u8>>);

impl RestoreGoal for Goal {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let start = usize::try_from(offset).unwrap();
        self.0.lock().unwrap()[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn zero(&self, _range: VolumeRange) -> Result<(), SourceError> {
        Ok(())
    }

    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> Result<(), SourceError> {
        unreachable!("nothing is compared")
    }

    fn starts_empty(&self) -> bool {
        true
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        Ok(())
    }
}

/// A volume in memory.
struct Made {
    name: String,
    content: Vec<u8>,
}

fn made(name: &str, content: &[u8]) -> Box<dyn FrozenVolume> {
    Box::new(Made {
        name: name.to_owned(),
        content: content.to_vec(),
    })
}

impl FrozenVolume for Made {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let start = usize::try_from(offset).unwrap().min(self.content.len());
        let end = (start + buffer.len()).min(self.content.len());
        buffer.fill(0);
        buffer[..end - start].copy_from_slice(&self.content[start..end]);
        Ok(())
    }
}
