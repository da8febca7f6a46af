//! Reader, workers, packer, sender: bounded queues between them, buffers that go round, the first error kept.

use std::sync::Arc;
use std::thread::Scope;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use nacre_core::entropy::Entropy;
use nacre_core::ids::Alias;
use nacre_core::pack::PackRecord;
use nacre_core::seal::{Encoder, Sealer};

use super::failure::{Failure, Sticky};
use super::feed::Job;
use super::packer::Packer;
use super::sender::{self, Order};
use super::worker::{self, Done, Owner, Shared};
use crate::archive::{Error, Result};
use crate::joints::{AlignedBuffer, Store};

/// Sealed items that may wait for the sender.
const SEGMENTS: usize = 64;

/// Makes the randomness of one thread.
pub type MakeEntropy<'a> = &'a (dyn Fn() -> Box<dyn Entropy> + Send + Sync);

/// What the threads of a pipeline are made with.
pub struct Parts<'a> {
    /// Where packs go.
    pub store: &'a dyn Store,
    /// Seals items.
    pub sealer: &'a Sealer,
    /// Gives out places.
    pub packer: &'a Packer<'a>,
    /// The packer's other end.
    pub orders: (Sender<Order>, Receiver<Order>),
    /// The first error.
    pub sticky: &'a Sticky,
    /// Randomness for each worker.
    pub entropy: MakeEntropy<'a>,
    /// Makes the compressor of each worker.
    pub encoder: &'a (dyn Fn() -> Encoder + Sync),
    /// Size of a chunk in bytes.
    pub chunk_size: usize,
    /// Number of workers.
    pub threads: usize,
    /// Store nothing.
    pub dry_run: bool,
    /// Bytes in a job, at most.
    pub job_size: usize,
}

/// The queue between workers and sender, made before the packer that writes to it.
pub fn orders() -> (Sender<Order>, Receiver<Order>) {
    bounded(SEGMENTS)
}

/// The running threads, seen from the one that reads and commits.
pub struct Pipeline<'a> {
    jobs: Option<Sender<(Arc<Owner<'a>>, Job)>>,
    done: Receiver<Done>,
    orders: Sender<Order>,
    packer: &'a Packer<'a>,
    sticky: &'a Sticky,
    in_flight: usize,
    job_size: usize,
    pool: Vec<AlignedBuffer>,
}

impl<'a> Pipeline<'a> {
    /// Starts the sender and the workers.
    pub fn start<'scope>(scope: &'scope Scope<'scope, 'a>, parts: Parts<'a>) -> Self
    where
        'a: 'scope,
    {
        let (jobs, job_queue) = bounded(parts.threads.saturating_mul(2).max(2));
        let (done_sender, done) = unbounded();
        let (spent_sender, spent) = bounded(SEGMENTS);
        let (orders, order_queue) = parts.orders;
        let (store, sticky) = (parts.store, parts.sticky);
        scope.spawn(move || {
            let _guard = PanicGuard(sticky);
            sender::run(store, &order_queue, &spent_sender, sticky);
        });
        for _ in 0..parts.threads.max(1) {
            let shared = Shared {
                chunk_size: parts.chunk_size,
                dry_run: parts.dry_run,
                sealer: parts.sealer,
                packer: parts.packer,
                orders: orders.clone(),
                spent: spent.clone(),
                sticky,
            };
            let (encoder, entropy) = ((parts.encoder)(), (parts.entropy)());
            let (jobs, done) = (job_queue.clone(), done_sender.clone());
            scope.spawn(move || {
                let _guard = PanicGuard(sticky);
                worker::run(&shared, encoder, entropy, &jobs, &done);
            });
        }
        Self {
            jobs: Some(jobs),
            done,
            orders,
            packer: parts.packer,
            sticky,
            in_flight: 0,
            job_size: parts.job_size,
            pool: Vec::new(),
        }
    }

    /// Memory for a job.
    pub fn buffer(&mut self) -> AlignedBuffer {
        let job_size = self.job_size;
        self.pool
            .pop()
            .unwrap_or_else(|| AlignedBuffer::new(job_size))
    }

    /// Gives a job to the workers; waits while they have enough.
    pub fn submit(&mut self, owner: &Arc<Owner<'a>>, job: Job) -> Result<()> {
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send((Arc::clone(owner), job)).is_ok());
        if !sent || self.sticky.is_set() {
            return Err(self.failure());
        }
        self.in_flight += 1;
        Ok(())
    }

    /// What the workers have finished by now.
    pub fn collect(&mut self, each: &mut dyn FnMut(&mut Done)) {
        while let Ok(done) = self.done.try_recv() {
            self.accept(done, each);
        }
    }

    /// Waits until every job is finished.
    pub fn drain(&mut self, each: &mut dyn FnMut(&mut Done)) -> Result<()> {
        while self.in_flight > 0 {
            match self.done.recv_timeout(Duration::from_millis(50)) {
                Ok(done) => self.accept(done, each),
                Err(RecvTimeoutError::Timeout) if !self.sticky.is_set() => {}
                Err(_) => return Err(self.failure()),
            }
        }
        Ok(())
    }

    /// Waits until the store has acknowledged every pack; no job may be in flight. Returns the packs finished since the last call.
    pub fn settle(&mut self) -> Result<Vec<(Alias, PackRecord)>> {
        let packs = self.packer.finish().map_err(|failure| self.keep(failure))?;
        let (answer, settled) = bounded(1);
        let asked = self.orders.send(Order::Settle(answer)).is_ok();
        if !asked || settled.recv().is_err() || self.sticky.is_set() {
            return Err(self.failure());
        }
        Ok(packs)
    }

    fn accept(&mut self, mut done: Done, each: &mut dyn FnMut(&mut Done)) {
        self.in_flight = self.in_flight.saturating_sub(1);
        each(&mut done);
        self.pool.push(done.content);
    }

    fn keep(&self, failure: Failure) -> Error {
        self.sticky.set(failure);
        self.failure()
    }

    fn failure(&self) -> Error {
        self.sticky
            .first()
            .unwrap_or_else(|| Error::State("a thread of nacre ended unexpectedly".to_owned()))
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        // Workers end with their queue; the sender must be told, since the packer keeps its queue open.
        drop(self.jobs.take());
        // If the sender is gone already, there is nobody to tell.
        let _ = self.orders.send(Order::Stop);
    }
}

struct PanicGuard<'a>(&'a Sticky);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set(Failure::Gone);
        }
    }
}
