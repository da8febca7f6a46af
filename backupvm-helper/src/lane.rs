//! A lane writes one object at a time: bytes arrive in order, and its fsync delays no other object.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use nacre_wire::{ErrorCode, Name, Range, Reply};

use crate::backend::{Backend, Upload};
use crate::buffer::{Buffer, Pool};
use crate::failure::Failure;
use crate::output::{Output, error_reply};

/// A step of a put.
pub enum Step {
    /// A new object; the counter is what the client may still send.
    Begin(u32, Name, Arc<AtomicU32>),
    /// Bytes to append.
    Data(Buffer),
    /// Ranges of another object to append, and the credit to give back.
    Copy(Name, Vec<Range>, u32),
    /// The object is complete; its length.
    Finish(u64),
    /// Forget it.
    Abort,
}

/// The numbers of the lanes that are free.
pub struct FreeLanes {
    free: Mutex<Vec<usize>>,
    freed: Condvar,
}

impl FreeLanes {
    /// All of `count` lanes are free.
    pub fn new(count: usize) -> Self {
        Self {
            free: Mutex::new((0..count).collect()),
            freed: Condvar::new(),
        }
    }

    /// A free lane. Waits: the caller has made sure that some lane will become free by itself.
    pub fn take(&self) -> usize {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(lane) = free.pop() {
                return lane;
            }
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give(&self, lane: usize) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(lane);
        self.freed.notify_one();
    }
}

/// What all lanes share.
pub struct Shared<'a, W> {
    pub backend: &'a dyn Backend,
    pub output: &'a Output<W>,
    pub pool: &'a Pool,
    pub free: &'a FreeLanes,
}

/// The put that a lane is at.
struct Put<'a> {
    id: u32,
    credit: Arc<AtomicU32>,
    /// `None` after a failure, which was told at once; the rest of the steps is thrown away.
    upload: Option<Box<dyn Upload + 'a>>,
}

/// Carries out the steps of one put after the other until no more can come. An unfinished put leaves nothing.
pub fn run_lane<W: Write>(shared: &Shared<'_, W>, number: usize, steps: &Receiver<Step>) {
    let mut put: Option<Put<'_>> = None;
    loop {
        let wait = || steps.recv();
        let next = match &put {
            // Open at the client's side until more comes.
            Some(put) if put.upload.is_some() => shared.output.wait_for_client(wait),
            _ => wait(),
        };
        let Ok(step) = next else { return };
        match step {
            Step::Begin(id, name, credit) => put = Some(begin(shared, id, name, credit)),
            Step::Data(buffer) => {
                let length = u32::try_from(buffer.filled().len()).unwrap_or(0);
                advance(shared, put.as_mut(), length, |upload| {
                    upload.append(buffer.filled())
                });
                shared.pool.give(buffer);
            }
            Step::Copy(from, ranges, cost) => {
                advance(shared, put.as_mut(), cost, |upload| {
                    upload.append_ranges(from, &ranges)
                });
            }
            Step::Finish(length) => {
                let healthy = put.take().and_then(|put| Some((put.id, put.upload?)));
                let answer = healthy.map(|(id, upload)| (id, upload.finish(length).map_err(taken)));
                shared.free.give(number);
                match answer {
                    Some((id, Ok(created))) => {
                        shared.output.end(id, &Reply::PutDone(created));
                    }
                    Some((id, Err(failure))) => {
                        shared.output.end(id, &error_reply(failure));
                    }
                    None => {}
                }
            }
            Step::Abort => {
                let healthy = put.take().filter(|put| put.upload.is_some());
                let id = healthy.map(|put| put.id);
                shared.free.give(number);
                if let Some(id) = id {
                    shared.output.end(id, &Reply::Done);
                }
            }
        }
    }
}

/// A file or folder that somebody has taken away from under a put is not an object that is missing.
fn taken(mut failure: Failure) -> Failure {
    if failure.code == ErrorCode::NotFound {
        failure.code = ErrorCode::Io;
    }
    failure
}

fn begin<'a, W: Write>(
    shared: &Shared<'a, W>,
    id: u32,
    name: Name,
    credit: Arc<AtomicU32>,
) -> Put<'a> {
    let upload = match shared.backend.begin(name) {
        Ok(upload) => Some(upload),
        Err(failure) => {
            shared.output.end(id, &error_reply(taken(failure)));
            None
        }
    };
    Put { id, credit, upload }
}

/// Takes a step of the put and gives its credit back, or says at once that it failed.
fn advance<W: Write>(
    shared: &Shared<'_, W>,
    put: Option<&mut Put<'_>>,
    cost: u32,
    step: impl FnOnce(&mut dyn Upload) -> Result<(), Failure>,
) {
    let Some(put) = put else { return };
    let Some(upload) = put.upload.as_mut() else {
        // The client may have sent this before it heard of the failure.
        put.credit.fetch_add(cost, Ordering::SeqCst);
        return;
    };
    match step(upload.as_mut()) {
        Ok(()) => {
            put.credit.fetch_add(cost, Ordering::SeqCst);
            shared.output.part(put.id, &Reply::Credit(cost));
        }
        Err(failure) => {
            put.upload = None;
            put.credit.fetch_add(cost, Ordering::SeqCst);
            shared.output.end(put.id, &error_reply(failure));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel, sync_channel};
    use std::time::{Duration, Instant};

    use nacre_wire::{Class, Facts};

    use super::*;
    use crate::backend::{ByteSink, ListSink};

    /// A place whose disk takes nothing before the test lets it.
    struct Slow {
        begun: Sender<()>,
        let_go: Mutex<Receiver<()>>,
    }

    struct SlowUpload<'a>(&'a Slow);

    impl Upload for SlowUpload<'_> {
        fn append(&mut self, _bytes: &[u8]) -> Result<(), Failure> {
            self.0.begun.send(()).unwrap();
            self.0.let_go.lock().unwrap().recv().unwrap();
            Ok(())
        }
        fn append_ranges(&mut self, _from: Name, _ranges: &[Range]) -> Result<(), Failure> {
            Ok(())
        }
        fn finish(self: Box<Self>, _length: u64) -> Result<bool, Failure> {
            Ok(true)
        }
    }

    impl Backend for Slow {
        fn facts(&self) -> Facts {
            unreachable!()
        }
        fn begin(&self, _name: Name) -> Result<Box<dyn Upload + '_>, Failure> {
            Ok(Box::new(SlowUpload(self)))
        }
        fn read(&self, _name: Name, _ranges: &[Range], _each: ByteSink<'_>) -> Result<(), Failure> {
            Ok(())
        }
        fn stat(&self, _name: Name) -> Result<Option<u64>, Failure> {
            Ok(None)
        }
        fn list(&self, _class: Class, _each: ListSink<'_>) -> Result<(), Failure> {
            Ok(())
        }
        fn delete(&self, _names: &[Name]) -> Result<(), Failure> {
            Ok(())
        }
        fn punch(&self, _name: Name, _ranges: &[Range]) -> Result<(), Failure> {
            Ok(())
        }
        fn probe_punch(&self) -> Result<bool, Failure> {
            Ok(false)
        }
        fn barrier(&self) -> Result<(), Failure> {
            Ok(())
        }
        fn leave(&self, _file: &str, _text: &[u8]) -> Result<(), Failure> {
            Ok(())
        }
        fn free_space(&self) -> Result<u64, Failure> {
            Ok(0)
        }
    }

    fn soon(what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_put_that_waits_for_its_bytes_is_no_work_and_one_that_is_written_is() {
        let (begun, has_begun) = channel();
        let (go, let_go) = channel();
        let backend = Slow {
            begun,
            let_go: Mutex::new(let_go),
        };
        let output = Output::new(Vec::new(), None);
        let (pool, free) = (Pool::new(2), FreeLanes::new(1));
        let shared = Shared {
            backend: &backend,
            output: &output,
            pool: &pool,
            free: &free,
        };
        let (steps, queue) = sync_channel(4);
        let name = Name::parse(b"head/0000000000000001").unwrap();
        std::thread::scope(|scope| {
            let shared = &shared;
            scope.spawn(move || run_lane(shared, 0, &queue));
            output.begin();
            assert!(output.is_at_work());
            steps.send(Step::Begin(1, name, Arc::default())).unwrap();
            soon("it waits for bytes", || !output.is_at_work());
            let buffer = pool.take();
            steps.send(Step::Data(buffer)).unwrap();
            has_begun.recv().unwrap();
            assert!(output.is_at_work(), "the disk is slow");
            go.send(()).unwrap();
            soon("it waits for more", || !output.is_at_work());
            steps.send(Step::Finish(0)).unwrap();
            drop(steps);
        });
        assert!(!output.is_at_work());
    }
}
