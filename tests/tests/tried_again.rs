//! A run of `send` whose connection breaks at any step and that is tried again with the same snapshots, as `--retry` does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nacre::archive::{Archive, Error};
use nacre::backup::{SendOptions, SendReport, Surroundings, Try, VolumeOutcome, send_again};
use nacre::joints::{Changes, FrozenVolume, SourceError, StoreErrorKind};
use nacre_tests::lab_image::Random;
use nacre_tests::{FaultyStore, MemoryArchive, MemoryStore, RecordingMonitor};

/// A chunk has 64 KiB.
const BITS: u8 = 16;
const CHUNK: usize = 1 << BITS;

/// A volume with a snapshot of its own, which is kept once the archive knows it.
struct Frozen {
    name: &'static str,
    content: Vec<u8>,
    kept: Arc<AtomicUsize>,
}

impl FrozenVolume for Frozen {
    fn name(&self) -> &str {
        self.name
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn identity(&self) -> Vec<u8> {
        format!("new snapshot of {}", self.name).into_bytes()
    }

    fn changes_since(&self, _identity: &[u8]) -> Result<Changes, SourceError> {
        Ok(Changes::Everything("a test".to_owned()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let rest = &self.content[usize::try_from(offset).unwrap()..];
        let some = rest.len().min(buffer.len());
        buffer.fill(0);
        buffer[..some].copy_from_slice(&rest[..some]);
        Ok(())
    }

    fn committed(&mut self) -> Result<(), SourceError> {
        self.kept.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// What is sent: a volume that changes, one that is new, and one that is as it was but gets a snapshot.
struct Sent {
    volumes: Vec<(&'static str, Vec<u8>)>,
    kept: Vec<Arc<AtomicUsize>>,
}

impl Sent {
    fn new() -> Self {
        let noise = |seed, chunks: usize| {
            let mut content = vec![0; chunks * CHUNK + 77];
            Random::new(seed, "tried again").fill(&mut content);
            content
        };
        let volumes = vec![
            ("changed", noise(1, 6)),
            ("new", noise(2, 3)),
            ("same", noise(3, 2)),
        ];
        let kept = volumes.iter().map(|_| Arc::default()).collect();
        Self { volumes, kept }
    }

    fn frozen(&self) -> Vec<Box<dyn FrozenVolume>> {
        let volumes = self.volumes.iter().zip(&self.kept);
        let frozen = volumes.map(|((name, content), kept)| {
            let (content, kept) = (content.clone(), Arc::clone(kept));
            Box::new(Frozen {
                name,
                content,
                kept,
            }) as Box<dyn FrozenVolume>
        });
        frozen.collect()
    }

    /// An archive that has an older state of that.
    fn archive() -> MemoryArchive {
        let made = MemoryArchive::new(BITS);
        let mut older = Self::new();
        older.volumes.retain(|(name, _)| *name != "new");
        older.volumes[0].1[..CHUNK].fill(7);
        let send = made.send(
            older.frozen(),
            &SendOptions::default(),
            &AtomicBool::default(),
        );
        assert!(send.0.session.is_some());
        // What a send from another place leaves: the archive names no snapshot.
        let mut archive = made.open();
        let same = archive.head().volume("same").unwrap().id;
        let mut commit = archive.begin_small_commit();
        commit.set_finished(same, None);
        commit.finish(&made.clock).unwrap();
        made
    }
}

/// What happens between the two tries.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Between {
    Nothing,
    /// Another machine changes the archive.
    Another,
}

/// How a step fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Before it was done.
    Undone,
    /// It was done, and the answer got lost.
    Unanswered,
}

struct Tries {
    report: SendReport,
    steps: u64,
    broke: bool,
}

/// Sends with a fault at a step, and again if that ended the first try.
fn tried(
    made: &MemoryArchive,
    sent: &Sent,
    store: &FaultyStore,
    between: Between,
) -> Result<Tries, Error> {
    let open = || -> Result<Archive, Error> {
        let archive = made.open_on(Arc::new(store.clone()), &made.state)?;
        archive.confirm()?;
        Ok(archive)
    };
    let options = SendOptions {
        threads: 1,
        checkpoint_bytes: 4 * CHUNK as u64,
        ..SendOptions::default()
    };
    let (monitor, stop) = (RecordingMonitor::new(), AtomicBool::default());
    let around = Surroundings {
        clock: &made.clock,
        monitor: &monitor,
        stop: &stop,
    };
    let mut volumes = sent.frozen();
    let mut last = Try::default();
    let mut send =
        |archive: &mut Archive| send_again(archive, &mut volumes, &options, &around, &mut last);
    let mut archive = made.open_on(Arc::new(store.clone()), &made.state)?;
    let first = send(&mut archive);
    let steps = store.steps();
    let Err(error) = first else {
        return Ok(Tries {
            report: first?,
            steps,
            broke: false,
        });
    };
    let Error::Store(lost) = &error else {
        panic!("{error}")
    };
    assert_eq!(lost.kind, StoreErrorKind::Died, "{error}");
    store.go_on();
    if between == Between::Another {
        let mut archive = open()?;
        archive.enter_volume("of another machine")?;
        archive.begin_small_commit().finish(&made.clock)?;
    }
    Ok(Tries {
        report: send(&mut open()?)?,
        steps,
        broke: true,
    })
}

/// What the second try says is what is there: the session by its name, and no snapshot is lost over it.
#[test]
fn a_send_that_breaks_at_any_step_tells_of_its_session_and_keeps_its_snapshots() {
    let mut cases = 0;
    for between in [Between::Nothing, Between::Another] {
        for fault in [Fault::Undone, Fault::Unanswered] {
            for step in 0.. {
                let sent = Sent::new();
                let made = Sent::archive();
                let store = FaultyStore::on(live(&made));
                let store = match fault {
                    Fault::Undone => store.fail_at(step, StoreErrorKind::Died),
                    Fault::Unanswered => store.crash_at(step),
                };
                made.clock.advance(60);
                let place = format!("{fault:?} at step {step}, {between:?} between");
                let tries = tried(&made, &sent, &store, between).unwrap_or_else(|error| {
                    panic!("{place}: {error}");
                });
                if tries.steps <= step {
                    assert!(!tries.broke, "{place}");
                    assert!(step > 10, "{place}: there are more steps to a send");
                    break;
                }
                cases += 1;
                judge(&made, &sent, &tries.report, &place);
            }
        }
    }
    println!("{cases} cases");
}

fn live(made: &MemoryArchive) -> MemoryStore {
    made.store.inner().clone()
}

fn judge(made: &MemoryArchive, sent: &Sent, report: &SendReport, place: &str) {
    let (seq, name) = report.session.as_ref().unwrap_or_else(|| {
        panic!("{place}: no session is told: {report:?}");
    });
    let archive = made.open();
    let sessions = archive.sessions().unwrap();
    let session = sessions.get(*seq).expect(place);
    assert_eq!(
        (&session.name.to_string(), session.unfinished),
        (name, false),
        "{place}"
    );
    for ((volume, content), kept) in sent.volumes.iter().zip(&sent.kept) {
        let of_volume = made.sessions_of(volume);
        let (newest, finished, back) = of_volume.last().unwrap();
        assert!(finished, "{place}: {volume}");
        assert_eq!(newest == seq, *volume != "same", "{place}: {volume}");
        assert!(back == content, "{place}: {volume} has other content");
        assert_eq!(
            kept.load(Ordering::Relaxed),
            1,
            "{place}: snapshot of {volume}"
        );
        let entry = archive.head().volume(volume).unwrap();
        let (_, _, identity) = sessions.snapshot_of(entry).expect(place);
        assert_eq!(
            identity,
            format!("new snapshot of {volume}").as_bytes(),
            "{place}"
        );
    }
    let outcome = |name: &str| {
        let mut volumes = report.volumes.iter();
        volumes
            .find(|volume| volume.name == name)
            .unwrap()
            .outcome
            .clone()
    };
    assert!(
        matches!(outcome("changed"), VolumeOutcome::Stored),
        "{place}"
    );
    assert!(matches!(outcome("new"), VolumeOutcome::Stored), "{place}");
    assert!(
        matches!(outcome("same"), VolumeOutcome::Unchanged),
        "{place}"
    );
}
