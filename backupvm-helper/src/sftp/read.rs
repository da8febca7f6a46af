//! Reading ranges of an object, several pieces on their way at once.

use std::collections::VecDeque;

use nacre_wire::{ErrorCode, Name, Range};

use super::session::Ticket;
use super::{Answer, Ask, Handle, Packet, Sftp, refusal, status};
use crate::backend::{ByteSink, Piece, runs};
use crate::failure::Failure;

/// Pieces on their way at once. With three readers 6 MiB: enough for 60 MB/s at a tenth of a second.
const AHEAD: usize = 8;

pub(super) fn read(
    sftp: &Sftp,
    name: Name,
    ranges: &[Range],
    each: ByteSink<'_>,
) -> Result<(), Failure> {
    let (handle, size) = sftp.open_object(name)?;
    // All ranges are checked before the first byte goes out, so that an answer is whole or an error.
    check(ranges, size)?;
    let mut wanted = runs(ranges)
        .into_iter()
        .flat_map(|run| pieces(run, sftp.read_piece));
    let mut coming: VecDeque<(u64, u32, Ticket<'_>)> = VecDeque::new();
    loop {
        while coming.len() < AHEAD
            && let Some((offset, length)) = wanted.next()
        {
            coming.push_back((offset, length, ask(sftp, &handle, offset, length)?));
        }
        let Some((mut offset, mut length, mut ticket)) = coming.pop_front() else {
            return Ok(());
        };
        // A server may give less than was asked for: then the rest is asked for again.
        loop {
            let bytes = match ticket.wait()? {
                Answer::Data(bytes) if !bytes.is_empty() && bytes.len() <= length as usize => bytes,
                Answer::Status(status::EOF, _) => {
                    return Err(Failure::new(ErrorCode::Io, "the object became shorter"));
                }
                other => return Err(refusal("read", &other)),
            };
            if !each(Piece::Bytes(&bytes))? {
                return Ok(());
            }
            let read = u32::try_from(bytes.len()).unwrap_or(length);
            (offset, length) = (offset + u64::from(read), length - read);
            if length == 0 {
                break;
            }
            ticket = ask(sftp, &handle, offset, length)?;
        }
    }
}

/// All ranges lie within an object of this size.
pub(super) fn check(ranges: &[Range], size: u64) -> Result<(), Failure> {
    let beyond = |range: &&Range| range.end().is_none_or(|end| end > size);
    match ranges.iter().find(beyond) {
        None => Ok(()),
        Some(range) => {
            let text = format!("{} bytes at {} of {size}", range.length, range.offset);
            Err(Failure::new(ErrorCode::OutOfRange, text))
        }
    }
}

fn ask<'a>(
    sftp: &'a Sftp,
    handle: &Handle<'_>,
    offset: u64,
    length: u32,
) -> Result<Ticket<'a>, Failure> {
    let fill = |packet: Packet| packet.string(handle.bytes()).u64(offset).u32(length);
    sftp.session.send(Ask::Read, fill)
}

/// A run in pieces that the server takes.
fn pieces((offset, length): (u64, u64), piece: u32) -> impl Iterator<Item = (u64, u32)> {
    let starts = (0..length).step_by(piece as usize);
    starts.map(move |start| {
        let rest = u32::try_from(length - start).unwrap_or(piece);
        (offset + start, piece.min(rest))
    })
}
