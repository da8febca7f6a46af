//! Every store keeps the same promises: in memory, faulty (with the power on), recorded, and the real helper through a pipe.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use nacre::joints::{Capabilities, Store};
use nacre_tests::conformance::Place;
use nacre_tests::{FaultyStore, MemoryStore, RecordingStore, conformance_suite, open_helper_with};

struct InMemory(MemoryStore);

fn capabilities(append_only: bool) -> Capabilities {
    Capabilities {
        punch: !append_only,
        append_only,
        ..Capabilities::default()
    }
}

impl Place for InMemory {
    fn open(&self, append_only: bool) -> Box<dyn Store> {
        Box::new(self.0.seen_with(capabilities(append_only)))
    }
}

struct Faulty(MemoryStore);

impl Place for Faulty {
    fn open(&self, append_only: bool) -> Box<dyn Store> {
        Box::new(FaultyStore::on(self.0.seen_with(capabilities(append_only))))
    }
}

struct Recorded(MemoryStore);

impl Place for Recorded {
    fn open(&self, append_only: bool) -> Box<dyn Store> {
        let store = self.0.seen_with(capabilities(append_only));
        Box::new(RecordingStore::new(store))
    }
}

struct Helper(tempfile::TempDir);

impl Helper {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Place for Helper {
    fn open(&self, append_only: bool) -> Box<dyn Store> {
        let base = self.0.path();
        let mut arguments = vec!["--base".as_ref(), base.as_os_str()];
        if append_only {
            arguments.push("--append-only".as_ref());
        }
        Box::new(open_helper_with(&arguments, &base.join("archive"), true).unwrap())
    }
}

conformance_suite!(memory, InMemory(MemoryStore::new()));
conformance_suite!(faulty, Faulty(MemoryStore::new()));
conformance_suite!(recorded, Recorded(MemoryStore::new()));
conformance_suite!(helper, Helper::new());
