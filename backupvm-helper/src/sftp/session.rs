//! Requests on their way to the server, and their answers, which may come in any order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nacre_wire::ErrorCode;

use super::packet::{Answer, Ask, Attributes, MAX_PACKET, Packet, decode, status};
use crate::failure::Failure;
use crate::far::SshChild;

/// The connection to an SFTP server. All calls may come from several threads at once.
pub(super) struct Session {
    to: Mutex<File>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u32,
    slots: HashMap<u32, Slot>,
    failed: Option<Failure>,
}

enum Slot {
    Waiting,
    /// Nobody will ask for the answer.
    Abandoned,
    Answered(Answer),
}

/// A request that was sent.
pub(super) struct Ticket<'a> {
    session: &'a Session,
    id: u32,
}

impl Session {
    /// Starts the thread that takes the answers.
    pub(super) fn start(ssh: SshChild) -> Result<Arc<Self>, Failure> {
        let (to, mut from, running) = ssh.run()?;
        let session = Arc::new(Self {
            to: Mutex::new(to),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let reader = session.clone();
        std::thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(move || {
                let why = match reader.take_answers(&mut from) {
                    // Nothing that it says can be relied on any more.
                    Ok(why) => why,
                    Err(_) => {
                        let (_, said) = running.end();
                        format!("the connection to the ssh host ended; ssh said: {said}")
                    }
                };
                reader.fail(why);
            })
            .map_err(|error| Failure::new(ErrorCode::Io, format!("start a thread: {error}")))?;
        Ok(session)
    }

    /// Takes answers until the connection ends, or until one makes no sense: then what is wrong with it.
    fn take_answers(&self, from: &mut File) -> std::io::Result<String> {
        let mut body = Vec::new();
        loop {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            if length > MAX_PACKET {
                return Ok("the SFTP server sent a packet that is too large".into());
            }
            body.clear();
            body.resize(length, 0);
            from.read_exact(&mut body)?;
            let (id, answer) = match decode(&body) {
                Ok(decoded) => decoded,
                Err(malformed) => return Ok(malformed.to_string()),
            };
            let mut state = self.lock();
            match state.slots.get_mut(&id) {
                Some(slot @ Slot::Waiting) => *slot = Slot::Answered(answer),
                Some(Slot::Abandoned) => drop(state.slots.remove(&id)),
                _ => return Ok("the SFTP server answered what was not asked".into()),
            }
            self.changed.notify_all();
        }
    }

    fn fail(&self, why: String) {
        let failure = Failure::new(ErrorCode::Unreachable, why);
        self.lock().failed.get_or_insert(failure);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request; `fill` writes its body.
    pub(super) fn send(
        &self,
        ask: Ask,
        fill: impl FnOnce(Packet) -> Packet,
    ) -> Result<Ticket<'_>, Failure> {
        let mut state = self.lock();
        if let Some(failure) = &state.failed {
            return Err(failure.clone());
        }
        state.next = state.next.wrapping_add(1);
        while state.slots.contains_key(&state.next) {
            state.next = state.next.wrapping_add(1);
        }
        let id = state.next;
        state.slots.insert(id, Slot::Waiting);
        drop(state);
        let ticket = Ticket { session: self, id };
        let packet = fill(Packet::new(ask, id)).finish();
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        // That nobody listens is told by the thread that reads, which knows why.
        let _ = to.write_all(&packet);
        Ok(ticket)
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask(
        &self,
        ask: Ask,
        fill: impl FnOnce(Packet) -> Packet,
    ) -> Result<Answer, Failure> {
        self.send(ask, fill)?.wait()
    }

    /// An open file or folder.
    pub(super) fn open(
        &self,
        doing: &str,
        ask: Ask,
        fill: impl FnOnce(Packet) -> Packet,
    ) -> Result<Handle<'_>, Failure> {
        self.send(ask, fill)?.handle(doing)
    }
}

impl<'a> Ticket<'a> {
    /// Waits for the answer.
    pub(super) fn wait(self) -> Result<Answer, Failure> {
        let session = self.session;
        let mut state = session.lock();
        loop {
            if let Some(Slot::Answered(_)) = state.slots.get(&self.id)
                && let Some(Slot::Answered(answer)) = state.slots.remove(&self.id)
            {
                drop(state);
                return Ok(answer);
            }
            if let Some(failure) = &state.failed {
                return Err(failure.clone());
            }
            state = session
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for success.
    pub(super) fn done(self, doing: &str) -> Result<(), Failure> {
        match self.wait()? {
            Answer::Status(status::OK, _) => Ok(()),
            other => Err(refusal(doing, &other)),
        }
    }

    /// Waits for a handle.
    pub(super) fn handle(self, doing: &str) -> Result<Handle<'a>, Failure> {
        let session = self.session;
        match self.wait()? {
            Answer::Handle(bytes) => Ok(Handle {
                session,
                bytes,
                closed: false,
            }),
            other => Err(refusal(doing, &other)),
        }
    }

    /// Waits for attributes; `None` if there is no such file.
    pub(super) fn attributes(self, doing: &str) -> Result<Option<Attributes>, Failure> {
        match self.wait()? {
            Answer::Attributes(attributes) => Ok(Some(attributes)),
            Answer::Status(status::NO_SUCH_FILE, _) => Ok(None),
            other => Err(refusal(doing, &other)),
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        match state.slots.get_mut(&self.id) {
            Some(slot @ Slot::Waiting) => *slot = Slot::Abandoned,
            _ => drop(state.slots.remove(&self.id)),
        }
    }
}

/// An open file or folder over there. Dropping it closes it.
pub(super) struct Handle<'a> {
    session: &'a Session,
    bytes: Vec<u8>,
    closed: bool,
}

impl Handle<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Closes it, and waits until the server has said that this went well.
    pub(super) fn close(mut self) -> Result<(), Failure> {
        self.closed = true;
        let fill = |packet: Packet| packet.string(&self.bytes);
        self.session.send(Ask::Close, fill)?.done("close")
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        if !self.closed {
            let fill = |packet: Packet| packet.string(&self.bytes);
            let _ = self.session.send(Ask::Close, fill);
        }
    }
}

/// What the server said to `doing`, which was not what was hoped for.
pub(super) fn refusal(doing: &str, answer: &Answer) -> Failure {
    let Answer::Status(code, text) = answer else {
        let text = format!("{doing}: the SFTP server gave an answer of another kind");
        return Failure::new(ErrorCode::Io, text);
    };
    let kind = match *code {
        status::NO_SUCH_FILE => ErrorCode::NotFound,
        status::PERMISSION_DENIED => ErrorCode::Refused,
        status::UNSUPPORTED => ErrorCode::Unsupported,
        _ => ErrorCode::Io,
    };
    let said = String::from_utf8_lossy(text);
    Failure::new(kind, format!("{doing}: {said}"))
}
