//! Another writer gives away what this one has found (DESIGN 4.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nacre::backup::{Surroundings, send};
use nacre::joints::{Changes, FrozenVolume, SourceError, VolumeRange};
use nacre_tests::RecordingMonitor;

use super::{CHUNK, Desk, options};

/// A volume that does something when its last chunk is read.
struct Meanwhile {
    inner: Box<dyn FrozenVolume>,
    act: Box<dyn Fn() + Send + Sync>,
}

impl FrozenVolume for Meanwhile {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn size(&self) -> u64 {
        self.inner.size()
    }
    fn identity(&self) -> Vec<u8> {
        self.inner.identity()
    }
    fn changes_since(&self, identity: &[u8]) -> Result<Changes, SourceError> {
        self.inner.changes_since(identity)
    }
    fn read_before(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, SourceError> {
        self.inner.read_before(offset, buffer)
    }
    fn next_data(&self, from: u64) -> Result<Option<VolumeRange>, SourceError> {
        self.inner.next_data(from)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        if offset + buffer.len() as u64 >= self.size() {
            (self.act)();
        }
        self.inner.read_at(offset, buffer)
    }
    fn snapshot(&self) -> String {
        self.inner.snapshot()
    }
    fn committed(&mut self) -> Result<(), SourceError> {
        self.inner.committed()
    }
}

#[test]
fn a_hit_on_what_another_writer_gave_away_meanwhile_is_noticed() {
    let desk = Arc::new(Desk::new());
    desk.fill("x-one", "abcd");
    desk.send(&["x-one"]);
    // Longer than a job, so that the first chunks are found before the other writer comes.
    desk.fill("x-two", &format!("abcd{}", "e".repeat(36)));
    let inner: Box<dyn FrozenVolume> = Box::new(desk.pool.take("x-two"));
    assert!(inner.size() > (1 << 20) + CHUNK as u64);
    let (once, other) = (AtomicBool::new(false), Arc::clone(&desk));
    let act = move || {
        if !once.swap(true, Ordering::SeqCst) {
            let deleted = other.open().delete_volume("x-one", &other.archive.clock);
            deleted.unwrap();
        }
    };
    let act = Box::new(act);
    let mut volumes: Vec<Box<dyn FrozenVolume>> = vec![Box::new(Meanwhile { inner, act })];
    let around = Surroundings {
        clock: &desk.archive.clock,
        monitor: &RecordingMonitor::new(),
        stop: &AtomicBool::new(false),
    };
    let error = send(&mut desk.open(), &mut volumes, &options(), &around).unwrap_err();
    assert!(error.to_string().contains("another writer"), "{error}");
    assert!(desk.archive.open().head().volume("x-two").is_none());
    // Said again, it is right: what the other one took away is stored.
    assert_eq!(desk.send(&["x-two"]).1, 5);
    desk.assert_newest("x-two");
}
