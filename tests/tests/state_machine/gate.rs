//! The store as one command sees it: every head that it puts is noted, another writer can come between any two of its calls, and the answer to a
//! head can get lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};

use nacre::joints::{
    ByteRange, Capabilities, CopyPiece, PendingPut, PutOutcome, PutStream, Store, StoreError,
};
use nacre_core::ids::{Epoch, HeadHash};
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_tests::{FaultyStore, MemoryStore};

/// A head that was put.
pub struct Put {
    /// Number of the command.
    pub command: usize,
    pub epoch: Epoch,
    pub hash: HeadHash,
    /// The store as it was then.
    pub store: MemoryStore,
}

/// Heads in the order in which they were put.
pub type Tape = Arc<Mutex<Vec<Put>>>;

/// Where a command stops until it is let go.
pub struct Halt {
    /// Before which of its calls.
    pub before: u64,
    /// Told `true` there.
    pub reached: Sender<bool>,
    /// Ends when it may go on.
    pub go: Mutex<Receiver<()>>,
}

pub struct Gate {
    store: FaultyStore,
    command: usize,
    tape: Tape,
    halt: Option<Halt>,
    calls: AtomicU64,
    /// Whether the answer to the next head gets lost, and the head is sent again.
    loses_answer: AtomicBool,
}

impl Gate {
    pub fn new(store: &FaultyStore, command: usize, tape: &Tape, loses_answer: bool) -> Self {
        Self {
            store: store.clone(),
            command,
            tape: Arc::clone(tape),
            halt: None,
            calls: AtomicU64::new(0),
            loses_answer: AtomicBool::new(loses_answer),
        }
    }

    #[must_use]
    pub fn halting(self, halt: Halt) -> Self {
        Self {
            halt: Some(halt),
            ..self
        }
    }

    fn call(&self) -> &FaultyStore {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(halt) = self.halt.as_ref().filter(|halt| halt.before == number) {
            // Nobody waits any more once the test has failed.
            let _ = halt.reached.send(true);
            let _ = halt.go.lock().unwrap().recv();
        }
        &self.store
    }

    fn put(&self, name: ObjectName, bytes: &[u8]) -> Result<PutOutcome, StoreError> {
        let store = self.call();
        let ObjectName::Head(epoch) = name else {
            return store.put_whole(name, bytes);
        };
        let was_there = store.live().stat(name)?.is_some();
        let mut answer = store.put_whole(name, bytes);
        // Although the power may have failed before the answer.
        if !was_there && store.live().stat(name)?.is_some() {
            self.tape.lock().unwrap().push(Put {
                command: self.command,
                epoch,
                hash: HeadHash::of(bytes),
                store: store.live().fork(),
            });
            if answer.is_ok() && self.loses_answer.swap(false, Ordering::SeqCst) {
                answer = store.put_whole(name, bytes);
            }
        }
        answer
    }
}

struct GatePut<'a> {
    gate: &'a Gate,
    name: ObjectName,
    bytes: Vec<u8>,
}

impl PutStream for GatePut<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn PendingPut>, StoreError> {
        Ok(Box::new(Answer(self.gate.put(self.name, &self.bytes))))
    }
}

struct Answer(Result<PutOutcome, StoreError>);

impl PendingPut for Answer {
    fn wait(self: Box<Self>) -> Result<PutOutcome, StoreError> {
        self.0
    }
}

impl Store for Gate {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn put_new(&self, name: ObjectName) -> Result<Box<dyn PutStream + '_>, StoreError> {
        Ok(Box::new(GatePut {
            gate: self,
            name,
            bytes: Vec::new(),
        }))
    }

    fn get(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.call().get(name, ranges)
    }

    fn stat(&self, name: ObjectName) -> Result<Option<u64>, StoreError> {
        self.call().stat(name)
    }

    fn list(
        &self,
        class: ObjectClass,
        each: &mut dyn FnMut(ObjectName, u64),
    ) -> Result<(), StoreError> {
        self.call().list(class, each)
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.call().delete(names)
    }

    fn punch(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<(), StoreError> {
        self.call().punch(name, ranges)
    }

    fn copy(&self, name: ObjectName, pieces: &[CopyPiece]) -> Result<PutOutcome, StoreError> {
        self.call().copy(name, pieces)
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.call().barrier()
    }

    fn free_space(&self) -> Result<u64, StoreError> {
        self.call().free_space()
    }
}
