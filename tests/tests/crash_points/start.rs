//! Where the scripts begin.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nacre::archive::{Archive, Error, InitOptions, init};
use nacre::backup::{SendOptions, Surroundings, send};
use nacre::joints::{Capabilities, FrozenVolume, Store};
use nacre_core::hash::HashType;
use nacre_core::head::Compression;
use nacre_core::header::{NewSecret, NewSlot};
use nacre_core::ids::Epoch;
use nacre_core::keys::Secret;
use nacre_core::node::ChunkFormat;
use nacre_core::object_name::ObjectName;
use nacre_tests::lab_image::Random;
use nacre_tests::{MemoryState, MemoryStore, RecordingMonitor};

use super::machine::{Machine, Who, clock, entropy};
use super::pool::{Pool, Volumes};
use super::seen::{Seen, read, read_damaged};

pub const CHUNK: usize = 64 << 10;
pub const VOLUMES: [&str; 4] = ["a", "b", "c", "d"];

/// An archive, what the machine remembers, and what lies in local storage.
pub struct Start {
    pub store: MemoryStore,
    pub memory: MemoryState,
    pub volumes: Volumes,
    pub epoch: Epoch,
    pub seen: Seen,
}

pub fn key_file<'a>(label: &'a str, secret: &'a Secret) -> NewSlot<'a> {
    NewSlot {
        label,
        created: 0,
        secret: NewSecret::KeyFile(secret),
    }
}

/// A chunk that compresses to less than a tenth, and is like no other.
fn chunk(random: &mut Random, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xa5; length];
    let noise = length.min(5000);
    random.fill(&mut bytes[..noise]);
    bytes
}

/// What a store is to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Make {
    Punches,
    DoesNotPunch,
    /// One that punches, and has lost an object and altered another.
    Damaged,
}

impl Make {
    /// Reads everything in such a store.
    pub fn read(self, archive: &Archive) -> Result<Seen, Error> {
        if self == Self::Damaged {
            read_damaged(archive)
        } else {
            read(archive)
        }
    }
}

impl Start {
    /// Volumes of three chunks, the last of them short, some of them there twice; four sessions, the newest unfinished; a pack that
    /// no head names; local storage that has changed since.
    pub fn new(make: Make) -> Self {
        let capabilities = Capabilities {
            punch: make != Make::DoesNotPunch,
            ..Capabilities::default()
        };
        let store = MemoryStore::with_capabilities(capabilities);
        let memory = MemoryState::new();
        let machine = Machine {
            // So that some chunks are there twice.
            dedup: false,
            ..Machine::on(&store, &memory, Volumes::new())
        };
        machine.init();
        let mut random = Random::new(3, "start");
        for name in VOLUMES {
            for at in 0..3 {
                let length = if at == 2 { 9000 } else { CHUNK };
                machine
                    .pool
                    .write(name, at * CHUNK, &chunk(&mut random, length));
            }
        }
        for (round, minute) in (0..4).zip(1..) {
            let shared = chunk(&mut random, CHUNK);
            machine.pool.write("a", 0, &shared);
            let other = if round < 2 { CHUNK } else { 0 };
            machine.pool.write("a", other, &shared);
            let second = chunk(&mut random, CHUNK);
            machine.pool.write("b", round % 2 * CHUNK, &second);
            machine.pool.write("c", CHUNK, &chunk(&mut random, 6000));
            machine
                .pool
                .write("d", round * 900, &chunk(&mut random, 900));
            if make != Make::Damaged && round == 3 {
                // The session stays unfinished.
                let sent = machine.send(&VOLUMES, minute, true);
                assert!(matches!(sent, Err(Error::Interrupted)));
            } else {
                machine.send(&VOLUMES, minute, false).unwrap();
            }
        }
        machine.pool.write("a", 700, b"a few bytes");
        machine.pool.write("c", 100, &chunk(&mut random, CHUNK));
        machine
            .pool
            .write("d", 3 * CHUNK, &chunk(&mut random, 4096));
        machine
            .pool
            .write("b", CHUNK + 10, &chunk(&mut random, 600));
        let orphan = ObjectName::Pack(nacre_core::ids::PackName([0xab; 16]));
        store.put_whole(orphan, &[7; 900]).unwrap();
        if make == Make::Damaged {
            damage(&store);
        }
        let archive = machine.open().unwrap();
        Self {
            epoch: archive.head().epoch,
            seen: make.read(&archive).unwrap(),
            volumes: machine.pool.volumes(),
            store,
            memory,
        }
    }
}

/// A lost data pack, one with a flipped bit, and a bad copy of the header.
fn damage(store: &MemoryStore) {
    let objects = store.objects();
    let mut packs: Vec<_> = objects
        .iter()
        .filter(|(name, _)| matches!(name, ObjectName::Pack(_)))
        .collect();
    packs.sort_by_key(|(_, bytes)| bytes.len());
    let largest: Vec<ObjectName> = packs.iter().rev().map(|(name, _)| **name).collect();
    store.lose(largest[0]);
    let flip = |name: ObjectName| {
        let mut bytes = objects[&name].clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        store.tamper(name, bytes);
    };
    flip(largest[1]);
    let header = objects
        .keys()
        .find(|name| matches!(name, ObjectName::Header(..)));
    flip(*header.unwrap());
}

impl Machine {
    /// One that is not watched.
    pub fn on(store: &MemoryStore, memory: &MemoryState, volumes: Volumes) -> Self {
        Self {
            store: Arc::new(store.clone()),
            pool: Pool::new(volumes, Arc::new(memory.clone()), None),
            memory: memory.clone(),
            entropy: entropy(1),
            who: Who::Old,
            dedup: true,
        }
    }

    fn init(&self) {
        let (old, paper) = (Who::Old.secret(), Who::Paper.secret());
        let slots = vec![
            key_file("old", &old),
            NewSlot {
                label: "paper",
                created: 0,
                secret: NewSecret::RecoveryCode(&paper),
            },
        ];
        let options = InitOptions {
            hash: HashType::Blake3,
            format: ChunkFormat::new(16).unwrap(),
            compression: Compression::Zstd(1),
            encrypted: true,
            slots,
            memory: &|id| Ok(self.of(id)),
            entropy: Arc::clone(&self.entropy),
        };
        let archive = init(Arc::clone(&self.store), options, &clock(0)).unwrap();
        self.set_pin(archive.id(), None).unwrap();
    }

    /// Sends volumes in a run of its own. With `cut` somebody stops it at the last of them, and the session stays unfinished.
    pub fn send(&self, names: &[&str], minutes: u32, cut: bool) -> Result<Archive, Error> {
        let mut archive = self.open()?;
        // All of them may share chunks.
        archive.set_domain_rule(Box::new(|_| "all".to_owned()));
        let stop = Arc::new(AtomicBool::new(false));
        let last = names.len() - 1;
        let mut volumes: Vec<Box<dyn FrozenVolume>> = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let frozen = self.pool.take(name);
            volumes.push(if cut && at == last {
                Box::new(frozen.stops(&stop))
            } else {
                Box::new(frozen)
            });
        }
        let options = SendOptions {
            threads: 1,
            dedup: self.dedup,
            checkpoint_bytes: u64::MAX,
            checkpoint_time: Duration::from_secs(3600),
            ..SendOptions::default()
        };
        let around = Surroundings {
            clock: &clock(10 + minutes),
            monitor: &RecordingMonitor::new(),
            stop: &stop,
        };
        let report = send(&mut archive, &mut volumes, &options, &around)?;
        if report.interrupted {
            return Err(Error::Interrupted);
        }
        Ok(archive)
    }
}
