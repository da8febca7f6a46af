//! A lane writes one object at a time: bytes arrive in order, and its fsync delays no other object.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use nacre_wire::{Name, Range, Reply};

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
    while let Ok(step) = steps.recv() {
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
                let answer = healthy.map(|(id, upload)| (id, upload.finish(length)));
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

fn begin<'a, W: Write>(
    shared: &Shared<'a, W>,
    id: u32,
    name: Name,
    credit: Arc<AtomicU32>,
) -> Put<'a> {
    let upload = match shared.backend.begin(name) {
        Ok(upload) => Some(upload),
        Err(failure) => {
            shared.output.end(id, &error_reply(failure));
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
