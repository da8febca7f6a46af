//! What a check or a repair makes of what was cut short: the check itself, or a send before the repair.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nacre::archive::Error;
use nacre::backup::SendOptions;
use nacre::joints::FrozenVolume;
use nacre::maintain::{CheckOptions, CheckWatch, Slice, check, repair};
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_tests::lab_image::Random;
use nacre_tests::{Call, MemoryArchive, MemoryPool, RecordingMonitor, RecordingStore};

const CHUNK: usize = 64 << 10;

struct Desk {
    archive: MemoryArchive,
    pool: MemoryPool,
}

impl Desk {
    /// With a volume `v` that is full of what does not compress, sent once.
    fn with_volume(chunks: usize) -> Self {
        let desk = Self {
            archive: MemoryArchive::new(16),
            pool: MemoryPool::new(4096),
        };
        desk.pool.resize("v", chunks * CHUNK);
        desk.write(0, chunks);
        desk.send(None);
        desk
    }

    fn write(&self, chunk: usize, chunks: usize) {
        let mut bytes = vec![0; chunks * CHUNK];
        Random::new(chunk as u64, "cut short").fill(&mut bytes);
        self.pool.write("v", chunk * CHUNK, &bytes);
    }

    /// Stopped at a chunk, if one is given.
    fn send(&self, until: Option<usize>) {
        let stop = Arc::new(AtomicBool::new(false));
        let volume = self.pool.take("v");
        let volume: Box<dyn FrozenVolume> = match until {
            Some(chunk) => Box::new(volume.stops(chunk * CHUNK, &stop)),
            None => Box::new(volume),
        };
        let options = SendOptions {
            threads: 1,
            checkpoint_bytes: 4 * CHUNK as u64,
            ..SendOptions::default()
        };
        let (report, _) = self.archive.send(vec![volume], &options, &stop);
        assert_eq!(report.interrupted, until.is_some());
    }

    /// One with data.
    fn biggest_pack(&self) -> (ObjectName, Vec<u8>) {
        let objects = self.archive.store.inner().objects().into_iter();
        let packs = objects.filter(|(name, _)| name.class() == ObjectClass::Pack);
        packs.max_by_key(|(_, bytes)| bytes.len()).unwrap()
    }

    fn watch<'a>(&'a self, monitor: &'a RecordingMonitor, stop: &'a AtomicBool) -> CheckWatch<'a> {
        CheckWatch {
            monitor,
            clock: &self.archive.clock,
            stop,
        }
    }
}

fn of_everything() -> CheckOptions {
    CheckOptions {
        data: Some(Slice::All),
        threads: 1,
        ..CheckOptions::default()
    }
}

/// What was lost is equal in the unfinished session and in the finished one before it, and did not change in the volume: the next send looked
/// at neither, said that it was done, and kept it lost for ever.
#[test]
fn after_a_repair_beside_an_unfinished_session_the_next_send_stores_what_was_lost() {
    let desk = Desk::with_volume(40);
    let (pack, mut bytes) = desk.biggest_pack();
    desk.write(20, 20);
    desk.send(Some(35));
    bytes[2 * CHUNK + 1000] ^= 1;
    desk.archive.store.inner().tamper(pack, bytes);

    let (monitor, stop) = (RecordingMonitor::new(), AtomicBool::new(false));
    let mut archive = desk.archive.open();
    let none = |_: &str| Vec::new();
    let report = repair(
        &mut archive,
        &of_everything(),
        &none,
        false,
        desk.watch(&monitor, &stop),
    );
    report.unwrap();
    drop(archive);

    desk.send(None);
    let newest = desk.archive.open().head().volume("v").unwrap().newest;
    let read = desk.archive.sessions_where("v", |seq| Some(seq) == newest);
    assert!(read[0].1 && read[0].2 == desk.pool.content("v"));
}

/// Once the last chunks were handed to the threads, a check that was stopped left out what they had not begun with, found no damage, and remembered
/// all of it as read.
#[test]
fn a_check_that_is_stopped_does_not_count_as_one_that_read_everything() {
    let desk = Desk::with_volume(256);
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let (pack, _) = desk.biggest_pack();
    let inner = desk.archive.store.inner().clone();
    let slow = RecordingStore::then(inner, move |call| {
        if matches!(call, Call::Get { name, ranges } if *name == pack && ranges.iter().any(|range| range.length as usize > CHUNK / 2))
        {
            // Until everything was handed out.
            std::thread::sleep(Duration::from_millis(500));
            stopping.store(true, Ordering::Relaxed);
        }
    });
    let archive = desk
        .archive
        .open_on(Arc::new(slow), &desk.archive.state)
        .unwrap();
    let options = CheckOptions {
        volumes: Some([archive.head().volume("v").unwrap().id].into()),
        ..of_everything()
    };
    let monitor = RecordingMonitor::new();
    let ended = check(&archive, &options, desk.watch(&monitor, &stop));
    assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?}");
}
