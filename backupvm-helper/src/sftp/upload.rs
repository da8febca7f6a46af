//! Writing an object: a temporary file in the object's own folder, fsync, then its name.

use std::collections::VecDeque;

use nacre_wire::limits::MAX_OBJECT;
use nacre_wire::{ErrorCode, Name, Range};
use rustix::rand::GetRandomFlags;

use super::folders::folder_of;
use super::session::Ticket;
use super::{Ask, CREATE_NEW, Handle, Packet, Sftp, refusal, status};
use crate::backend::{Piece, UNLOCKED, Upload};
use crate::failure::{Failure, While};
use crate::sftp::Answer;

/// Writes that may be on their way to the server without an answer. Their bytes are not kept here.
const UNANSWERED: usize = 64;
/// Less free space than this is taken for the reason of a write that failed: version 3 has no code for a full disk.
const NEARLY_FULL: u64 = 1 << 20;

/// A temporary file on its way to become an object.
pub(super) struct SftpUpload<'a> {
    sftp: &'a Sftp,
    /// From the archive's folder, as are names of objects.
    name: String,
    handle: Option<Handle<'a>>,
    temporary: Vec<u8>,
    length: u64,
    unanswered: VecDeque<Ticket<'a>>,
    published: bool,
}

impl Sftp {
    /// Makes a temporary file in a folder of the archive; its path. No lock can be held over SFTP: what a dead writer
    /// leaves is told from a living one's by its age (`list`).
    pub(super) fn make_temporary(&self, folder: &str) -> Result<(Handle<'_>, Vec<u8>), Failure> {
        let mut random = [0_u8; 16];
        rustix::rand::getrandom(&mut random[..], GetRandomFlags::empty())
            .doing("get random bytes")?;
        let file = format!("{UNLOCKED}{:032x}", u128::from_le_bytes(random));
        let path = [&self.folders.path(folder)[..], b"/", file.as_bytes()].concat();
        // Only permissions: 0600.
        let fill = |packet: Packet| packet.string(&path).u32(CREATE_NEW).u32(4).u32(0o600);
        let handle = self.session.open("make a file", Ask::Open, fill)?;
        Ok((handle, path))
    }

    /// Gives the file its name, if that is free. `false`: it is not, and the file is still there.
    fn publish(&self, temporary: &[u8], path: &[u8]) -> Result<bool, Failure> {
        if self.atomic {
            return match self.hardlink(temporary, path) {
                // A cut before this leaves a second name, which is swept up later as a leftover.
                Ok(()) => {
                    self.remove(temporary);
                    Ok(true)
                }
                Err(failure) => self.taken_or(path, failure),
            };
        }
        let _turn = self
            .turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.attributes(Ask::Lstat, path)?.is_some() {
            return Ok(false);
        }
        let fill = |packet: Packet| packet.string(temporary).string(path);
        match self.session.ask(Ask::Rename, fill)? {
            Answer::Status(status::OK, _) => Ok(true),
            other => self.taken_or(path, refusal("give the object its name", &other)),
        }
    }

    /// Version 3 has no code for an existing name either.
    fn taken_or(&self, path: &[u8], failure: Failure) -> Result<bool, Failure> {
        match self.attributes(Ask::Lstat, path)? {
            Some(_) => Ok(false),
            None => Err(failure),
        }
    }

    /// A failed write of a disk that is nearly full is for want of space.
    fn explain(&self, failure: Failure) -> Failure {
        let full = failure.code == ErrorCode::Io
            && self
                .free_space_known()
                .is_some_and(|free| free < NEARLY_FULL);
        if full {
            return Failure::new(ErrorCode::NoSpace, failure.text);
        }
        failure
    }

    fn free_space_known(&self) -> Option<u64> {
        crate::backend::Backend::free_space(self).ok()
    }
}

impl<'a> SftpUpload<'a> {
    /// Begins a file that is to have this name below the archive's folder.
    pub(super) fn begin(sftp: &'a Sftp, name: &str) -> Result<Self, Failure> {
        let folder = folder_of(name);
        if !folder.is_empty() {
            sftp.need_folder(folder)?;
        }
        let made = sftp.make_temporary(folder);
        let (handle, temporary) = made.map_err(|failure| sftp.explain(failure))?;
        Ok(Self {
            sftp,
            name: name.to_owned(),
            handle: Some(handle),
            temporary,
            length: 0,
            unanswered: VecDeque::new(),
            published: false,
        })
    }

    fn handle(&self) -> Result<&[u8], Failure> {
        let gone = || Failure::new(ErrorCode::Io, "the file is closed");
        self.handle.as_ref().map(Handle::bytes).ok_or_else(gone)
    }

    fn count(&mut self, bytes: u64) -> Result<(), Failure> {
        self.length = self.length.saturating_add(bytes);
        if self.length > MAX_OBJECT {
            let text = format!("an object may have {MAX_OBJECT} bytes");
            return Err(Failure::new(ErrorCode::TooLarge, text));
        }
        Ok(())
    }

    /// Waits until at most so many writes are without an answer.
    fn settle(&mut self, most: usize) -> Result<(), Failure> {
        while self.unanswered.len() > most {
            if let Some(ticket) = self.unanswered.pop_front() {
                let done = ticket.done("write");
                done.map_err(|failure| self.sftp.explain(failure))?;
            }
        }
        Ok(())
    }

    /// Closes the file. Some servers say only now that they could not keep all of it (one before NFS, with a quota); one that cannot
    /// be made to force it to the disk may not even do that.
    fn close(&mut self) -> Result<(), Failure> {
        if let Some(handle) = self.handle.take() {
            handle.close()?;
        }
        if self.sftp.extensions.fsync {
            return Ok(());
        }
        let stat = self.sftp.attributes(Ask::Lstat, &self.temporary)?;
        match stat.and_then(|stat| stat.size) {
            Some(size) if size == self.length => Ok(()),
            size => {
                let (size, length) = (size.unwrap_or(0), self.length);
                let text = format!("the server has kept {size} of {length} bytes");
                Err(Failure::new(ErrorCode::Io, text))
            }
        }
    }

    /// Appends a range of another object inside the server (copy-data).
    fn copy_there(&mut self, source: &Handle<'_>, range: Range) -> Result<(), Failure> {
        // A length of 0 would mean: to the end.
        if range.length == 0 {
            return Ok(());
        }
        let to = self.length;
        self.count(u64::from(range.length))?;
        let target = self.handle()?.to_vec();
        let ticket = self.sftp.session.send(Ask::Extended, |packet| {
            packet
                .string(b"copy-data")
                .string(source.bytes())
                .u64(range.offset)
                .u64(u64::from(range.length))
                .string(&target)
                .u64(to)
        })?;
        self.unanswered.push_back(ticket);
        self.settle(UNANSWERED)
    }
}

impl Upload for SftpUpload<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let sftp = self.sftp;
        for piece in bytes.chunks(sftp.write_piece) {
            let offset = self.length;
            self.count(piece.len() as u64)?;
            let handle = self.handle()?;
            let fill = |packet: Packet| packet.string(handle).u64(offset).string(piece);
            let ticket = sftp.session.send(Ask::Write, fill)?;
            self.unanswered.push_back(ticket);
            self.settle(UNANSWERED)?;
        }
        Ok(())
    }

    fn append_ranges(&mut self, from: Name, ranges: &[Range]) -> Result<(), Failure> {
        let sftp = self.sftp;
        if !sftp.extensions.copy_data {
            // By way of this machine.
            let mut failed = None;
            super::read::read(sftp, from, ranges, &mut |piece| {
                if let Piece::Bytes(bytes) = piece
                    && let Err(failure) = self.append(bytes)
                {
                    failed = Some(failure);
                    return Ok(false);
                }
                Ok(true)
            })?;
            return failed.map_or(Ok(()), Err);
        }
        let (source, size) = sftp.open_object(from)?;
        super::read::check(ranges, size)?;
        for range in ranges {
            self.copy_there(&source, *range)?;
        }
        // Closing the source while the server still copies is the server's business only after this.
        self.settle(0)
    }

    fn finish(mut self: Box<Self>, length: u64) -> Result<bool, Failure> {
        if length != self.length {
            let text = format!("{} bytes came where {length} were announced", self.length);
            return Err(Failure::new(ErrorCode::Protocol, text));
        }
        self.settle(0)?;
        // The content is on the disk before the name exists: no crash leaves an object with a hole in it.
        if self.sftp.extensions.fsync
            && let Some(handle) = &self.handle
        {
            let synced = self.sftp.fsync(handle);
            synced.map_err(|failure| self.sftp.explain(failure))?;
        }
        let closed = self.close();
        closed.map_err(|failure| self.sftp.explain(failure))?;
        let path = self.sftp.folders.path(&self.name);
        self.published = self.sftp.publish(&self.temporary, &path)?;
        // Also when it was there before: whoever made it may have died before its barrier.
        self.sftp.folders.mark_dirty(&self.name);
        // A rename may have made a new entry without the size (crate::directory::publish); a link has not.
        if self.published
            && !self.sftp.atomic
            && self.sftp.synced
            && let Err(failure) = self.sftp.fsync_path(&path)
        {
            // Nothing is left of a put that failed. Should this fail too, it is an object that no head names.
            self.sftp.remove(&path);
            return Err(self.sftp.explain(failure));
        }
        Ok(self.published)
    }
}

impl Drop for SftpUpload<'_> {
    fn drop(&mut self) {
        self.unanswered.clear();
        self.handle = None;
        if !self.published {
            self.sftp.remove(&self.temporary);
        }
    }
}
