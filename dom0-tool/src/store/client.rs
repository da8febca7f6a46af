//! The verbs of the store, spoken through the wire.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_wire::limits::{MAX_DATA, MAX_NAMES, MAX_PUTS, MAX_RANGES, MAX_REQUESTS, MAX_RESTORER};
use nacre_wire::{HelloReply, HelloRequest, Kind, Request};

use super::child::{ChildProcess, Ends};
use super::connection::{Answer, Connection, Expect, Limits};
use super::convert::{class_to_wire, from_wire, protocol, ranges_to_wire, to_wire};
use super::gets::get_many;
use super::input::Input;
use super::launch::Launch;
use super::output::Output;
use super::put::WirePut;
use super::reader::{closed, read_all};
use crate::joints::{
    ByteRange, Capabilities, CopyPiece, GetAnswer, Hazards, PutOutcome, PutStream, Store,
    StoreError, StoreErrorKind,
};

/// How long a helper may take to end after `Bye`, when nobody insists.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a helper may take to end after it has refused; longer than it tries to unmount a disk.
const REFUSING: Duration = Duration::from_secs(30);
/// The helper's exit code when input or output failed, unmounting among it.
const HELPER_BROKEN: i32 = 5;
/// Objects of one class that an archive can have: 256 TiB of full packs. A listing that goes on is a trick.
const MAX_LISTED: usize = 4 << 20;
/// Longest inline piece of a copy.
const MAX_INLINE: usize = 1 << 20;

/// The way to the helper and back.
pub(super) struct Link {
    pub connection: Arc<Connection>,
    output: Output,
}

impl Link {
    pub(super) fn send(&self, kind: Kind, id: u32, body: &[u8]) -> Result<(), StoreError> {
        self.output.send(kind, id, body)
    }

    pub(super) fn request(&self, id: u32, request: &Request) -> Result<(), StoreError> {
        self.send(request.kind(), id, &request.encode_body())
    }

    /// Sends a request and waits for its answer.
    fn ask(
        &self,
        object: Option<ObjectName>,
        request: &Request,
        expect: Expect,
    ) -> Result<Answer, StoreError> {
        let id = self.connection.enter(object, expect)?;
        if let Err(error) = self.request(id, request) {
            self.connection.abandon(id);
            return Err(error);
        }
        self.connection.answer(id)
    }

    fn ask_done(&self, object: Option<ObjectName>, request: &Request) -> Result<(), StoreError> {
        match self.ask(object, request, Expect::Done)? {
            Answer::Done => Ok(()),
            _ => Err(wrong_answer()),
        }
    }
}

pub(super) fn wrong_answer() -> StoreError {
    protocol("an answer of the wrong kind")
}

/// A store behind a child process. Dropping it says goodbye, waits a little, and kills.
pub struct Client {
    link: Arc<Link>,
    child: Arc<ChildProcess>,
    reader: Mutex<Option<JoinHandle<()>>>,
    hello: HelloReply,
    punch: OnceLock<bool>,
}

impl Client {
    pub(super) fn open(launch: &Launch, hello: &HelloRequest) -> Result<Self, StoreError> {
        keep_freed_memory();
        let (child, ends) = ChildProcess::start(launch)?;
        let child = Arc::new(child);
        let connection = Arc::new(Connection::new(launch.patience));
        let (link, reader) = connect(ends, &connection, &child, launch.limit)?;
        let mut client = Self {
            link,
            child,
            reader: Mutex::new(Some(reader)),
            hello: NO_HELLO,
            punch: OnceLock::new(),
        };
        client.hello = client
            .say_hello(hello)
            .map_err(|error| client.after_refusal(error))?;
        if !client.hello.facts.punch_possible {
            let _ = client.punch.set(false);
        }
        Ok(client)
    }

    fn say_hello(&self, hello: &HelloRequest) -> Result<HelloReply, StoreError> {
        let body = hello.encode().ok_or_else(|| {
            let detail = "the archive's path is too long";
            StoreError::new(StoreErrorKind::NoArchive, None, detail)
        })?;
        let connection = &self.link.connection;
        let id = connection.enter(None, Expect::Hello)?;
        self.link.send(Kind::Hello, id, &body)?;
        let Answer::Hello(reply) = connection.answer(id)? else {
            return Err(wrong_answer());
        };
        if reply.version < hello.lowest || reply.version > hello.highest {
            return Err(protocol("a version that was not offered"));
        }
        // What the other side allows, within what we would ever use.
        connection.lock().limits = Limits {
            puts: reply.max_puts.min(MAX_PUTS) as usize,
            requests: reply.max_requests.min(MAX_REQUESTS) as usize,
            put_window: reply.put_window.min(64 * MAX_DATA),
        };
        connection.notify();
        Ok(reply)
    }

    /// A helper that refuses ends by itself. By its exit code one that had mounted a disk says whether it still is: then it is not the
    /// refusal that counts.
    fn after_refusal(&self, error: StoreError) -> StoreError {
        if matches!(
            error.kind,
            StoreErrorKind::Died | StoreErrorKind::TimedOut | StoreErrorKind::Protocol
        ) {
            return error;
        }
        self.link.output.close();
        let status = self.child.wait(REFUSING);
        if status.is_some_and(|status| status.code() != Some(HELPER_BROKEN)) {
            return error;
        }
        let end = self.child.obituary();
        let detail = format!("{}; then {}", error.detail, end.detail);
        StoreError::new(StoreErrorKind::Died, None, detail)
    }

    /// Says goodbye and waits until the helper has ended well, which for a mounted disk means that it is unmounted.
    pub fn close(self, patience: Duration) -> Result<(), StoreError> {
        self.finish(patience)
    }

    /// `None`: the helper could not tell.
    fn try_to_punch(&self) -> Option<bool> {
        let answer = match self.link.ask(None, &Request::ProbePunch, Expect::Flag) {
            Ok(Answer::Flag(answer)) => answer,
            Err(error) if error.kind == StoreErrorKind::Unsupported => false,
            _ => return None,
        };
        Some(*self.punch.get_or_init(|| answer))
    }

    fn say_goodbye(&self, deadline: Instant) -> Result<(), StoreError> {
        let connection = &self.link.connection;
        let id = connection.enter(None, Expect::Done)?;
        self.link.request(id, &Request::Bye)?;
        connection.answer_by(id, Some(deadline)).map(drop)
    }

    /// The same where others still hold the client: whatever they ask of it from now on fails. Nothing at the second time.
    pub fn finish(&self, patience: Duration) -> Result<(), StoreError> {
        let reader = self
            .reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(reader) = reader else { return Ok(()) };
        let said = self.say_goodbye(Instant::now() + patience);
        self.link.output.close();
        let status = said.is_ok().then(|| self.child.wait(patience)).flatten();
        self.link.connection.fail(closed());
        self.child.kill();
        let _ = reader.join();
        said?;
        match status {
            Some(status) if status.success() => Ok(()),
            _ => Err(self.child.obituary()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.finish(FAREWELL);
    }
}

/// Makes glibc keep what was freed for what is read next. By default it returns the top of its heap above 128 KiB to the
/// kernel and takes large blocks from there afresh; then a read costs a page fault and a page of zeros for every 4 KiB,
/// which was measured as three quarters of its time. Freeing one large block raises both thresholds (mallopt(3),
/// M_MMAP_THRESHOLD); 32 MiB is the most that counts. Other allocators lose nothing by it.
fn keep_freed_memory() {
    const MOST: usize = (32 << 20) - (16 << 10);
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(std::hint::black_box(vec![0_u8; MOST])));
}

/// Before the other side has answered.
const NO_HELLO: HelloReply = HelloReply {
    version: 0,
    facts: nacre_wire::Facts {
        punch_possible: false,
        append_only: false,
        single_writer: false,
        landlock: false,
        seccomp: false,
        unsynced: false,
    },
    put_window: 0,
    max_puts: 0,
    max_requests: 0,
};

fn connect(
    ends: Ends,
    connection: &Arc<Connection>,
    child: &Arc<ChildProcess>,
    limit: Option<NonZeroU64>,
) -> Result<(Arc<Link>, JoinHandle<()>), StoreError> {
    let input = Input::new(ends.from_child, connection.clone());
    let (shared, process) = (connection.clone(), child.clone());
    let reader = std::thread::Builder::new()
        .name("store-reader".into())
        .spawn(move || read_all(input, &shared, &process))
        .map_err(|error| StoreError::new(StoreErrorKind::Died, None, error.to_string()))?;
    let link = Link {
        connection: connection.clone(),
        output: Output::new(ends.to_child, connection.clone(), limit),
    };
    Ok((Arc::new(link), reader))
}

impl Store for Client {
    fn capabilities(&self) -> Capabilities {
        let facts = self.hello.facts;
        // Trying out takes the helper a moment, so it is done when somebody first asks, and once an answer has come not again.
        let punch = self.punch.get().copied().or_else(|| self.try_to_punch());
        Capabilities {
            punch: punch == Some(true),
            untried: punch.is_none(),
            append_only: facts.append_only,
            single_writer: facts.single_writer,
            confined: facts.landlock,
            unsynced: facts.unsynced,
        }
    }

    fn hazards(&self) -> Hazards {
        Hazards {
            single_writer: self.hello.facts.single_writer,
            unsynced: self.hello.facts.unsynced,
        }
    }

    fn put_new(&self, name: ObjectName) -> Result<Box<dyn PutStream + '_>, StoreError> {
        Ok(Box::new(WirePut::begin(&self.link, name)?))
    }

    fn get(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, StoreError> {
        let wanted = [(name, ranges.to_vec())];
        let answer = get_many(&self.link, &wanted).pop();
        answer.unwrap_or_else(|| Err(closed()))
    }

    fn get_many(&self, wanted: &[(ObjectName, Vec<ByteRange>)]) -> Vec<GetAnswer> {
        get_many(&self.link, wanted)
    }

    fn stat(&self, name: ObjectName) -> Result<Option<u64>, StoreError> {
        let request = Request::Stat(to_wire(name)?);
        match self.link.ask(Some(name), &request, Expect::Size)? {
            Answer::Size(size) => Ok(size),
            _ => Err(wrong_answer()),
        }
    }

    fn list(
        &self,
        class: ObjectClass,
        each: &mut dyn FnMut(ObjectName, u64),
    ) -> Result<(), StoreError> {
        let class = class_to_wire(class);
        let connection = &self.link.connection;
        let expect = Expect::List {
            class,
            entries: Vec::new(),
        };
        let id = connection.enter(None, expect)?;
        let _forget = Abandon(connection, id);
        self.link.request(id, &Request::List(class))?;
        let mut count = 0;
        loop {
            let (entries, ended) = next_entries(connection, id)?;
            count += entries.len();
            if count > MAX_LISTED {
                let error = protocol("a listing that does not end");
                connection.fail(error.clone());
                return Err(error);
            }
            for entry in entries {
                each(from_wire(entry.name)?, entry.size);
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        for some in names.chunks(MAX_NAMES) {
            let wire_names = some
                .iter()
                .map(|name| to_wire(*name))
                .collect::<Result<_, _>>()?;
            let object = some.first().copied().filter(|_| some.len() == 1);
            self.link.ask_done(object, &Request::Delete(wire_names))?;
        }
        Ok(())
    }

    fn punch(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<(), StoreError> {
        for some in ranges.chunks(MAX_RANGES) {
            let request = Request::Punch(to_wire(name)?, ranges_to_wire(name, some)?);
            self.link.ask_done(Some(name), &request)?;
        }
        Ok(())
    }

    fn copy(&self, name: ObjectName, pieces: &[CopyPiece]) -> Result<PutOutcome, StoreError> {
        let mut put = Box::new(WirePut::begin(&self.link, name)?);
        let mut rest = pieces;
        while let Some(first) = rest.first() {
            match first {
                CopyPiece::Range(from, _) => {
                    // Ranges of the same object travel together.
                    let ranges: Vec<_> = rest
                        .iter()
                        .map_while(|piece| match piece {
                            CopyPiece::Range(same, range) if same == from => Some(*range),
                            _ => None,
                        })
                        .collect();
                    put.copy(to_wire(*from)?, &ranges_to_wire(*from, &ranges)?)?;
                    rest = rest.get(ranges.len()..).unwrap_or(&[]);
                }
                CopyPiece::Inline(bytes) if bytes.len() > MAX_INLINE => {
                    let detail = "an inline piece of a copy is too large";
                    let kind = StoreErrorKind::TooLarge;
                    return Err(StoreError::new(kind, Some(name), detail));
                }
                CopyPiece::Inline(bytes) => {
                    put.write(bytes)?;
                    rest = rest.get(1..).unwrap_or(&[]);
                }
            }
        }
        put.finish()?.wait()
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.link.ask_done(None, &Request::Barrier)
    }

    fn leave_restorer(&self, mark: u32, text: &[u8]) -> Result<(), StoreError> {
        if text.len() > MAX_RESTORER {
            let detail = "the script that restores is too long";
            return Err(StoreError::new(StoreErrorKind::TooLarge, None, detail));
        }
        let text = text.to_vec();
        self.link
            .ask_done(None, &Request::LeaveRestorer { mark, text })
    }

    fn free_space(&self) -> Result<u64, StoreError> {
        match self.link.ask(None, &Request::FreeSpace, Expect::Bytes)? {
            Answer::Bytes(bytes) => Ok(bytes),
            _ => Err(wrong_answer()),
        }
    }
}

/// Gives a request up when it goes out of scope.
struct Abandon<'a>(&'a Connection, u32);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.abandon(self.1);
    }
}

/// Waits for more of a listing; `true` with the last of it.
fn next_entries(
    connection: &Connection,
    id: u32,
) -> Result<(Vec<nacre_wire::ListEntry>, bool), StoreError> {
    let mut state = connection.lock();
    loop {
        let slot = state.slots.get_mut(&id).ok_or_else(closed)?;
        let ended = match &slot.result {
            Some(Err(error)) => return Err(error.clone()),
            Some(Ok(_)) => true,
            None => false,
        };
        if let Expect::List { entries, .. } = &mut slot.expect
            && (ended || !entries.is_empty())
        {
            let entries = std::mem::take(entries);
            connection.notify();
            return Ok((entries, ended));
        }
        state.check(None)?;
        state = connection.wait(state);
    }
}
