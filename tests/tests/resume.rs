//! What an interrupted or failed send leaves, and what the next one makes of it (DESIGN 4.4).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nacre::archive::{
    Archive, EntropySource, InitOptions, OpenOptions, Sessions, Wish, init, open,
};
use nacre::backup::{SendOptions, SendReport, Surroundings, VolumeOutcome, send};
use nacre::joints::{
    Changes, Entropy, FrozenVolume, Progress, RestoreGoal, SourceError, SourceErrorKind, StateDir,
    VolumeRange,
};
use nacre::restore::{Compare, RestoreOptions, Version, Watch, restore};
use nacre_core::hash::HashType;
use nacre_core::head::Compression;
use nacre_core::header::Credential;
use nacre_core::node::ChunkFormat;
use nacre_tests::lab_image::Random;
use nacre_tests::{MemoryState, MemoryStore, RecordingMonitor, RecordingStore, SimulatedClock};

const CHUNK: usize = 128 << 10;
/// One job of the pipeline.
const JOB: usize = 8 * CHUNK;

struct Seeded(Random);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// An archive in memory, and what a machine needs to use it.
struct Bench {
    store: RecordingStore<MemoryStore>,
    state: Arc<dyn StateDir>,
    clock: SimulatedClock,
    seed: Arc<Mutex<u64>>,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            store: RecordingStore::new(MemoryStore::new()),
            state: Arc::new(MemoryState::new()),
            clock: SimulatedClock::at(1_800_000_000),
            seed: Arc::default(),
        };
        let options = InitOptions {
            hash: HashType::Blake3,
            format: ChunkFormat::new(17).unwrap(),
            compression: Compression::None,
            encrypted: false,
            slots: Vec::new(),
            memory: &|_| Ok(Arc::clone(&bench.state)),
            entropy: bench.entropy(),
        };
        init(Arc::new(bench.store.clone()), options, &bench.clock).unwrap();
        bench
    }

    /// Every thread gets randomness that no other has had.
    fn entropy(&self) -> EntropySource {
        let seed = Arc::clone(&self.seed);
        Arc::new(move || {
            let mut seed = seed.lock().unwrap();
            *seed += 1;
            Box::new(Seeded(Random::new(*seed, "entropy")))
        })
    }

    fn open(&self) -> Archive {
        let options = OpenOptions {
            pin: None,
            unlock: &mut |candidates| Ok(candidates.unlock(&Credential::Published).unwrap()),
            memory: &|_| Ok(Arc::clone(&self.state)),
            allow_rollback: false,
            entropy: self.entropy(),
        };
        open(Arc::new(self.store.clone()), options).unwrap()
    }

    /// Sends volumes; the archive is opened anew, as a new process would do. Checkpoints after every `checkpoint` stored bytes.
    fn send(&self, volumes: Vec<Made>, checkpoint: usize) -> SendReport {
        self.clock.advance(60);
        let stop = Arc::new(AtomicBool::new(false));
        let mut volumes: Vec<Box<dyn FrozenVolume>> = volumes
            .into_iter()
            .map(|mut volume| {
                volume.stop = Arc::clone(&stop);
                Box::new(volume) as Box<dyn FrozenVolume>
            })
            .collect();
        let options = SendOptions {
            threads: 2,
            checkpoint_bytes: checkpoint as u64,
            checkpoint_time: Duration::from_secs(3600),
            ..SendOptions::default()
        };
        let monitor = RecordingMonitor::new();
        let around = Surroundings {
            clock: &self.clock,
            monitor: &monitor,
            stop: &stop,
        };
        let report = send(&mut self.open(), &mut volumes, &options, &around).unwrap();
        assert_eq!(monitor.running(), 0, "every task that began has ended");
        report
    }

    /// Restores a volume from its newest session, finished or not, and says whether it was finished.
    fn newest(&self, volume: &str) -> (Vec<u8>, bool) {
        let archive = self.open();
        let sessions = archive.sessions().unwrap();
        let entry = archive.head().volume(volume).unwrap();
        let (_, session, at) = sessions.of_volume(entry.id).next_back().unwrap();
        assert_eq!((at.size, at.root), (entry.size, entry.root));
        let goal = MemoryGoal(Mutex::new(vec![0; usize::try_from(at.size).unwrap()]));
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
        let ids = archive.volume_ids(entry);
        let report = restore(&archive.nodes(), &ids, version, &goal, options, watch).unwrap();
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        (goal.0.into_inner().unwrap(), !session.unfinished)
    }

    fn sessions(&self) -> Sessions {
        self.open().sessions().unwrap()
    }

    /// Of each session, oldest first: how many volumes it has, and whether it is finished.
    fn shape(&self) -> Vec<(usize, bool)> {
        let sessions = self.sessions();
        let shape = sessions
            .iter()
            .map(|(_, s)| (s.volumes.len(), !s.unfinished));
        shape.collect()
    }
}

/// What happens at some byte while a volume is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mishap {
    None,
    /// The medium has a bad sector there.
    Unreadable(usize),
    /// It has become so small.
    Shrank(usize),
    /// The user presses Ctrl-C.
    Stop(usize),
}

/// A volume in memory that something happens to.
struct Made {
    name: &'static str,
    content: Vec<u8>,
    mishap: Mishap,
    stop: Arc<AtomicBool>,
}

impl Made {
    fn new(name: &'static str, content: &[u8], mishap: Mishap) -> Self {
        Self {
            name,
            content: content.to_vec(),
            mishap,
            stop: Arc::default(),
        }
    }
}

impl FrozenVolume for Made {
    fn name(&self) -> &str {
        self.name
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn identity(&self) -> Vec<u8> {
        b"snapshot".to_vec()
    }

    fn changes_since(&self, _identity: &[u8]) -> Result<Changes, SourceError> {
        Ok(Changes::Everything("a test".to_owned()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let start = usize::try_from(offset).unwrap();
        let end = (start + buffer.len()).min(self.content.len());
        let failed = |kind, at| Err(SourceError::new(kind, self.name, format!("at byte {at}")));
        match self.mishap {
            Mishap::Unreadable(at) if (start..end).contains(&at) => {
                return failed(SourceErrorKind::Unreadable, at);
            }
            Mishap::Shrank(at) if end > at => return failed(SourceErrorKind::Shrank, at),
            Mishap::Stop(at) if end > at => self.stop.store(true, Ordering::Relaxed),
            _ => {}
        }
        buffer.fill(0);
        buffer[..end - start].copy_from_slice(&self.content[start..end]);
        Ok(())
    }
}

struct MemoryGoal(Mutex<Vec<u8>>);

impl RestoreGoal for MemoryGoal {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let start = usize::try_from(offset).unwrap();
        self.0.lock().unwrap()[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        let (start, end) = (
            range.start.try_into().unwrap(),
            range.end.try_into().unwrap(),
        );
        self.0.lock().unwrap()[start..end].fill(0);
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

/// Content that does not compress and in which no chunk is zero.
fn content(seed: u64, chunks: usize) -> Vec<u8> {
    let mut bytes = vec![0; chunks * CHUNK + 77];
    Random::new(seed, "content").fill(&mut bytes);
    bytes
}

/// How many bytes at the front are as in `whole`; behind them there is nothing but zeros.
fn front(part: &[u8], whole: &[u8]) -> usize {
    assert_eq!(part.len(), whole.len());
    let same = part.iter().zip(whole).take_while(|(a, b)| a == b).count();
    assert!(part[same..].iter().all(|byte| *byte == 0));
    same
}

#[test]
fn an_interrupted_send_can_be_restored_as_far_as_it_goes_and_is_not_sent_again() {
    let bench = Bench::new();
    let whole = content(1, 64);
    let report = bench.send(vec![Made::new("v", &whole, Mishap::Stop(4 * JOB))], JOB);
    assert!(report.interrupted);
    let (_, name) = report.session.expect("an unfinished session");
    let sessions = bench.sessions();
    let listed: Vec<_> = sessions
        .iter()
        .map(|(_, s)| (s.name.to_string(), s.unfinished))
        .collect();
    assert_eq!(listed, [(name, true)]);
    let (part, finished) = bench.newest("v");
    assert!(!finished);
    let kept = front(&part, &whole);
    assert!((4 * JOB..6 * JOB).contains(&kept), "{kept}");

    bench.store.reset();
    let report = bench.send(vec![Made::new("v", &whole, Mishap::None)], JOB);
    let sent = usize::try_from(bench.store.record().sent).unwrap();
    let missing = whole.len() - kept;
    assert!(
        sent < missing + 2 * CHUNK + missing / 4,
        "{sent} sent, {missing} were missing"
    );
    assert!(!report.interrupted);
    assert_eq!(
        bench.shape(),
        [(1, true)],
        "the finished session replaces the unfinished one"
    );
    assert!(bench.newest("v") == (whole, true));
}

#[test]
fn a_send_that_is_interrupted_again_and_again_gets_there() {
    let bench = Bench::new();
    let whole = content(2, 48);
    for at in [1, 2, 4, 5] {
        bench.send(vec![Made::new("v", &whole, Mishap::Stop(at * JOB))], CHUNK);
        assert_eq!(
            bench.shape(),
            [(1, false)],
            "one unfinished session, not one for each try"
        );
        assert!(front(&bench.newest("v").0, &whole) >= at * JOB);
    }
    bench.send(vec![Made::new("v", &whole, Mishap::None)], CHUNK);
    assert_eq!(bench.shape(), [(1, true)]);
    assert!(bench.newest("v") == (whole, true));
}

#[test]
fn of_an_interrupted_run_only_what_is_finished_later_is_replaced() {
    let bench = Bench::new();
    let (a, b) = (content(3, 16), content(4, 32));
    let volumes = vec![
        Made::new("a", &a, Mishap::None),
        Made::new("b", &b, Mishap::Stop(2 * JOB)),
    ];
    assert!(bench.send(volumes, JOB).interrupted);
    assert_eq!(bench.shape(), [(2, false)]);
    bench.send(vec![Made::new("a", &a, Mishap::None)], JOB);
    assert_eq!(
        bench.shape(),
        [(1, false), (1, true)],
        "`b` is still unfinished"
    );
    assert!(front(&bench.newest("b").0, &b) >= 2 * JOB);
    bench.send(vec![Made::new("b", &b, Mishap::None)], JOB);
    assert_eq!(bench.shape(), [(1, true), (1, true)]);
    assert!(bench.newest("a") == (a, true) && bench.newest("b") == (b, true));
}

#[test]
fn an_interrupted_change_leaves_the_finished_session_alone() {
    let bench = Bench::new();
    let (old, new) = (content(5, 32), content(6, 32));
    bench.send(vec![Made::new("v", &old, Mishap::None)], JOB);
    bench.send(vec![Made::new("v", &new, Mishap::Stop(JOB))], JOB);
    assert_eq!(bench.shape(), [(1, true), (1, false)]);
    let archive = bench.open();
    let sessions = archive.sessions().unwrap();
    let volume = archive.head().volume("v").unwrap();
    let chosen = sessions.choose(volume.id, &Wish::Newest, false).unwrap();
    assert!(
        !chosen.0.unfinished,
        "the newest finished one is what a restore gets unasked"
    );
    // New content as far as it got, the old one behind it.
    let (mixed, _) = bench.newest("v");
    let same = mixed.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let border = same.next_multiple_of(CHUNK).min(new.len());
    assert!(border >= JOB && mixed[border..] == old[border..]);
    assert!(
        volume.snapshot().is_empty(),
        "no snapshot stands for a mixture"
    );
}

#[test]
fn volumes_beside_one_that_cannot_be_read_are_finished() {
    for mishap in [Mishap::Unreadable(3 * JOB + 5), Mishap::Shrank(3 * JOB + 5)] {
        let bench = Bench::new();
        let (a, bad, c) = (content(7, 16), content(8, 40), content(9, 16));
        let volumes = vec![
            Made::new("a", &a, Mishap::None),
            Made::new("bad", &bad, mishap),
            Made::new("c", &c, Mishap::None),
        ];
        let report = bench.send(volumes, JOB);
        assert!(report.any_failed() && !report.all_failed() && !report.interrupted);
        let VolumeOutcome::Failed(error) = &report.volumes[1].outcome else {
            panic!("{:?}", report.volumes[1]);
        };
        let text = error.to_string();
        assert!(
            text.contains("bad") && text.contains(&(3 * JOB + 5).to_string()),
            "{text}"
        );
        assert_eq!(bench.shape(), [(2, true), (1, false)]);
        assert!(bench.newest("a") == (a, true) && bench.newest("c") == (c, true));
        let (part, finished) = bench.newest("bad");
        assert!(!finished);
        assert_eq!(front(&part, &bad), 3 * JOB);

        bench.send(vec![Made::new("bad", &bad, Mishap::None)], JOB);
        assert_eq!(bench.shape(), [(2, true), (1, true)]);
        assert!(bench.newest("bad") == (bad, true));
    }
}

#[test]
fn a_volume_that_fails_alone_makes_no_finished_session() {
    let bench = Bench::new();
    let whole = content(10, 24);
    let report = bench.send(
        vec![Made::new("v", &whole, Mishap::Unreadable(JOB))],
        1 << 40,
    );
    assert!(report.all_failed());
    assert_eq!(bench.shape(), [(1, false)]);
    assert_eq!(front(&bench.newest("v").0, &whole), JOB);

    // Nothing at all was read: nothing is made.
    let bench = Bench::new();
    let report = bench.send(vec![Made::new("v", &whole, Mishap::Unreadable(0))], 1 << 40);
    assert!(report.all_failed() && report.session.is_none());
    assert_eq!(bench.shape(), []);
}

#[test]
fn a_volume_without_changes_gets_no_unfinished_session() {
    let (same, grows) = (content(11, 40), content(12, 8));
    for mishap in [Mishap::Stop(2 * JOB), Mishap::Unreadable(2 * JOB)] {
        let bench = Bench::new();
        bench.send(vec![Made::new("same", &same, Mishap::None)], JOB);
        let newest = bench.open().head().volume("same").unwrap().newest;
        let mut volumes = vec![
            Made::new("same", &same, mishap),
            Made::new("grows", &grows, Mishap::None),
        ];
        if matches!(mishap, Mishap::Stop(_)) {
            volumes.reverse();
        }
        let report = bench.send(volumes, 1);
        assert_eq!(bench.open().head().volume("same").unwrap().newest, newest);
        assert_eq!(bench.shape(), [(1, true), (1, !report.interrupted)]);
        assert!(bench.newest("same") == (same.clone(), true));
    }
}
