//! A store that is reached anew when its connection breaks while something is read.
//!
//! Objects never change, and whoever reads them checks what comes: it does not matter over which connection it comes. Writing is another
//! matter. What a helper has acknowledged is durable only when that same helper has answered a barrier, so from the first verb that changes
//! something a break is told to the caller, who knows what has been committed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nacre_core::object_name::{ObjectClass, ObjectName};

use crate::joints::{
    ByteRange, Capabilities, CopyPiece, GetAnswer, Hazards, PutOutcome, PutStream, Store,
    StoreError,
};

/// Reaches a store again.
pub trait Reopen: Send {
    /// Waits a little and reaches the store again, as often as is wanted; the error that ended the last try if it is not to be had. An error
    /// that does not pass comes back at once.
    fn again(&mut self, error: StoreError) -> Result<Arc<dyn Store>, StoreError>;

    /// The connection that is broken now had answered: nobody tries in vain.
    fn progressed(&mut self);
}

/// A connection, and the one that took its place. They stay until the end: what was begun on one refers to it.
struct Link {
    store: Arc<dyn Store>,
    next: OnceLock<Box<Link>>,
}

impl Link {
    fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            next: OnceLock::new(),
        }
    }
}

/// A store that outlives its connections.
pub struct Lasting {
    first: Link,
    /// Whether the last connection has answered anything.
    answered: AtomicBool,
    /// Whether something was to be changed.
    written: AtomicBool,
    /// Held by the one who reaches it again.
    again: Mutex<Again>,
    /// Held by the one who asks again for what did not come.
    alone: Mutex<()>,
}

struct Again {
    reopen: Box<dyn Reopen>,
    /// Why nobody tries any more.
    given_up: Option<StoreError>,
}

impl Lasting {
    /// From a connection that was made.
    pub fn new(store: Arc<dyn Store>, reopen: Box<dyn Reopen>) -> Self {
        Self {
            first: Link::new(store),
            answered: AtomicBool::new(false),
            written: AtomicBool::new(false),
            again: Mutex::new(Again {
                reopen,
                given_up: None,
            }),
            alone: Mutex::new(()),
        }
    }

    fn last(&self) -> &Link {
        let mut link = &self.first;
        while let Some(next) = link.next.get() {
            link = next;
        }
        link
    }

    fn lock(&self) -> MutexGuard<'_, Again> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection for something that changes the store. From now on none takes its place.
    fn to_write(&self) -> &dyn Store {
        if !self.written.load(Ordering::Acquire) {
            // Whoever reaches it again just now is waited for.
            let _again = self.lock();
            self.written.store(true, Ordering::Release);
        }
        self.last().store.as_ref()
    }

    /// Reads, again on a new connection if the one that was used is broken.
    fn read<T>(&self, act: impl Fn(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut alone = None;
        loop {
            let link = self.last();
            match act(link.store.as_ref()) {
                Err(error) if error.kind.is_broken_link() => {
                    drop(alone.take());
                    self.replace(link, error)?;
                    // Over a link that soon breaks again, a piece at a time is whole sooner than all of them half.
                    alone = Some(self.alone.lock().unwrap_or_else(PoisonError::into_inner));
                }
                done => {
                    self.answered.store(true, Ordering::Relaxed);
                    return done;
                }
            }
        }
    }

    /// Puts a new connection in the place of one that is broken; one caller for all that wait.
    fn replace(&self, broken: &Link, error: StoreError) -> Result<(), StoreError> {
        let mut again = self.lock();
        if broken.next.get().is_some() {
            return Ok(());
        }
        if self.written.load(Ordering::Acquire) || again.given_up.is_some() {
            return Err(error);
        }
        if self.answered.swap(false, Ordering::Relaxed) {
            again.reopen.progressed();
        }
        match again.reopen.again(error) {
            Ok(store) => {
                let _ = broken.next.set(Box::new(Link::new(store)));
                Ok(())
            }
            Err(error) => {
                again.given_up = Some(error.clone());
                Err(error)
            }
        }
    }
}

impl Store for Lasting {
    fn capabilities(&self) -> Capabilities {
        self.last().store.capabilities()
    }

    fn hazards(&self) -> Hazards {
        self.last().store.hazards()
    }

    fn put_new(&self, name: ObjectName) -> Result<Box<dyn PutStream + '_>, StoreError> {
        self.to_write().put_new(name)
    }

    fn get(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(|store| store.get(name, ranges))
    }

    fn get_many(&self, wanted: &[(ObjectName, Vec<ByteRange>)]) -> Vec<GetAnswer> {
        let answers = self.last().store.get_many(wanted);
        if !answers.iter().all(is_broken) {
            self.answered.store(true, Ordering::Relaxed);
        }
        // What had come before the connection broke is not fetched again.
        let answers = answers.into_iter().zip(wanted);
        let answers = answers.map(|(answer, (name, ranges))| {
            if is_broken(&answer) {
                self.get(*name, ranges)
            } else {
                answer
            }
        });
        answers.collect()
    }

    fn stat(&self, name: ObjectName) -> Result<Option<u64>, StoreError> {
        self.read(|store| store.stat(name))
    }

    fn list(
        &self,
        class: ObjectClass,
        each: &mut dyn FnMut(ObjectName, u64),
    ) -> Result<(), StoreError> {
        // A listing that broke off begins anew: what it had named must not be named twice.
        let all = self.read(|store| {
            let mut all = Vec::new();
            store.list(class, &mut |name, size| all.push((name, size)))?;
            Ok(all)
        })?;
        for (name, size) in all {
            each(name, size);
        }
        Ok(())
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.to_write().delete(names)
    }

    fn punch(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<(), StoreError> {
        self.to_write().punch(name, ranges)
    }

    fn copy(&self, name: ObjectName, pieces: &[CopyPiece]) -> Result<PutOutcome, StoreError> {
        self.to_write().copy(name, pieces)
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.to_write().barrier()
    }

    fn leave_restorer(&self, mark: u32, text: &[u8]) -> Result<(), StoreError> {
        self.to_write().leave_restorer(mark, text)
    }

    fn free_space(&self) -> Result<u64, StoreError> {
        self.read(|store| store.free_space())
    }
}

fn is_broken(answer: &GetAnswer) -> bool {
    matches!(answer, Err(error) if error.kind.is_broken_link())
}
