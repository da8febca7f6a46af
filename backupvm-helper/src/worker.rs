//! Carries out the requests that are not part of a put.

use std::io::Write;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use nacre_wire::limits::MAX_BODY;
use nacre_wire::{Kind, ListEntry, Reply, Request};

use crate::backend::{Backend, Piece};
use crate::failure::Failure;
use crate::output::{Output, error_reply};

/// Takes requests from the queue until no more can come.
pub fn run_worker<W: Write>(
    backend: &dyn Backend,
    output: &Output<W>,
    queue: &Mutex<Receiver<(u32, Request)>>,
) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((id, request)) = next else { return };
        let reply = carry_out(backend, output, id, &request).unwrap_or_else(error_reply);
        output.end(id, &reply);
    }
}

/// The reply that ends the request; longer answers have been sent in part before.
fn carry_out<W: Write>(
    backend: &dyn Backend,
    output: &Output<W>,
    id: u32,
    request: &Request,
) -> Result<Reply, Failure> {
    match request {
        Request::Get(name, ranges) => {
            backend.read(*name, ranges, &mut |piece| match piece {
                Piece::Bytes(bytes) => Ok(output.frame(Kind::GetData, id, bytes)),
                Piece::File(file, offset, length) => output.file(id, file, offset, length),
            })?;
            Ok(Reply::Done)
        }
        Request::Stat(name) => Ok(Reply::StatIs(backend.stat(*name)?)),
        Request::List(class) => {
            let mut part = Vec::new();
            backend.list(*class, &mut |entry| {
                part.push(entry);
                part.len() < PART_ENTRIES
                    || output.part(id, &Reply::ListPart(std::mem::take(&mut part)))
            })?;
            if !part.is_empty() {
                output.part(id, &Reply::ListPart(part));
            }
            Ok(Reply::Done)
        }
        Request::Delete(names) => backend.delete(names).map(|()| Reply::Done),
        Request::Punch(name, ranges) => backend.punch(*name, ranges).map(|()| Reply::Done),
        Request::Barrier => backend.barrier().map(|()| Reply::Done),
        Request::FreeSpace => Ok(Reply::FreeSpaceIs(backend.free_space()?)),
        Request::ProbePunch => Ok(Reply::PunchIs(backend.probe_punch()?)),
        Request::LeaveRestorer { mark, text } => {
            let file = format!("emergency_restore.{mark:08x}.py");
            backend.leave(&file, text).map(|()| Reply::Done)
        }
        // Puts go to lanes and `Bye` ends the server: neither is ever queued here.
        Request::PutBegin(_)
        | Request::PutCopy(..)
        | Request::PutFinish(_)
        | Request::PutAbort
        | Request::Bye => Ok(Reply::Done),
    }
}

/// Entries in one `ListPart`: as many as surely fit.
const PART_ENTRIES: usize = MAX_BODY as usize / ListEntry::MAX_LEN;
