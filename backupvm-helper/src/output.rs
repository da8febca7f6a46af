//! The way to the client: whole frames, one at a time, from any thread.

use std::io::{IoSlice, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nacre_wire::{ErrorCode, FrameHeader, Kind, Reply};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use crate::failure::Failure;

/// Frames to the client.
pub struct Output<W> {
    inner: Mutex<Inner<W>>,
    closed: AtomicBool,
    /// Requests taken and not yet answered.
    open: AtomicUsize,
    /// Those of them that wait for the client.
    waiting: AtomicUsize,
}

struct Inner<W> {
    writer: W,
    last: Instant,
    /// The writer's own pipe, if it is one.
    pipe: Option<OwnedFd>,
    /// For files where the output is no pipe.
    scratch: Vec<u8>,
}

impl<W: Write> Output<W> {
    /// Frames are written to `writer`. `pipe` is the same pipe once more, if it is one: then the kernel moves file
    /// content into it without a copy here.
    pub fn new(writer: W, pipe: Option<OwnedFd>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                writer,
                last: Instant::now(),
                pipe,
                scratch: Vec::new(),
            }),
            closed: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The writer itself, for one who hands on what others have framed.
    pub fn into_writer(self) -> W {
        let inner = self.inner.into_inner();
        inner.unwrap_or_else(PoisonError::into_inner).writer
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

    /// Sends a `GetData` frame of `length` bytes of a file. `Ok(false)` when nobody listens any more.
    ///
    /// # Errors
    /// The frame was sent, but not all of it are the file's bytes, which could not be read.
    pub fn file(
        &self,
        id: u32,
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
    ) -> Result<bool, Failure> {
        let header = FrameHeader {
            length: u32::try_from(length).unwrap_or(0),
            kind: Kind::GetData,
            id,
        };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            return Ok(false);
        }
        inner.last = Instant::now();
        let sent = inner.send_file(&header.encode(), file, offset, length);
        match sent {
            Ok(()) => Ok(true),
            Err(Unsent::Output) => {
                self.closed.store(true, Ordering::SeqCst);
                Ok(false)
            }
            Err(Unsent::Read(failure)) => Err(failure),
        }
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

    /// Waits for something of the client that an open request needs. Nobody is at work on that request meanwhile: a client whose bytes do
    /// not arrive here must not be told otherwise, or it would wait for us.
    pub fn wait_for_client<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let come = wait();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        come
    }

    /// Whether a request is open that does not wait for the client.
    pub fn is_at_work(&self) -> bool {
        self.open.load(Ordering::SeqCst) > self.waiting.load(Ordering::SeqCst)
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
        if silent && self.is_at_work() {
            self.part(0, &Reply::Alive);
        }
    }
}

impl<W: Write> Inner<W> {
    fn send_file(
        &mut self,
        header: &[u8],
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
    ) -> Result<(), Unsent> {
        let Some(pipe) = &self.pipe else {
            return self.send_read(header, file, offset, length);
        };
        write_both(&mut self.writer, header, &[])?;
        let moved = splice_all(file, pipe, offset, length);
        if moved == length {
            return Ok(());
        }
        // Some file systems cannot splice; and a bad sector shall be reported as what it is.
        self.send_read(&[], file, offset + moved as u64, length - moved)
    }

    /// Sends a header and bytes of a file by way of our memory. Where the file cannot be read zeros are sent: the
    /// header has promised so many bytes, and an error follows them.
    fn send_read(
        &mut self,
        header: &[u8],
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
    ) -> Result<(), Unsent> {
        self.scratch.clear();
        self.scratch.resize(length, 0);
        let read = read_exact(file, &mut self.scratch, offset);
        write_both(&mut self.writer, header, &self.scratch)?;
        read.map_err(Unsent::Read)
    }
}

/// Why a piece of a file was not sent as it should be.
enum Unsent {
    /// Nobody listens.
    Output,
    /// The file could not be read.
    Read(Failure),
}

impl From<std::io::Error> for Unsent {
    fn from(_: std::io::Error) -> Self {
        Self::Output
    }
}

/// Moves bytes of a file into the pipe; how many, if not all could be.
fn splice_all(file: BorrowedFd<'_>, pipe: &OwnedFd, offset: u64, length: usize) -> usize {
    let mut at = offset;
    let mut moved = 0;
    while moved < length {
        let (rest, flags) = (length - moved, SpliceFlags::empty());
        match rustix::pipe::splice(file, Some(&mut at), pipe, None, rest, flags) {
            Ok(0) => break,
            Ok(count) => moved += count,
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    moved
}

fn read_exact(file: BorrowedFd<'_>, room: &mut [u8], offset: u64) -> Result<(), Failure> {
    let (mut offset, mut room) = (offset, room);
    while !room.is_empty() {
        match rustix::io::pread(file, &mut *room, offset) {
            Ok(0) => return Err(Failure::new(ErrorCode::Io, "the object became shorter")),
            Ok(read) => {
                offset += read as u64;
                room = room.get_mut(read..).unwrap_or(&mut []);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::kernel("read", errno)),
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_and_silent_helper_says_that_it_is_alive() {
        let output = Output::new(Vec::new(), None);
        output.keep_alive(Duration::ZERO);
        output.begin();
        output.keep_alive(Duration::from_secs(60));
        assert_eq!(
            output.inner.lock().unwrap().writer,
            b"",
            "idle, or not silent for long"
        );
        output.keep_alive(Duration::ZERO);
        let alive = nacre_wire::encode_frame(Kind::Alive, 0, b"").unwrap();
        assert_eq!(output.inner.lock().unwrap().writer, alive);
        output.end(1, &Reply::Done);
        let before = output.inner.lock().unwrap().writer.len();
        output.keep_alive(Duration::ZERO);
        assert_eq!(
            output.inner.lock().unwrap().writer.len(),
            before,
            "idle again"
        );
    }

    #[test]
    fn an_unreadable_piece_is_filled_up_and_told() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10).unwrap();
        let output = Output::new(Vec::new(), None);
        let failure = output
            .file(7, std::os::fd::AsFd::as_fd(&file), 5, 20)
            .unwrap_err();
        assert_eq!(failure.code, ErrorCode::Io);
        let sent = output.inner.lock().unwrap().writer.len();
        assert_eq!(
            sent,
            nacre_wire::limits::HEADER_LEN + 20,
            "the frame is as long as promised"
        );
    }
}
