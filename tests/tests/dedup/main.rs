//! Sharing equal chunks within a dedup domain: what is found, what is never shared, and what a wrong index in dom0 can do (nothing).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod counts;
mod index_files;
mod program;
mod sending;
mod sharing;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use nacre::archive::{Archive, Nodes, Result};
use nacre::backup::{SendOptions, SendReport, Surroundings, send};
use nacre::joints::FrozenVolume;
use nacre_core::ids::DomainNumber;
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Place, Root, TreeKind};
use nacre_core::tree::Walk;
use nacre_tests::lab_image::Random;
use nacre_tests::{MemoryArchive, MemoryPool, RecordingMonitor};

const CHUNK: usize = 64 << 10;

/// An archive, and volumes whose domain is the part of their name before the dash.
struct Desk {
    archive: MemoryArchive,
    pool: MemoryPool,
}

impl Desk {
    fn new() -> Self {
        Self {
            archive: MemoryArchive::new(16),
            pool: MemoryPool::new(4096),
        }
    }

    fn open(&self) -> Archive {
        let mut archive = self.archive.open();
        archive.set_domain_rule(Box::new(|name| {
            let (domain, _) = name.split_once('-').unwrap();
            domain.to_owned()
        }));
        archive
    }

    /// Gives a volume this content: a letter for each chunk, `.` for zeros.
    fn fill(&self, volume: &str, letters: &str) {
        self.pool.resize(volume, letters.len() * CHUNK);
        for (at, letter) in letters.bytes().enumerate() {
            self.pool.write(volume, at * CHUNK, &content(letter));
        }
    }

    fn try_send(&self, volumes: &[&str], options: &SendOptions) -> Result<SendReport> {
        self.archive.clock.advance(60);
        let mut frozen: Vec<Box<dyn FrozenVolume>> = volumes
            .iter()
            .map(|name| Box::new(self.pool.take(name)) as Box<dyn FrozenVolume>)
            .collect();
        let monitor = RecordingMonitor::new();
        let around = Surroundings {
            clock: &self.archive.clock,
            monitor: &monitor,
            stop: &AtomicBool::new(false),
        };
        send(&mut self.open(), &mut frozen, options, &around)
    }

    /// Sends with dedup and says how many chunks were found in the archive and how many stored.
    fn send(&self, volumes: &[&str]) -> (u64, u64) {
        let report = self.try_send(volumes, &options()).unwrap();
        let counts: Vec<_> = report.volumes.iter().map(|volume| volume.counts).collect();
        let found: u64 = counts.iter().map(|counts| counts.deduplicated).sum();
        let stored: u64 = counts.iter().map(|counts| counts.sent).sum();
        (found / CHUNK as u64, stored / CHUNK as u64)
    }

    /// The newest session of a volume is what the volume holds.
    fn assert_newest(&self, volume: &str) {
        let newest = self.archive.sessions_of(volume).pop().unwrap().2;
        assert!(newest == self.pool.content(volume), "volume {volume}");
    }

    /// No item is used in two domains.
    fn assert_domains_apart(&self) {
        let archive = self.archive.open();
        let mut users: BTreeMap<Place, BTreeSet<DomainNumber>> = BTreeMap::new();
        for volume in &archive.head().volumes {
            for (_, _, at) in archive.sessions().unwrap().of_volume(volume.id) {
                for (_, entry) in entries(&archive, &at.root) {
                    for item in entry.items() {
                        users.entry(item).or_default().insert(volume.domain);
                    }
                }
            }
        }
        assert!(users.values().all(|domains| domains.len() == 1));
    }
}

/// Sends without patches and with dedup; one worker, so that what is found does not depend on who is faster.
fn options() -> SendOptions {
    SendOptions {
        threads: 1,
        dedup: true,
        compare_all: true,
        ..SendOptions::default()
    }
}

/// A chunk of noise for each letter, zeros for `.`.
fn content(letter: u8) -> Vec<u8> {
    let mut bytes = vec![0; CHUNK];
    if letter != b'.' {
        Random::new(u64::from(letter), "chunk").fill(&mut bytes);
    }
    bytes
}

fn entries(archive: &Archive, root: &Root) -> Vec<(u64, ChunkEntry)> {
    let nodes = archive.nodes();
    let mut source: &Nodes = &nodes;
    let mut walk = Walk::new(TreeKind::Chunks, root, 0..u64::MAX);
    let mut found = Vec::new();
    while let Some(batch) = walk.next(&mut source).unwrap() {
        let of_batch = batch.entries::<ChunkEntry>();
        found.extend(of_batch.map(|(number, entry)| (number, entry.clone())));
    }
    found
}
