//! The way to the client: whole frames, one at a time, from any thread.

use std::io::{IoSlice, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nacre_wire::{ErrorCode, FrameHeader, Kind, Reply};

use crate::failure::Failure;

/// Frames to the client.
pub struct Output<W> {
    inner: Mutex<Inner<W>>,
    closed: AtomicBool,
    /// Requests taken and not yet answered.
    open: AtomicUsize,
}

struct Inner<W> {
    writer: W,
    last: Instant,
}

impl<W: Write> Output<W> {
    /// Frames are written to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            inner: Mutex::new(Inner {
                writer,
                last: Instant::now(),
            }),
            closed: AtomicBool::new(false),
            open: AtomicUsize::new(0),
        }
    }

    /// Sends one frame. `false` when nobody listens any more.
    pub fn frame(&self, kind: Kind, id: u32, body: &[u8]) -> bool {
        let Ok(length) = u32::try_from(body.len()) else {
            return false;
        };
        debug_assert!(length <= kind.max_body());
        let header = FrameHeader { length, kind, id }.encode();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            return false;
        }
        inner.last = Instant::now();
        let sent = write_both(&mut inner.writer, &header, body);
        if sent.is_err() {
            self.closed.store(true, Ordering::SeqCst);
        }
        sent.is_ok()
    }

    /// Sends a reply that leaves the request open.
    pub fn part(&self, id: u32, reply: &Reply) -> bool {
        self.frame(reply.kind(), id, &reply.encode_body())
    }

    /// A request was taken.
    pub fn begin(&self) -> usize {
        self.open.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Sends the reply that ends a request. Counted as ended before the client can know, so that it never seems to have
    /// more requests open than it may.
    pub fn end(&self, id: u32, reply: &Reply) -> bool {
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.part(id, reply)
    }

    /// Nobody listens any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Tells the client that the helper is at work, if it is and has been silent for `silence`. A writer that is busy
    /// with the output is sign of life enough.
    pub fn keep_alive(&self, silence: Duration) {
        let silent = match self.inner.try_lock() {
            Ok(inner) => inner.last.elapsed() >= silence,
            Err(_) => false,
        };
        if silent && self.open.load(Ordering::SeqCst) > 0 {
            self.part(0, &Reply::Alive);
        }
    }
}

/// A failure as a reply.
pub fn error_reply(failure: Failure) -> Reply {
    Reply::Error(failure.code, failure.text.into_bytes())
}

/// The reply that ends the connection.
pub fn protocol_reply(text: &str) -> Reply {
    Reply::Error(ErrorCode::Protocol, text.as_bytes().to_vec())
}

fn write_both(writer: &mut impl Write, header: &[u8], body: &[u8]) -> std::io::Result<()> {
    let mut slices = [IoSlice::new(header), IoSlice::new(body)];
    let mut rest: &mut [IoSlice<'_>] = &mut slices;
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match writer.write_vectored(rest) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    writer.flush()
}
