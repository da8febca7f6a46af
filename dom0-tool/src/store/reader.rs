//! The thread that reads what comes from the child and hands it to those who wait.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::time::Instant;

use nacre_wire::limits::HEADER_LEN;
use nacre_wire::{ErrorCode, FrameHeader, HelloReply, Kind, ListEntry, Reply};

use super::child::ChildProcess;
use super::connection::{Answer, Connection, Expect, State};
use super::convert::{malformed, protocol, reported};
use super::input::Input;
use crate::joints::{StoreError, StoreErrorKind};

/// Small frames share a read; the bodies of large ones go around this buffer.
const SMALL: usize = 4096;
/// Entries of a listing that may wait for their caller (7 MiB); more make the reader wait.
const LIST_AHEAD: usize = 1 << 17;

/// Why reading ended.
enum End {
    Io(io::Error),
    Wrong(StoreError),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Wrong(error)
    }
}

/// Reads until the end, then fails the connection with the reason.
pub(super) fn read_all(input: Input, connection: &Connection, child: &Arc<ChildProcess>) {
    let mut input = BufReader::with_capacity(SMALL, input);
    let end = loop {
        if let Err(end) = read_frame(&mut input, connection) {
            break end;
        }
    };
    let error = match end {
        End::Wrong(error) => {
            child.kill();
            error
        }
        End::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            // `Input` has entered the reason, or somebody else has.
            child.kill();
            closed()
        }
        // The end of the child's output: it has ended, or will.
        End::Io(_) => {
            let error = child.obituary();
            child.kill();
            error
        }
    };
    connection.fail(error);
}

fn read_frame(input: &mut BufReader<Input>, connection: &Connection) -> Result<(), End> {
    let mut header = [0; HEADER_LEN];
    input.read_exact(&mut header)?;
    let header = FrameHeader::decode(&header).map_err(malformed)?;
    if header.kind == Kind::GetData {
        return read_data(input, connection, header);
    }
    let mut body = vec![0; header.length as usize];
    input.read_exact(&mut body)?;
    if header.kind == Kind::HelloOk {
        let reply = HelloReply::decode(&body).map_err(malformed)?;
        return Ok(take_hello(connection, header.id, reply)?);
    }
    let reply = Reply::decode(header.kind, &body).map_err(malformed)?;
    match reply {
        Reply::Alive => Ok(()),
        Reply::Error(code, text) if header.id == 0 => Err(last_words(code, &text).into()),
        Reply::ListPart(entries) => Ok(take_entries(connection, header.id, entries)?),
        reply => Ok(take_reply(connection, header.id, reply)?),
    }
}

/// Why the other side ends the connection. What it says of objects, or of its disk, is of none in particular: taken as that of each that is waited for, it
/// would look as if all of them were damaged.
fn last_words(code: ErrorCode, text: &[u8]) -> StoreError {
    let error = reported(code, text, None);
    match error.kind {
        StoreErrorKind::NotFound | StoreErrorKind::OutOfRange | StoreErrorKind::Io => StoreError {
            detail: format!("its last words: {error}"),
            kind: StoreErrorKind::Died,
            object: None,
        },
        _ => error,
    }
}

fn unexpected() -> StoreError {
    protocol("an answer that nobody waits for")
}

fn take_hello(connection: &Connection, id: u32, reply: HelloReply) -> Result<(), StoreError> {
    let mut state = connection.lock();
    let slot = state.slots.get(&id).ok_or_else(unexpected)?;
    if slot.result.is_some() || !matches!(slot.expect, Expect::Hello) {
        return Err(unexpected());
    }
    state.conclude(id, Ok(Answer::Hello(reply)));
    connection.notify();
    Ok(())
}

/// Reads an object's bytes straight into the buffers of the caller.
fn read_data(
    input: &mut BufReader<Input>,
    connection: &Connection,
    header: FrameHeader,
) -> Result<(), End> {
    let mut rest = header.length as usize;
    if rest == 0 {
        return Err(protocol("an empty piece of an object").into());
    }
    while rest > 0 {
        // The buffer leaves the shared state while it is being filled: reading may block.
        let (index, start, mut buffer) = lend_buffer(&mut connection.lock(), header.id)?;
        let room = buffer.get_mut(start..).unwrap_or(&mut []);
        let length = room.len().min(rest);
        input.read_exact(room.get_mut(..length).unwrap_or(&mut []))?;
        rest -= length;
        let mut state = connection.lock();
        state.mark_progress();
        if let Some(slot) = state.slots.get_mut(&header.id)
            && let Expect::Get(gathering) = &mut slot.expect
            && let Some(place) = gathering.buffers.get_mut(index)
        {
            *place = buffer;
            gathering.at = (index, start + length);
        }
    }
    Ok(())
}

/// The buffer that is next to be filled, and from where.
fn lend_buffer(state: &mut State, id: u32) -> Result<(usize, usize, Vec<u8>), StoreError> {
    let slot = state.slots.get_mut(&id).ok_or_else(unexpected)?;
    let Expect::Get(gathering) = &mut slot.expect else {
        return Err(unexpected());
    };
    if slot.result.is_some() {
        return Err(unexpected());
    }
    let (mut index, mut start) = gathering.at;
    loop {
        let buffer = gathering
            .buffers
            .get_mut(index)
            .ok_or_else(|| protocol("more bytes than were asked for"))?;
        if start < buffer.len() {
            return Ok((index, start, std::mem::take(buffer)));
        }
        (index, start) = (index + 1, 0);
    }
}

fn take_entries(connection: &Connection, id: u32, new: Vec<ListEntry>) -> Result<(), StoreError> {
    let deadline = Instant::now() + connection.patience.silence;
    let mut state = connection.lock();
    loop {
        state.mark_progress();
        let slot = state.slots.get_mut(&id).ok_or_else(unexpected)?;
        let abandoned = slot.abandoned;
        let Expect::List { class, entries } = &mut slot.expect else {
            return Err(unexpected());
        };
        if slot.result.is_some() || new.iter().any(|entry| entry.name.class() != *class) {
            return Err(protocol("a listing has names that were not asked for"));
        }
        if abandoned {
            return Ok(());
        }
        if entries.len() < LIST_AHEAD {
            entries.extend(new);
            connection.notify();
            return Ok(());
        }
        state.check(None)?;
        let now = Instant::now();
        if now >= deadline {
            // Ours, not theirs: but waiting for ever would hide it.
            let detail = "a listing was asked for and not taken";
            return Err(StoreError::new(StoreErrorKind::Died, None, detail));
        }
        state = connection.wait_timeout(state, deadline - now);
    }
}

fn take_reply(connection: &Connection, id: u32, reply: Reply) -> Result<(), StoreError> {
    let mut state = connection.lock();
    state.mark_progress();
    let slot = state.slots.get_mut(&id).ok_or_else(unexpected)?;
    if slot.result.is_some() {
        return Err(unexpected());
    }
    let answer = match (reply, &mut slot.expect) {
        (Reply::Credit(bytes), Expect::Put { credit, spent, .. }) => {
            let left = spent.checked_sub(bytes);
            *spent = left.ok_or_else(|| protocol("more credit than was spent"))?;
            *credit += bytes;
            connection.notify();
            return Ok(());
        }
        (Reply::PutDone(created), Expect::Put { finished: true, .. }) => Ok(Answer::Put(created)),
        (Reply::Done, Expect::Put { aborted: true, .. } | Expect::Done | Expect::List { .. }) => {
            Ok(Answer::Done)
        }
        (Reply::Done, Expect::Get(gathering)) => {
            let (index, filled) = gathering.at;
            let mut missing = gathering.buffers.iter().skip(index);
            let whole = missing.next().is_none_or(|buffer| buffer.len() == filled)
                && missing.all(Vec::is_empty);
            if !whole {
                return Err(protocol("fewer bytes than were asked for"));
            }
            Ok(Answer::Got(std::mem::take(&mut gathering.buffers)))
        }
        (Reply::StatIs(size), Expect::Size) => Ok(Answer::Size(size)),
        (Reply::FreeSpaceIs(bytes), Expect::Bytes) => Ok(Answer::Bytes(bytes)),
        (Reply::PunchIs(flag), Expect::Flag) => Ok(Answer::Flag(flag)),
        (Reply::Error(code, text), _) => Err(reported(code, &text, slot.object)),
        _ => return Err(protocol("an answer of the wrong kind")),
    };
    if answer.is_err() && matches!(slot.expect, Expect::Hello) {
        // Refused at the door: the helper ends now, and that is no news.
        let refusal = answer.as_ref().err().cloned();
        state.failed = state.failed.take().or(refusal);
    }
    state.conclude(id, answer);
    connection.notify();
    Ok(())
}

/// What a connection that was told to end failed with.
pub(super) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Died, None, "the connection was closed")
}
