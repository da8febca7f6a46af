//! What the threads of a client share: the requests that are under way.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nacre_core::object_name::ObjectName;
use nacre_wire::{Class, HelloReply, ListEntry};

use super::launch::Patience;
use super::vigil::{Clocks, Vigil};
use crate::joints::{StoreError, StoreErrorKind};

/// How a request ended.
pub(super) enum Answer {
    Hello(HelloReply),
    Put(bool),
    Done,
    Got(Vec<Vec<u8>>),
    Size(Option<u64>),
    Bytes(u64),
    Flag(bool),
}

/// What kind of answer a request waits for, and what has come of it.
pub(super) enum Expect {
    Hello,
    Put {
        /// Bytes that may be sent.
        credit: u32,
        /// Bytes sent and not yet granted again.
        spent: u32,
        /// `PutFinish` was sent.
        finished: bool,
        /// `PutAbort` was sent.
        aborted: bool,
    },
    Done,
    Get(Gathering),
    Size,
    List {
        class: Class,
        /// Come and not yet taken by the caller.
        entries: Vec<ListEntry>,
    },
    Bytes,
    Flag,
}

/// Buffers of exactly the lengths asked for, being filled in order.
pub(super) struct Gathering {
    pub buffers: Vec<Vec<u8>>,
    /// The buffer that is being filled, and how far it is.
    pub at: (usize, usize),
}

/// A request that was sent.
pub(super) struct Slot {
    pub object: Option<ObjectName>,
    pub expect: Expect,
    pub result: Option<Result<Answer, StoreError>>,
    /// Somebody waits: silence is not normal now.
    pub waiting: bool,
    /// The caller has gone; the answer is thrown away.
    pub abandoned: bool,
    /// It takes the place of a request at the other side.
    counted: bool,
}

impl Slot {
    pub(super) fn is_put(&self) -> bool {
        matches!(self.expect, Expect::Put { .. })
    }
}

/// How many requests there may be at once.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub puts: usize,
    pub requests: usize,
    pub put_window: u32,
}

pub(super) struct State {
    pub slots: HashMap<u32, Slot>,
    pub limits: Limits,
    next_id: u32,
    puts: usize,
    requests: usize,
    vigil: Vigil,
    /// Why the connection ended.
    pub failed: Option<StoreError>,
}

/// The shared state and the signal that it has changed.
pub(super) struct Connection {
    state: Mutex<State>,
    changed: Condvar,
    pub patience: Patience,
}

impl Connection {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            state: Mutex::new(State {
                slots: HashMap::new(),
                limits: Limits {
                    puts: 1,
                    requests: 1,
                    put_window: 0,
                },
                next_id: 0,
                puts: 0,
                requests: 0,
                vigil: Vigil::new(Clocks::now()),
                failed: None,
            }),
            changed: Condvar::new(),
            patience,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has changed.
    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has changed, or for so long.
    pub(super) fn wait_timeout<'a>(
        &self,
        state: MutexGuard<'a, State>,
        patience: Duration,
    ) -> MutexGuard<'a, State> {
        self.changed
            .wait_timeout(state, patience)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    pub(super) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Enters a request once there is room for it; its number.
    pub(super) fn enter(
        &self,
        object: Option<ObjectName>,
        expect: Expect,
    ) -> Result<u32, StoreError> {
        let mut state = self.lock();
        loop {
            state.check(object)?;
            if state.has_room(&expect) {
                return Ok(state.enter(object, expect));
            }
            state = self.wait(state);
        }
    }

    /// The same if there is room for it just now; otherwise what was to be entered comes back.
    pub(super) fn try_enter(
        &self,
        object: Option<ObjectName>,
        expect: Expect,
    ) -> Result<Result<u32, Expect>, StoreError> {
        let mut state = self.lock();
        state.check(object)?;
        if state.has_room(&expect) {
            Ok(Ok(state.enter(object, expect)))
        } else {
            Ok(Err(expect))
        }
    }

    /// Waits for the answer to a request and forgets the request.
    pub(super) fn answer(&self, id: u32) -> Result<Answer, StoreError> {
        self.answer_by(id, None)
    }

    /// The same, but not longer than until `deadline`.
    pub(super) fn answer_by(
        &self,
        id: u32,
        deadline: Option<Instant>,
    ) -> Result<Answer, StoreError> {
        let mut state = self.lock();
        loop {
            let slot = state.slots.get_mut(&id).ok_or_else(lost)?;
            let object = slot.object;
            if let Some(result) = slot.result.take() {
                state.forget(id);
                self.notify();
                return result;
            }
            if let Err(error) = state.check(object) {
                state.forget(id);
                return Err(error);
            }
            let now = Instant::now();
            state = match deadline {
                None => self.wait(state),
                Some(deadline) if now < deadline => self.wait_timeout(state, deadline - now),
                Some(_) => {
                    let detail = "it did not say goodbye in time";
                    return Err(StoreError::new(StoreErrorKind::TimedOut, object, detail));
                }
            };
        }
    }

    /// Nobody will ask for the answer any more.
    pub(super) fn abandon(&self, id: u32) {
        let mut state = self.lock();
        if state.failed.is_some() {
            state.forget(id);
        } else if let Some(slot) = state.slots.get_mut(&id) {
            if slot.result.is_some() {
                state.forget(id);
            } else {
                slot.abandoned = true;
            }
        }
        self.notify();
    }

    /// Ends the connection for everybody, with the first reason that is given.
    pub(super) fn fail(&self, error: StoreError) {
        self.lock().failed.get_or_insert(error);
        self.notify();
    }

    /// The reason if the other side has been silent, or idle, for too long.
    pub(super) fn check_silence(&self) -> Result<(), StoreError> {
        let too_long = self.lock().vigil.check(Clocks::now(), self.patience);
        too_long.map_or(Ok(()), |detail| {
            Err(StoreError::new(StoreErrorKind::TimedOut, None, detail))
        })
    }

    pub(super) fn mark_heard(&self) {
        self.lock().vigil.hear(Clocks::now());
    }

    /// We sent nothing for a while, on purpose.
    pub(super) fn mark_pause(&self) {
        self.lock().vigil.pause(Clocks::now());
    }
}

impl State {
    /// The connection is alive, or why not.
    pub(super) fn check(&self, object: Option<ObjectName>) -> Result<(), StoreError> {
        match &self.failed {
            None => Ok(()),
            Some(error) => Err(StoreError {
                object,
                ..error.clone()
            }),
        }
    }

    fn has_room(&self, expect: &Expect) -> bool {
        match expect {
            Expect::Put { .. } => self.puts < self.limits.puts,
            _ => self.requests < self.limits.requests,
        }
    }

    /// Enters a request for which there is room; its number.
    fn enter(&mut self, object: Option<ObjectName>, expect: Expect) -> u32 {
        let is_put = matches!(expect, Expect::Put { .. });
        let id = self.fresh_id();
        *self.count(is_put) += 1;
        let slot = Slot {
            object,
            expect,
            result: None,
            waiting: false,
            abandoned: false,
            counted: true,
        };
        self.slots.insert(id, slot);
        if !is_put {
            self.set_waiting(id, true);
        }
        id
    }

    /// Never 0, and none that is in use.
    fn fresh_id(&mut self) -> u32 {
        loop {
            self.next_id = self.next_id.wrapping_add(1);
            if self.next_id != 0 && !self.slots.contains_key(&self.next_id) {
                return self.next_id;
            }
        }
    }

    fn count(&mut self, is_put: bool) -> &mut usize {
        if is_put {
            &mut self.puts
        } else {
            &mut self.requests
        }
    }

    pub(super) fn set_waiting(&mut self, id: u32, waiting: bool) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut slot.waiting, waiting) == waiting {
            return;
        }
        if waiting {
            self.begin_wait();
        } else {
            self.end_wait();
        }
    }

    /// From now on silence counts.
    pub(super) fn begin_wait(&mut self) {
        self.vigil.begin(Clocks::now());
    }

    /// One waits less.
    pub(super) fn end_wait(&mut self) {
        self.vigil.end();
    }

    pub(super) fn mark_progress(&mut self) {
        self.vigil.progress(Clocks::now());
    }

    /// Enters the final answer of a request.
    pub(super) fn conclude(&mut self, id: u32, result: Result<Answer, StoreError>) {
        self.set_waiting(id, false);
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.result = Some(result);
        // A put that failed before its end keeps its place at the other side until its end is sent.
        let ended = match slot.expect {
            Expect::Put {
                finished, aborted, ..
            } => finished || aborted,
            _ => true,
        };
        if ended {
            let counted = std::mem::take(&mut slot.counted);
            let (abandoned, is_put) = (slot.abandoned, slot.is_put());
            self.uncount(counted, is_put);
            if abandoned {
                self.forget(id);
            }
        }
    }

    fn uncount(&mut self, counted: bool, is_put: bool) {
        if counted {
            let count = self.count(is_put);
            *count = count.saturating_sub(1);
        }
    }

    /// Drops a request; its place is free for the next.
    pub(super) fn forget(&mut self, id: u32) {
        self.set_waiting(id, false);
        if let Some(slot) = self.slots.remove(&id) {
            self.uncount(slot.counted, slot.is_put());
        }
    }
}

fn lost() -> StoreError {
    StoreError::new(StoreErrorKind::Died, None, "the request was given up")
}
