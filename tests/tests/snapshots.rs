//! What a send makes of storage that has snapshots: only changes are read, patches are stored, and every session reads back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nacre::archive::Archive;
use nacre::backup::{SendOptions, SendReport, VolumeOutcome};
use nacre::joints::{FrozenVolume, Harvest, Level};
use nacre_core::ids::SessionSeq;
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Root, TreeKind};
use nacre_core::tree::Walk;
use nacre_tests::lab_image::Random;
use nacre_tests::{MemoryArchive, MemoryPool, RecordingMonitor, recount};

const CHUNK: usize = 64 << 10;
const BLOCK: usize = 4096;

struct Desk {
    archive: MemoryArchive,
    pool: MemoryPool,
}

impl Desk {
    fn new(block: usize) -> Self {
        Self {
            archive: MemoryArchive::new(16),
            pool: MemoryPool::new(block as u64),
        }
    }

    /// With a volume `v` that is full of what does not compress.
    fn with_volume(chunks: usize) -> Self {
        let desk = Self::new(BLOCK);
        desk.pool.resize("v", chunks * CHUNK);
        desk.pool.write("v", 0, &noise(1, chunks * CHUNK));
        desk
    }

    fn send_with(&self, options: &SendOptions) -> (SendReport, RecordingMonitor) {
        let volumes: Vec<Box<dyn FrozenVolume>> = vec![Box::new(self.pool.take("v"))];
        self.archive.send(volumes, options, &AtomicBool::new(false))
    }

    fn send(&self) -> (SendReport, RecordingMonitor) {
        self.send_with(&options())
    }

    /// A send that is stopped when it reads behind the byte `at`.
    fn interrupted(&self, at: usize) {
        let stop = Arc::new(AtomicBool::new(false));
        let volumes: Vec<Box<dyn FrozenVolume>> =
            vec![Box::new(self.pool.take("v").stops(at, &stop))];
        let (report, _) = self.archive.send(volumes, &options(), &stop);
        assert!(report.interrupted);
    }

    /// A send that cannot read the byte `at`.
    fn broken(&self, at: usize) -> VolumeOutcome {
        let volumes: Vec<Box<dyn FrozenVolume>> = vec![Box::new(self.pool.take("v").breaks(at))];
        let (report, _) = self
            .archive
            .send(volumes, &options(), &AtomicBool::new(false));
        report.volumes.into_iter().next().unwrap().outcome
    }

    fn newest(&self) -> Vec<u8> {
        self.archive.sessions_of("v").pop().unwrap().2
    }

    /// How many chunks of the newest tree are stored whole, and how many as patches.
    fn kinds(&self) -> (usize, usize) {
        let archive = self.archive.open();
        let kinds = entries(&archive, &archive.head().volume("v").unwrap().root);
        let patched = |entry: &&ChunkEntry| matches!(entry, ChunkEntry::Patched(_));
        let patches = kinds.iter().filter(patched).count();
        (kinds.len() - patches, patches)
    }
}

fn entries(archive: &Archive, root: &Root) -> Vec<ChunkEntry> {
    let nodes = archive.nodes();
    let mut source: &nacre::archive::Nodes = &nodes;
    let mut walk = Walk::new(TreeKind::Chunks, root, 0..u64::MAX);
    let mut found = Vec::new();
    while let Some(batch) = walk.next(&mut source).unwrap() {
        found.extend(
            batch
                .entries::<ChunkEntry>()
                .map(|(_, entry)| entry.clone()),
        );
    }
    found
}

fn options() -> SendOptions {
    SendOptions {
        threads: 2,
        checkpoint_bytes: 4 * CHUNK as u64,
        ..SendOptions::default()
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Random::new(seed, "noise").fill(&mut bytes);
    bytes
}

fn said_why(monitor: &RecordingMonitor) -> Vec<String> {
    let mut texts = monitor.messages(Level::Note);
    texts.retain(|text| text.contains("comparing everything"));
    texts
}

#[test]
fn only_what_changed_is_looked_at_and_little_is_stored() {
    let desk = Desk::with_volume(64);
    let (_, monitor) = desk.send();
    assert_eq!(
        said_why(&monitor),
        [""; 0],
        "the first time everything is new"
    );
    desk.pool.write("v", 5 * CHUNK + 100, &noise(2, 200));
    desk.pool.write("v", 9 * CHUNK, &noise(3, CHUNK));
    let (report, monitor) = desk.send();
    assert_eq!(said_why(&monitor), [""; 0]);
    let counts = report.volumes[0].counts;
    assert_eq!(counts.scanned, 2 * CHUNK as u64);
    assert_eq!(counts.changed, 2 * CHUNK as u64);
    let sent = usize::try_from(counts.sent).unwrap();
    assert!(sent > CHUNK + BLOCK && sent < CHUNK + BLOCK + 200, "{sent}");
    assert_eq!(desk.kinds(), (63, 1));
    assert!(desk.newest() == desk.pool.content("v"));
}

#[test]
fn a_patch_stands_on_a_whole_chunk_and_takes_older_changes_along() {
    let desk = Desk::with_volume(8);
    desk.send();
    for round in 0..6 {
        desk.pool.write(
            "v",
            3 * CHUNK + 2 * round * BLOCK,
            &noise(10 + round as u64, 10),
        );
        let (report, _) = desk.send();
        let sent = usize::try_from(report.volumes[0].counts.sent).unwrap();
        assert!(sent < (round + 1) * BLOCK + 100, "round {round}: {sent}");
        assert_eq!(desk.kinds(), (7, 1));
    }
    // More than half of the blocks would be in it: it is stored whole.
    desk.pool
        .write("v", 3 * CHUNK + 5 * BLOCK, &noise(20, 3 * BLOCK));
    desk.send();
    assert_eq!(desk.kinds(), (8, 0));
    let read = desk.archive.sessions_of("v");
    assert_eq!(read.len(), 8);
    assert!(read[7].2 == desk.pool.content("v"));
}

#[test]
fn a_rotten_snapshot_makes_no_patch() {
    let desk = Desk::with_volume(8);
    desk.send();
    // What changed is rotten in one chunk; in the other the rot lies where nothing changed and the old content is known without it.
    desk.pool.spoil_snapshot("v", 2 * CHUNK + 50);
    desk.pool.spoil_snapshot("v", 4 * CHUNK + 9 * BLOCK);
    desk.pool.write("v", 2 * CHUNK, &[1; 10]);
    desk.pool.write("v", 4 * CHUNK, &[1; 10]);
    desk.send();
    assert_eq!(
        desk.kinds(),
        (7, 1),
        "only over what is as the archive has it"
    );
    assert!(desk.newest() == desk.pool.content("v"));
}

#[test]
fn a_lost_snapshot_is_told_once_and_costs_a_comparison() {
    let desk = Desk::with_volume(16);
    desk.send();
    desk.pool.write("v", 0, &[7; 10]);
    desk.pool.lose_snapshot("v");
    let (report, monitor) = desk.send();
    assert_eq!(said_why(&monitor).len(), 1);
    assert_eq!(report.volumes[0].counts.scanned, 16 * CHUNK as u64);
    assert_eq!(report.volumes[0].counts.changed, CHUNK as u64);
    assert!(desk.newest() == desk.pool.content("v"));

    // Also where nothing had changed, the next run has a snapshot to begin with.
    desk.pool.lose_snapshot("v");
    let (report, _) = desk.send();
    assert!(matches!(
        report.volumes[0].outcome,
        VolumeOutcome::Unchanged
    ));
    assert!(report.session.is_none() && desk.pool.keeps("v"));
    let (report, monitor) = desk.send();
    assert_eq!(said_why(&monitor), [""; 0]);
    assert_eq!(report.volumes[0].counts.scanned, 0);
    assert_eq!(desk.archive.sessions_of("v").len(), 2);
}

#[test]
fn everything_is_compared_when_the_user_wants_that() {
    let desk = Desk::with_volume(16);
    desk.send();
    let all = SendOptions {
        compare_all: true,
        ..options()
    };
    let (report, _) = desk.send_with(&all);
    assert_eq!(report.volumes[0].counts.scanned, 16 * CHUNK as u64);
}

#[test]
fn an_estimate_reads_nothing_and_changes_nothing() {
    let desk = Desk::with_volume(16);
    desk.send();
    let dry = SendOptions {
        dry_run: true,
        ..options()
    };
    let (report, _) = desk.send_with(&dry);
    assert!(matches!(
        report.volumes[0].outcome,
        VolumeOutcome::Unchanged
    ));
    desk.pool.write("v", 3 * BLOCK + 5, &[1; BLOCK]);
    let (report, _) = desk.send_with(&dry);
    assert!(matches!(report.volumes[0].outcome, VolumeOutcome::Stored));
    assert_eq!(report.volumes[0].counts.changed, 2 * BLOCK as u64);
    assert!(report.session.is_none());
    assert_eq!(desk.archive.sessions_of("v").len(), 1);
    let (report, _) = desk.send();
    assert_eq!(
        report.volumes[0].counts.scanned, CHUNK as u64,
        "the older snapshot is still kept"
    );
}

#[test]
fn after_an_interrupted_run_only_changes_and_what_it_left_are_looked_at() {
    let desk = Desk::with_volume(200);
    desk.send();
    for chunk in [0, 20, 40, 60, 80, 100, 120, 140] {
        desk.pool
            .write("v", chunk * CHUNK, &noise(chunk as u64, CHUNK));
    }
    let before = desk.pool.content("v")[20 * CHUNK..21 * CHUNK].to_vec();
    desk.interrupted(100 * CHUNK);
    let read = desk.archive.sessions_of("v");
    assert!(!read[1].1 && read[1].2[20 * CHUNK..21 * CHUNK] == before);

    // One that the interrupted run stored is discarded, another gets new content.
    desk.pool.write("v", 20 * CHUNK, &vec![0; CHUNK]);
    desk.pool.write("v", 190 * CHUNK, &vec![9; CHUNK]);
    let (report, monitor) = desk.send();
    assert_eq!(said_why(&monitor), [""; 0]);
    assert_eq!(report.volumes[0].counts.scanned, 9 * CHUNK as u64);
    assert!(desk.newest() == desk.pool.content("v"));
    assert_eq!(desk.archive.sessions_of("v").len(), 2);
}

/// What an interrupted run stored may be as it was before when the next one looks, and the storage then knows of no change.
#[test]
fn content_of_an_interrupted_run_does_not_outlive_it() {
    let desk = Desk::with_volume(64);
    desk.send();
    let old = desk.pool.content("v");
    desk.pool.write("v", 0, &noise(5, 2 * CHUNK));
    desk.pool.write("v", 63 * CHUNK, &noise(6, CHUNK));
    desk.interrupted(63 * CHUNK);
    desk.pool.revert("v");
    let (_, monitor) = desk.send();
    assert_eq!(said_why(&monitor), [""; 0]);
    assert!(desk.newest() == old);
}

/// An index pack has an end: each leaf with a change in it is written whole, all leaves of a commit into one pack.
#[test]
fn changes_in_many_leaves_are_committed_in_parts() {
    let desk = Desk::with_volume(6 * 64);
    desk.send();
    let before = desk.archive.open().head().epoch.0;
    // As much in each as is handed over at once.
    for chunk in (5..6 * 64).step_by(64) {
        desk.pool
            .write("v", chunk * CHUNK, &noise(chunk as u64, 16 * CHUNK));
    }
    desk.send_with(&SendOptions {
        checkpoint_leaves: 2,
        checkpoint_bytes: u64::MAX,
        threads: 1,
        ..SendOptions::default()
    });
    let commits = desk.archive.open().head().epoch.0 - before;
    assert!(commits > 1, "{commits} commits");
    assert!(desk.newest() == desk.pool.content("v"));
}

/// Scattered chunks are read and handed over together: an error in one of them is no word on those that were read before it, and what was not
/// read is not taken for looked at.
#[test]
fn a_bad_block_among_scattered_changes_costs_only_what_lies_behind_it() {
    let desk = Desk::with_volume(100);
    desk.send();
    for chunk in (0..100).step_by(7) {
        desk.pool
            .write("v", chunk * CHUNK, &noise(chunk as u64, CHUNK));
    }
    let outcome = desk.broken(35 * CHUNK + 5);
    assert!(matches!(outcome, VolumeOutcome::Failed(_)), "{outcome:?}");
    let (report, monitor) = desk.send();
    assert_eq!(said_why(&monitor), [""; 0]);
    assert!(desk.newest() == desk.pool.content("v"));
    let stored_before = 5 * CHUNK as u64;
    assert_eq!(report.volumes[0].counts.changed, 10 * CHUNK as u64);
    assert_eq!(
        report.volumes[0].counts.scanned,
        10 * CHUNK as u64 + stored_before
    );
}

struct Model {
    desk: Desk,
    random: Random,
    finished: BTreeMap<SessionSeq, Vec<u8>>,
}

impl Model {
    fn change(&mut self) {
        let random = &mut self.random;
        let size = self.desk.pool.content("v").len();
        let at = random.index(size + 1);
        let length = random.pick(&[1, 100, BLOCK, 5 * BLOCK, CHUNK, 3 * CHUNK]);
        let seed = random.bits();
        match random.below(8) {
            0 => {
                let size = random.index(40 * CHUNK);
                self.desk.pool.resize("v", size);
            }
            1 => self.desk.pool.write("v", at, &vec![0; length]),
            2 => self
                .desk
                .pool
                .write("v", at / CHUNK * CHUNK, &vec![0; 2 * CHUNK]),
            3 => {
                // Back to what some session had.
                let sessions: Vec<&Vec<u8>> = self.finished.values().collect();
                if let Some(old) = sessions.get(self.random.index(sessions.len())) {
                    let part = old.get(at..(at + length).min(old.len()));
                    self.desk.pool.write("v", at, part.unwrap_or_default());
                }
            }
            _ => self.desk.pool.write("v", at, &noise(seed, length)),
        }
    }

    fn disturb(&mut self) {
        let size = self.desk.pool.content("v").len();
        match self.random.below(14) {
            0 => self.desk.pool.lose_snapshot("v"),
            1 => self
                .desk
                .pool
                .spoil_snapshot("v", self.random.index(size.max(1))),
            2..5 => {
                let harvest = self.desk.pool.monitor("v");
                let began = matches!(harvest, Harvest::Began(_));
                assert!(!began || self.finished.is_empty() || self.desk.pool.keeps("v"));
            }
            5..8 if size > 0 => {
                let stop = Arc::new(AtomicBool::new(false));
                let at = self.random.index(size);
                let taken = self.desk.pool.take("v").stops(at, &stop);
                self.desk
                    .archive
                    .send(vec![Box::new(taken)], &options(), &stop);
                recount(&self.desk.archive.open());
            }
            8..10 if size > 0 => {
                let at = self.random.index(size);
                self.desk.broken(at);
                recount(&self.desk.archive.open());
            }
            _ => {}
        }
    }

    fn send(&mut self) {
        let (report, _) = self.desk.send();
        recount(&self.desk.archive.open());
        let now = self.desk.pool.content("v");
        let read = self.desk.archive.sessions_of("v");
        if let Some((seq, _)) = report.session {
            self.finished.insert(seq, now.clone());
        }
        assert!(read.last().is_none_or(|(_, _, content)| *content == now));
        let finished = read.iter().filter(|(_, finished, _)| *finished);
        for (seq, _, content) in finished {
            // A run that was to be stopped may have come to its end unstopped.
            let kept = self.finished.entry(*seq).or_insert_with(|| content.clone());
            assert!(kept == content, "session {seq}");
        }
    }
}

#[test]
fn every_session_reads_back_whatever_happens_between() {
    let rounds: u64 = std::env::var("NACRE_ROUNDS").map_or(1, |n| n.parse().unwrap());
    for seed in 0..6 * rounds {
        let mut random = Random::new(seed, "rounds");
        let block = random.pick(&[BLOCK, 16 << 10, CHUNK, 256 << 10]);
        let desk = Desk::new(block);
        desk.pool.resize("v", 25 * CHUNK + 1234);
        desk.pool.write("v", 0, &noise(seed, 12 * CHUNK));
        let mut model = Model {
            desk,
            random,
            finished: BTreeMap::new(),
        };
        println!("seed {seed}");
        for _ in 0..14 {
            for _ in 0..model.random.below(5) {
                model.change();
            }
            model.disturb();
            for _ in 0..model.random.below(3) {
                model.change();
            }
            model.send();
        }
    }
}
