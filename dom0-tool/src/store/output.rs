//! Frames to the child: whole ones, one at a time, from any thread.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nacre_wire::{FrameHeader, Kind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::Connection;
use super::convert::protocol;
use super::input::tick;
use super::throttle::Bucket;
use super::vigil::Clocks;
use crate::joints::{StoreError, StoreErrorKind};

/// The child's stdin.
pub(super) struct Output {
    to_child: Mutex<Option<File>>,
    connection: Arc<Connection>,
    tick: Timespec,
    limit: Option<Mutex<Bucket>>,
}

impl Output {
    pub(super) fn new(
        to_child: File,
        connection: Arc<Connection>,
        limit: Option<NonZeroU64>,
    ) -> Self {
        let tick = tick(connection.patience.silence);
        let bucket = |rate| Mutex::new(Bucket::new(rate, Clocks::now().awake));
        Self {
            limit: limit.map(bucket),
            to_child: Mutex::new(Some(to_child)),
            connection,
            tick,
        }
    }

    /// Sends a frame. An error here ends the connection; its reason is found by the reading thread, which sees the end
    /// of the child's output and its exit code.
    pub(super) fn send(&self, kind: Kind, id: u32, body: &[u8]) -> Result<(), StoreError> {
        let length = u32::try_from(body.len())
            .ok()
            .filter(|length| *length <= kind.max_body())
            .ok_or_else(|| protocol("a request is too long"))?;
        let header = FrameHeader { length, kind, id }.encode();
        self.hold_back(header.len() + body.len())?;
        let mut to_child = self.to_child.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = match to_child.as_mut() {
            Some(to_child) => self.write(to_child, &header, body),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        if sent.is_err() {
            // Half a frame may be out: nothing can follow it. The closed pipe ends the child, and that the reader.
            *to_child = None;
        }
        drop(to_child);
        sent.map_err(|_| self.reason())
    }

    /// Says that nothing will follow.
    pub(super) fn close(&self) {
        *self.to_child.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits until the limit allows so many bytes more. Others may send meanwhile; small requests count and do not wait, so that no question,
    /// and no goodbye, stands behind data.
    fn hold_back(&self, bytes: usize) -> Result<(), StoreError> {
        let Some(bucket) = &self.limit else {
            return Ok(());
        };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = bucket.take(bytes as u64, Clocks::now().awake);
        drop(bucket);
        if bytes <= SMALL {
            return Ok(());
        }
        while !rest.is_zero() {
            let some = rest.min(Duration::from_millis(200));
            std::thread::sleep(some);
            rest -= some;
            self.connection.mark_pause();
            self.connection.lock().check(None)?;
        }
        Ok(())
    }

    fn write(&self, to_child: &mut File, header: &[u8], body: &[u8]) -> io::Result<()> {
        let mut slices = [IoSlice::new(header), IoSlice::new(body)];
        let mut rest: &mut [IoSlice<'_>] = &mut slices;
        IoSlice::advance_slices(&mut rest, 0);
        let mut full = None;
        while !rest.is_empty() {
            match to_child.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut rest, written);
                    if full.is_some() {
                        self.connection.mark_heard();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    full.get_or_insert_with(|| Waiting::begin(&self.connection));
                    self.wait_for_room(to_child)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A child that takes nothing and says nothing is noticed by the reading thread, which fails the connection.
    fn wait_for_room(&self, to_child: &File) -> io::Result<()> {
        let mut ends = [PollFd::new(to_child, PollFlags::OUT)];
        match poll(&mut ends, Some(&self.tick)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if self.connection.lock().failed.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// Waits for the reading thread to find why the connection ended. It sees the end of the child's output and its exit
    /// code; a child that has closed its input only is given up after a moment.
    fn reason(&self) -> StoreError {
        let deadline = Instant::now() + GRACE;
        let mut state = self.connection.lock();
        loop {
            if let Some(error) = &state.failed {
                return error.clone();
            }
            let now = Instant::now();
            if now >= deadline {
                drop(state);
                let error = StoreError::new(StoreErrorKind::Died, None, "it closed its input");
                self.connection.fail(error.clone());
                return error;
            }
            state = self.connection.wait_timeout(state, deadline - now);
        }
    }
}

/// Longest frame that does not wait for the limit.
const SMALL: usize = 256;

/// While it exists, silence of the other side counts.
struct Waiting<'a>(&'a Connection);

impl<'a> Waiting<'a> {
    fn begin(connection: &'a Connection) -> Self {
        connection.lock().begin_wait();
        Self(connection)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().end_wait();
    }
}

/// How long the reading thread may take to find the reason of an end.
const GRACE: Duration = Duration::from_secs(3);
