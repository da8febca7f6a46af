//! Sending an object while it is being made.

use std::sync::Arc;

use nacre_core::object_name::ObjectName;
use nacre_wire::limits::{MAX_DATA, MAX_RANGES};
use nacre_wire::{Kind, Name, Range, Request};

use super::client::Link;
use super::connection::{Answer, Expect};
use super::convert::{protocol, to_wire};
use crate::joints::{PendingPut, PutOutcome, PutStream, StoreError};

/// Bytes gathered before a frame is sent; longer writes go out without a copy.
const GATHER: usize = MAX_DATA as usize;

/// A put whose bytes still come.
pub(super) struct WirePut {
    link: Arc<Link>,
    id: u32,
    gathered: Vec<u8>,
    length: u64,
    ended: bool,
}

impl WirePut {
    pub(super) fn begin(link: &Arc<Link>, name: ObjectName) -> Result<Self, StoreError> {
        let request = Request::PutBegin(to_wire(name)?);
        let window = link.connection.lock().limits.put_window;
        let expect = Expect::Put {
            credit: window,
            spent: 0,
            finished: false,
            aborted: false,
        };
        let id = link.connection.enter(Some(name), expect)?;
        let put = Self {
            link: link.clone(),
            id,
            gathered: Vec::new(),
            length: 0,
            ended: false,
        };
        put.link.request(id, &request)?;
        Ok(put)
    }

    /// Appends ranges of an object that the other side has.
    pub(super) fn copy(&mut self, from: Name, ranges: &[Range]) -> Result<(), StoreError> {
        self.flush()?;
        for some in ranges.chunks(MAX_RANGES) {
            let body = Request::PutCopy(from, some.to_vec()).encode_body();
            self.spend(body.len())?;
            self.link.send(Kind::PutCopy, self.id, &body)?;
            self.length += some
                .iter()
                .map(|range| u64::from(range.length))
                .sum::<u64>();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if !self.gathered.is_empty() {
            let gathered = std::mem::take(&mut self.gathered);
            self.send(&gathered)?;
            self.gathered = gathered;
            self.gathered.clear();
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        for chunk in bytes.chunks(MAX_DATA as usize) {
            self.spend(chunk.len())?;
            self.link.send(Kind::PutData, self.id, chunk)?;
            self.length += chunk.len() as u64;
        }
        Ok(())
    }

    /// Waits until so many bytes may be sent.
    fn spend(&mut self, length: usize) -> Result<(), StoreError> {
        let length = u32::try_from(length).map_err(|_| protocol("a request is too long"))?;
        let connection = &self.link.connection;
        let mut state = connection.lock();
        loop {
            state.check(None)?;
            let slot = state
                .slots
                .get_mut(&self.id)
                .ok_or_else(super::reader::closed)?;
            if let Some(Err(error)) = &slot.result {
                return Err(error.clone());
            }
            if let Expect::Put { credit, spent, .. } = &mut slot.expect
                && let Some(left) = credit.checked_sub(length)
            {
                *credit = left;
                *spent += length;
                state.set_waiting(self.id, false);
                return Ok(());
            }
            state.set_waiting(self.id, true);
            state = connection.wait(state);
        }
    }

    /// Marks the put as ended, so that its answer is awaited. The error if there is one already.
    fn mark_ended(&mut self, abort: bool) -> Result<(), StoreError> {
        self.ended = true;
        let mut state = self.link.connection.lock();
        state.check(None)?;
        let slot = state
            .slots
            .get_mut(&self.id)
            .ok_or_else(super::reader::closed)?;
        if let Some(Err(error)) = slot.result.take() {
            // The other side has answered, and answers to nothing more but takes the end as said below.
            state.forget(self.id);
            self.link.connection.notify();
            return Err(error);
        }
        if let Expect::Put {
            finished, aborted, ..
        } = &mut slot.expect
        {
            *finished = !abort;
            *aborted = abort;
        }
        state.set_waiting(self.id, true);
        Ok(())
    }

    fn abort(&mut self) {
        if self.ended {
            return;
        }
        // Sent in any case: after a failure it tells the other side that nothing of this put will follow.
        let marked = self.mark_ended(true);
        let sent = self.link.request(self.id, &Request::PutAbort);
        if marked.is_ok() || sent.is_err() {
            self.link.connection.abandon(self.id);
        }
    }
}

impl PutStream for WirePut {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.gathered.is_empty() && bytes.len() >= GATHER {
            return self.send(bytes);
        }
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= GATHER {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Box<dyn PendingPut>, StoreError> {
        self.flush()?;
        if let Err(error) = self.mark_ended(false) {
            let _ = self.link.request(self.id, &Request::PutAbort);
            return Err(error);
        }
        let pending = WirePending {
            link: self.link.clone(),
            id: Some(self.id),
        };
        self.link
            .request(self.id, &Request::PutFinish(self.length))?;
        Ok(Box::new(pending))
    }
}

impl Drop for WirePut {
    fn drop(&mut self) {
        self.abort();
    }
}

/// A put that waits for its answer.
pub(super) struct WirePending {
    link: Arc<Link>,
    id: Option<u32>,
}

impl PendingPut for WirePending {
    fn wait(mut self: Box<Self>) -> Result<PutOutcome, StoreError> {
        let id = self.id.take().ok_or_else(super::reader::closed)?;
        match self.link.connection.answer(id)? {
            Answer::Put(true) => Ok(PutOutcome::Created),
            Answer::Put(false) => Ok(PutOutcome::Exists),
            _ => Err(protocol("an answer of the wrong kind")),
        }
    }
}

impl Drop for WirePending {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.link.connection.abandon(id);
        }
    }
}
