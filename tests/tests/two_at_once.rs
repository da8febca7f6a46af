//! Two commands of one machine at the same time, of which one only looks and takes no lock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nacre::archive::{Error, Memory};
use nacre::backup::SendOptions;
use nacre::joints::{Changes, FrozenVolume, SourceError, StateDir};
use nacre_core::ids::Epoch;
use nacre_core::object_name::ObjectName;
use nacre_tests::{Call, MemoryArchive, MemoryState, RecordingStore};

struct Volume(u8);

impl FrozenVolume for Volume {
    fn name(&self) -> &'static str {
        "v"
    }

    fn size(&self) -> u64 {
        300_000
    }

    fn identity(&self) -> Vec<u8> {
        Vec::new()
    }

    fn changes_since(&self, _identity: &[u8]) -> Result<Changes, SourceError> {
        Ok(Changes::Everything("a test".to_owned()))
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        buffer.fill(self.0);
        Ok(())
    }
}

fn send(machine: &MemoryArchive, content: u8) {
    let volume = vec![Box::new(Volume(content)) as Box<dyn FrozenVolume>];
    let (report, _) = machine.send(volume, &SendOptions::default(), &AtomicBool::default());
    assert!(report.session.is_some());
}

fn epoch_remembered(state: &Arc<dyn StateDir>) -> Epoch {
    let anchor = Memory::new(Arc::clone(state)).anchor().unwrap();
    anchor.unwrap().epoch
}

/// The one that looks has found what another machine did, and is slow; meanwhile this machine sends a session and says that it is safe. An older state must
/// be noticed from then on.
#[test]
fn who_only_looks_does_not_take_back_what_this_machine_has_seen_since() {
    let other = MemoryArchive::new(16);
    send(&other, 1);
    let state: Arc<dyn StateDir> = Arc::new(MemoryState::new());
    let this = Arc::new(other.seen_from(other.store.inner().clone(), Arc::clone(&state)));
    drop(this.open());
    send(&other, 2);
    let older = other.store.inner().fork();
    let was_sent = AtomicBool::new(false);
    let sender = Arc::clone(&this);
    // Behind the head that it has found it reads packs, over a slow link.
    let slow = RecordingStore::then(this.store.inner().clone(), move |call| {
        let is_pack = matches!(
            call,
            Call::Get {
                name: ObjectName::Pack(_),
                ..
            }
        );
        if is_pack && !was_sent.swap(true, Ordering::Relaxed) {
            send(&sender, 3);
        }
    });
    let sent = epoch_remembered(&other.state);
    let looking = this.open_on(Arc::new(slow), &state).unwrap();
    assert!(
        epoch_remembered(&state) > sent,
        "{:?}",
        epoch_remembered(&state)
    );
    // It has looked again.
    assert!(looking.is_newest().unwrap());
    let refused = this.open_on(Arc::new(older), &state);
    assert!(matches!(refused, Err(Error::Stale { .. })));
}

/// The other way round: a writer is about to remember its own head when somebody who looks has found a newer one of another machine.
#[test]
fn a_writer_does_not_take_back_what_somebody_who_looked_has_seen_since() {
    let this = Arc::new(MemoryArchive::new(16));
    send(&this, 1);
    let machine: Arc<dyn StateDir> = Arc::new(MemoryState::new());
    let other = this.seen_from(this.store.inner().clone(), machine);
    drop(other.open());
    let looks = Mutex::new(Some((other, Arc::clone(&this))));
    let slow = RecordingStore::then(this.store.inner().clone(), move |call| {
        let is_over = matches!(call, Call::Barrier);
        // The barrier behind a head, of which there is one once the other one's number is taken.
        if is_over
            && let Some((other, this)) = looks
                .lock()
                .unwrap()
                .take_if(|(other, _)| other.open().head().epoch > Epoch(2))
        {
            send(&other, 4);
            drop(this.open());
        }
    });
    let mut archive = this.open_on(Arc::new(slow), &this.state).unwrap();
    archive.enter_volume("w").unwrap();
    archive.begin_small_commit().finish(&this.clock).unwrap();
    let remembered = epoch_remembered(&this.state);
    assert!(remembered > archive.head().epoch, "{remembered:?}");
    assert_eq!(remembered, this.open().head().epoch);
}
