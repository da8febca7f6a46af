//! A store that writes down what is asked of it, so that "opening makes at most N round trips" is a unit test.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nacre::joints::{
    ByteRange, Capabilities, CopyPiece, PendingPut, PutOutcome, PutStream, Store, StoreError,
};
use nacre_core::object_name::{ObjectClass, ObjectName};

/// One call of a verb.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The verbs of `Store`.
pub enum Call {
    Put {
        name: ObjectName,
        bytes: u64,
    },
    Get {
        name: ObjectName,
        ranges: Vec<ByteRange>,
    },
    Stat(ObjectName),
    List {
        class: ObjectClass,
        objects: u64,
    },
    Delete(Vec<ObjectName>),
    Punch {
        name: ObjectName,
        ranges: Vec<ByteRange>,
    },
    Copy {
        name: ObjectName,
        ranges: u64,
        inline: u64,
    },
    Barrier,
    FreeSpace,
}

/// What the way to the store costs, on a clock of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Every question and its answer.
    pub round_trip: Duration,
    /// Every mebibyte, either way.
    pub mebibyte: Duration,
}

/// Sums since the beginning or the last `reset`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The calls in the order in which they ended.
    pub calls: Vec<Call>,
    /// Times that the caller had to wait for an answer. A put is one, when it is waited for.
    pub round_trips: u64,
    /// Bytes of objects sent.
    pub sent: u64,
    /// Bytes of objects received.
    pub received: u64,
    /// Time spent on the way, as `Latency` has it, if nothing overlaps.
    pub elapsed: Duration,
}

/// Wraps a store and records. Clones share store and record.
#[derive(Clone)]
pub struct RecordingStore<S> {
    inner: Arc<S>,
    log: Arc<Log>,
}

struct Log {
    record: Mutex<Record>,
    latency: Latency,
    then: Option<Then>,
}

/// What happens behind each call.
type Then = Box<dyn Fn(&Call) + Send + Sync>;

impl Log {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: Call, sent: u64, received: u64) {
        if let Some(then) = &self.then {
            then(&call);
        }
        let mut record = self.lock();
        record.calls.push(call);
        record.sent += sent;
        record.received += received;
        let nanos = (self.latency.mebibyte.as_nanos() * u128::from(sent + received)) >> 20;
        record.elapsed += Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    }

    fn waited(&self) {
        let mut record = self.lock();
        record.round_trips += 1;
        record.elapsed += self.latency.round_trip;
    }
}

impl<S: Store> RecordingStore<S> {
    /// Records what `inner` is asked.
    pub fn new(inner: S) -> Self {
        Self::with_latency(inner, Latency::default())
    }

    /// Records, and counts time as if the store were far away.
    pub fn with_latency(inner: S, latency: Latency) -> Self {
        Self::with_log(inner, latency, None)
    }

    /// Records, and calls a function behind each call, before its answer is given.
    pub fn then(inner: S, then: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        Self::with_log(inner, Latency::default(), Some(Box::new(then)))
    }

    fn with_log(inner: S, latency: Latency, then: Option<Then>) -> Self {
        let log = Log {
            record: Mutex::default(),
            latency,
            then,
        };
        Self {
            inner: Arc::new(inner),
            log: Arc::new(log),
        }
    }

    /// What was asked so far.
    pub fn record(&self) -> Record {
        self.log.lock().clone()
    }

    /// Forgets what was asked so far, and gives it back.
    pub fn reset(&self) -> Record {
        std::mem::take(&mut *self.log.lock())
    }

    /// The store beneath.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

struct RecordingPut<'a> {
    inner: Box<dyn PutStream + 'a>,
    log: Arc<Log>,
    name: ObjectName,
    bytes: u64,
}

impl PutStream for RecordingPut<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        self.inner.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn PendingPut>, StoreError> {
        let (name, bytes) = (self.name, self.bytes);
        let pending = self.inner.finish()?;
        self.log.note(Call::Put { name, bytes }, bytes, 0);
        let log = self.log;
        Ok(Box::new(RecordingPending { pending, log }))
    }
}

struct RecordingPending {
    pending: Box<dyn PendingPut>,
    log: Arc<Log>,
}

impl PendingPut for RecordingPending {
    fn wait(self: Box<Self>) -> Result<PutOutcome, StoreError> {
        self.log.waited();
        self.pending.wait()
    }
}

impl<S: Store> Store for RecordingStore<S> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn put_new(&self, name: ObjectName) -> Result<Box<dyn PutStream + '_>, StoreError> {
        Ok(Box::new(RecordingPut {
            inner: self.inner.put_new(name)?,
            log: self.log.clone(),
            name,
            bytes: 0,
        }))
    }

    fn get(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.log.waited();
        let got = self.inner.get(name, ranges)?;
        let received = got.iter().map(|bytes| bytes.len() as u64).sum();
        let ranges = ranges.to_vec();
        self.log.note(Call::Get { name, ranges }, 0, received);
        Ok(got)
    }

    fn stat(&self, name: ObjectName) -> Result<Option<u64>, StoreError> {
        self.log.waited();
        self.log.note(Call::Stat(name), 0, 0);
        self.inner.stat(name)
    }

    fn list(
        &self,
        class: ObjectClass,
        each: &mut dyn FnMut(ObjectName, u64),
    ) -> Result<(), StoreError> {
        self.log.waited();
        let mut objects = 0;
        self.inner.list(class, &mut |name, size| {
            objects += 1;
            each(name, size);
        })?;
        self.log.note(Call::List { class, objects }, 0, 0);
        Ok(())
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.log.waited();
        self.log.note(Call::Delete(names.to_vec()), 0, 0);
        self.inner.delete(names)
    }

    fn punch(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<(), StoreError> {
        self.log.waited();
        let call = Call::Punch {
            name,
            ranges: ranges.to_vec(),
        };
        self.log.note(call, 0, 0);
        self.inner.punch(name, ranges)
    }

    fn copy(&self, name: ObjectName, pieces: &[CopyPiece]) -> Result<PutOutcome, StoreError> {
        self.log.waited();
        let (mut ranges, mut inline) = (0, 0);
        for piece in pieces {
            match piece {
                CopyPiece::Range(_, range) => ranges += u64::from(range.length),
                CopyPiece::Inline(bytes) => inline += bytes.len() as u64,
            }
        }
        let call = Call::Copy {
            name,
            ranges,
            inline,
        };
        self.log.note(call, inline, 0);
        self.inner.copy(name, pieces)
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.log.waited();
        self.log.note(Call::Barrier, 0, 0);
        self.inner.barrier()
    }

    fn free_space(&self) -> Result<u64, StoreError> {
        self.log.waited();
        self.log.note(Call::FreeSpace, 0, 0);
        self.inner.free_space()
    }
}
