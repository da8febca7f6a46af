//! The server: `Hello`, confinement, then frames until `Bye` or the end of the input.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nacre_wire::limits::{ALIVE_SECONDS, HEADER_LEN, MAX_PUTS, MAX_REQUESTS, PUT_WINDOW};
use nacre_wire::{
    ErrorCode, FrameHeader, HelloReply, HelloRequest, Kind, Locator, Malformed, Reply, Request,
    VERSION_HIGHEST, VERSION_LOWEST, negotiate,
};

use crate::args::Options;
use crate::backend::Backend;
use crate::buffer::{Buffer, Pool};
use crate::confine;
use crate::directory::Directory;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::far::{self, Far, Relay};
use crate::lane::{FreeLanes, Shared, Step, run_lane};
use crate::output::{Output, error_reply, protocol_reply};
use crate::sftp::Sftp;
use crate::worker::run_worker;

/// Threads that carry out requests other than puts.
const WORKERS: usize = 3;
/// Buffers for puts. Each put holds at most one that is being filled; the others are on their way to the disk.
const BUFFERS: usize = 2 * MAX_PUTS as usize;
/// Steps of one put that may wait in its lane; more make the input wait.
const LANE_QUEUE: usize = 16;
/// Stack of the threads: they keep their buffers elsewhere.
const STACK: usize = 256 * 1024;

/// Why the input ended.
pub(crate) enum End {
    Bye(u32),
    Input,
    Broken(String),
    Protocol(String),
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Self::Input
        } else {
            Self::Broken(format!("reading from the client: {error}"))
        }
    }
}

impl From<Malformed> for End {
    fn from(malformed: Malformed) -> Self {
        Self::Protocol(malformed.to_string())
    }
}

/// Serves one client. `pipe` is `output` once more, if that is a pipe. The text, if any, is for stderr.
pub fn serve(
    mut input: impl Read + Send,
    output: impl Write + Send,
    pipe: Option<OwnedFd>,
    options: &Options,
) -> (Exit, Option<String>) {
    let output = Output::new(output, pipe);
    let (id, hello) = match read_hello(&mut input) {
        Ok(hello) => hello,
        Err(end) => return finish(&output, end),
    };
    let opened = open(&hello, id, options);
    let (version, place, landlock) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            output.part(id, &error_reply(failure));
            return (Exit::Refused, None);
        }
    };
    let backend: Box<dyn Backend> = match place {
        Place::Directory(directory) => Box::new(directory),
        Place::Sftp(sftp) => Box::new(sftp),
        Place::Helper(relay) => {
            return relay.run(id, input, output.into_writer(), options.confine);
        }
    };
    let end = serve_backend(input, &output, backend.as_ref(), options, |seccomp| {
        let mut facts = backend.facts();
        facts.landlock = landlock;
        facts.seccomp = seccomp;
        let reply = HelloReply {
            version,
            facts,
            put_window: PUT_WINDOW,
            max_puts: MAX_PUTS,
            max_requests: MAX_REQUESTS,
        };
        output.frame(Kind::HelloOk, id, &reply.encode());
    });
    finish(&output, end)
}

/// Tells the client, where it still can be told, why the connection ends.
fn finish<W: Write>(output: &Output<W>, end: End) -> (Exit, Option<String>) {
    match end {
        End::Bye(id) => {
            output.part(id, &Reply::Done);
            (Exit::Done, None)
        }
        End::Input => (Exit::Cut, None),
        End::Broken(text) => (Exit::Broken, Some(text)),
        End::Protocol(text) => {
            output.part(0, &protocol_reply(&text));
            (Exit::Protocol, Some(text))
        }
    }
}

pub(crate) fn read_hello(input: &mut impl Read) -> Result<(u32, HelloRequest), End> {
    let header = read_header(input)?;
    if header.kind != Kind::Hello {
        return Err(Malformed("the first frame is not a hello").into());
    }
    let body = read_body(input, header.length)?;
    Ok((header.id, HelloRequest::decode(&body)?))
}

/// What is served.
enum Place {
    Directory(Directory),
    Sftp(Sftp),
    Helper(Relay),
}

/// Agrees on a version, opens the place and confines the process to it; whether Landlock does.
fn open(hello: &HelloRequest, id: u32, options: &Options) -> Result<(u16, Place, bool), Failure> {
    let own = (VERSION_LOWEST, VERSION_HIGHEST);
    let version = negotiate((hello.lowest, hello.highest), own).ok_or_else(|| {
        let code = if hello.lowest > own.1 {
            ErrorCode::HelperTooOld
        } else {
            ErrorCode::ClientTooOld
        };
        let text = format!(
            "this helper speaks protocol versions {} to {}, the client {} to {}",
            own.0, own.1, hello.lowest, hello.highest
        );
        Failure::new(code, text)
    })?;
    let path = match &hello.locator {
        Locator::Directory { path } => path,
        Locator::Ssh { .. } if options.ssh => {
            return far::open(hello, id, options).map(|(far, landlock)| {
                let place = match far {
                    Far::Helper(relay) => Place::Helper(relay),
                    Far::Sftp(sftp) => Place::Sftp(sftp),
                };
                (version, place, landlock)
            });
        }
        Locator::Ssh { .. } => {
            let text = "this helper was not started to serve ssh hosts";
            return Err(Failure::new(ErrorCode::Unsupported, text));
        }
        Locator::Usb { .. } => {
            let text = "this helper was not started to serve disks";
            return Err(Failure::new(ErrorCode::Unsupported, text));
        }
    };
    let directory = Directory::open(path, hello.create, options)?;
    let landlock = options.confine && {
        confine::confine_limits()?;
        confine::confine_files(directory.root())?
    };
    Ok((version, Place::Directory(directory), landlock))
}

/// Starts the threads, closes the door behind them, says hello and takes requests.
fn serve_backend<W: Write + Send>(
    mut input: impl Read,
    output: &Output<W>,
    backend: &dyn Backend,
    options: &Options,
    say_hello: impl FnOnce(bool),
) -> End {
    let pool = Pool::new(BUFFERS);
    let free = FreeLanes::new(MAX_PUTS as usize);
    let shared = Shared {
        backend,
        output,
        pool: &pool,
        free: &free,
    };
    let (jobs, queue) = channel();
    let queue = Mutex::new(queue);
    let (lanes, steps): (Vec<_>, Vec<_>) = (0..MAX_PUTS).map(|_| sync_channel(LANE_QUEUE)).unzip();
    let (stop, stopped) = channel::<()>();
    std::thread::scope(|scope| {
        let started = (|| {
            let thread = || std::thread::Builder::new().stack_size(STACK);
            for _ in 0..WORKERS {
                thread().spawn_scoped(scope, || run_worker(backend, output, &queue))?;
            }
            for (number, steps) in steps.into_iter().enumerate() {
                let shared = &shared;
                thread().spawn_scoped(scope, move || run_lane(shared, number, &steps))?;
            }
            thread().spawn_scoped(scope, move || keep_alive(output, &stopped))?;
            Ok::<_, std::io::Error>(())
        })();
        let end = match started {
            Ok(()) => {
                say_hello(options.confine && confine::confine_syscalls());
                let mut taker = Taker {
                    output,
                    pool: &pool,
                    free: &free,
                    lanes,
                    jobs,
                    puts: HashMap::new(),
                };
                let end = taker.take_all(&mut input);
                // Dropping the taker ends the queues, and with them the threads; unfinished puts leave nothing.
                end.unwrap_or_else(|end| end)
            }
            Err(error) => End::Broken(format!("starting threads: {error}")),
        };
        drop(stop);
        end
    })
}

fn keep_alive<W: Write>(output: &Output<W>, stopped: &Receiver<()>) {
    let silence = Duration::from_secs(ALIVE_SECONDS);
    while stopped.recv_timeout(silence / 4) == Err(RecvTimeoutError::Timeout) {
        output.keep_alive(silence);
    }
}

/// A put whose steps still come in.
struct OpenPut {
    lane: usize,
    credit: Arc<AtomicU32>,
    filling: Option<Buffer>,
}

/// Takes frames from the input and hands them to lanes and workers.
struct Taker<'a, W> {
    output: &'a Output<W>,
    pool: &'a Pool,
    free: &'a FreeLanes,
    lanes: Vec<SyncSender<Step>>,
    jobs: Sender<(u32, Request)>,
    puts: HashMap<u32, OpenPut>,
}

impl<W: Write> Taker<'_, W> {
    fn take_all(&mut self, input: &mut impl Read) -> Result<End, End> {
        loop {
            if self.output.is_closed() {
                return Err(End::Broken("the client does not listen any more".into()));
            }
            let header = read_header(input)?;
            if header.kind == Kind::PutData {
                self.take_data(input, header)?;
                continue;
            }
            let body = read_body(input, header.length)?;
            match Request::decode(header.kind, &body)? {
                None => self.refuse_unknown(header.id),
                Some(Request::Bye) => return Ok(End::Bye(header.id)),
                Some(request) => self.take_request(header, request)?,
            }
        }
    }

    fn refuse_unknown(&self, id: u32) {
        let text = "this helper is too old for the request";
        let failure = Failure::new(ErrorCode::Unsupported, text);
        self.output.part(id, &error_reply(failure));
    }

    fn take_request(&mut self, header: FrameHeader, request: Request) -> Result<(), End> {
        let id = header.id;
        match request {
            Request::PutBegin(name) => {
                if self.puts.len() >= MAX_PUTS as usize {
                    return Err(Malformed("too many objects are being sent at once").into());
                }
                if self.puts.contains_key(&id) {
                    return Err(Malformed("two requests have the same number").into());
                }
                self.output.begin();
                // Fewer than MAX_PUTS are open here, so a lane is free or about to be.
                let lane = self.free.take();
                let credit = Arc::new(AtomicU32::new(PUT_WINDOW));
                self.send(lane, Step::Begin(id, name, credit.clone()))?;
                let put = OpenPut {
                    lane,
                    credit,
                    filling: None,
                };
                self.puts.insert(id, put);
                Ok(())
            }
            Request::PutCopy(from, ranges) => {
                let lane = self.spend(header)?;
                self.flush(id)?;
                self.send(lane, Step::Copy(from, ranges, header.length))
            }
            Request::PutFinish(length) => {
                self.flush(id)?;
                let put = self.puts.remove(&id).ok_or(UNKNOWN_PUT)?;
                self.send(put.lane, Step::Finish(length))
            }
            Request::PutAbort => {
                let put = self.puts.remove(&id).ok_or(UNKNOWN_PUT)?;
                if let Some(buffer) = put.filling {
                    self.pool.give(buffer);
                }
                self.send(put.lane, Step::Abort)
            }
            other => {
                // Open puts count as well, which leaves the client what it was promised.
                if self.output.begin() > (MAX_REQUESTS + MAX_PUTS) as usize {
                    return Err(Malformed("too many requests are open").into());
                }
                self.jobs.send((id, other)).map_err(|_| LOST.into())
            }
        }
    }

    /// Counts a body against its put's credit; the put's lane.
    fn spend(&self, header: FrameHeader) -> Result<usize, End> {
        let put = self.puts.get(&header.id).ok_or(UNKNOWN_PUT)?;
        let spend = |credit: u32| credit.checked_sub(header.length);
        put.credit
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend)
            .map_err(|_| Malformed("more was sent than granted"))?;
        Ok(put.lane)
    }

    /// Reads an object's bytes straight into the buffer from which they are written.
    fn take_data(&mut self, input: &mut impl Read, header: FrameHeader) -> Result<(), End> {
        let lane = self.spend(header)?;
        let mut rest = header.length as usize;
        while rest > 0 {
            let put = self.puts.get_mut(&header.id).ok_or(UNKNOWN_PUT)?;
            let buffer = put.filling.get_or_insert_with(|| self.pool.take());
            let room = buffer.room();
            let length = rest.min(room.len());
            input.read_exact(room.get_mut(..length).unwrap_or(&mut []))?;
            buffer.advance(length);
            rest -= length;
            if buffer.is_full() {
                let full = put.filling.take();
                full.map_or(Ok(()), |full| self.send(lane, Step::Data(full)))?;
            }
        }
        Ok(())
    }

    /// Hands on what has gathered in the put's buffer.
    fn flush(&mut self, id: u32) -> Result<(), End> {
        let put = self.puts.get_mut(&id).ok_or(UNKNOWN_PUT)?;
        let (lane, filling) = (put.lane, put.filling.take());
        filling.map_or(Ok(()), |buffer| self.send(lane, Step::Data(buffer)))
    }

    fn send(&self, lane: usize, step: Step) -> Result<(), End> {
        let sender = self.lanes.get(lane).ok_or(LOST)?;
        sender.send(step).map_err(|_| LOST.into())
    }
}

const UNKNOWN_PUT: Malformed = Malformed("a step belongs to no open put");
const LOST: Malformed = Malformed("a thread of the helper is gone");

fn read_header(input: &mut impl Read) -> Result<FrameHeader, End> {
    let mut header = [0; HEADER_LEN];
    input.read_exact(&mut header)?;
    Ok(FrameHeader::decode(&header)?)
}

/// Reads a body whose length the header's decoder has checked.
fn read_body(input: &mut impl Read, length: u32) -> Result<Vec<u8>, End> {
    let mut body = vec![0; length as usize];
    input.read_exact(&mut body)?;
    Ok(body)
}
