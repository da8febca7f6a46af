//! Writing an object: a locked temporary file in the object's own folder, fsync, then its name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nacre_wire::limits::MAX_OBJECT;
use nacre_wire::{ErrorCode, Name, Range};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

use super::Directory;
use super::folders::{Folder, fsync_file};
use crate::backend::Upload;
use crate::buffer::ALIGNMENT;
use crate::failure::{Failure, While};

/// How the names of temporary files begin.
pub(super) const TEMPORARY: &str = ".put";

/// Writes of at least so many bytes go past the page cache, if they are aligned.
const DIRECT_FROM: usize = 1 << 20;

/// A temporary file on its way to become an object.
pub(super) struct FileUpload<'a> {
    directory: &'a Directory,
    folder: Folder,
    name: String,
    file: OwnedFd,
    temporary: String,
    length: u64,
    direct: bool,
    never_direct: bool,
    published: bool,
}

impl<'a> FileUpload<'a> {
    /// Begins a file that is to have this name in a folder of the archive.
    pub(super) fn begin(
        directory: &'a Directory,
        folder: Folder,
        name: &str,
    ) -> Result<Self, Failure> {
        let (file, temporary) = make_locked(directory.folders.made(folder)?)?;
        Ok(Self {
            directory,
            folder,
            name: name.to_owned(),
            file,
            temporary,
            length: 0,
            direct: false,
            never_direct: false,
            published: false,
        })
    }

    /// Writes everything. A file system that promised direct writes and then refuses one gets it through the page cache;
    /// so does the rest of a direct write that was cut short.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match rustix::io::write(&self.file, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or(&[]),
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) if self.direct => {
                    self.never_direct = true;
                    self.set_direct(false)?;
                }
                Err(errno) => return Err(Failure::kernel("write", errno)),
            }
        }
        Ok(())
    }

    fn is_aligned(&self, bytes: &[u8]) -> bool {
        let block = ALIGNMENT as u64;
        bytes.as_ptr().align_offset(ALIGNMENT) == 0
            && (bytes.len() as u64).is_multiple_of(block)
            && self.length.is_multiple_of(block)
    }

    /// Past the page cache, or through it. Where the file system knows no direct writes, everything goes through it.
    fn set_direct(&mut self, wanted: bool) -> Result<(), Failure> {
        if self.direct == wanted || (wanted && self.never_direct) {
            return Ok(());
        }
        let flags = if wanted {
            OFlags::DIRECT
        } else {
            OFlags::empty()
        };
        match rustix::fs::fcntl_setfl(&self.file, flags) {
            Ok(()) => self.direct = wanted,
            Err(_) if wanted => self.never_direct = true,
            Err(errno) => return Err(Failure::kernel("leave direct writing", errno)),
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> Result<(), Failure> {
        self.length = self.length.saturating_add(bytes);
        if self.length > MAX_OBJECT {
            let text = format!("an object may have {MAX_OBJECT} bytes");
            return Err(Failure::new(ErrorCode::TooLarge, text));
        }
        Ok(())
    }

    /// Copies a range of `from`, by the kernel where it can.
    fn copy_range(&mut self, from: &OwnedFd, range: Range) -> Result<(), Failure> {
        let mut offset = range.offset;
        let mut rest = range.length as usize;
        while rest > 0 {
            match rustix::fs::copy_file_range(from, Some(&mut offset), &self.file, None, rest) {
                Ok(0) => return Err(beyond_end()),
                Ok(copied) => rest = rest.saturating_sub(copied),
                Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    return self.copy_by_hand(from, offset, rest);
                }
                Err(errno) => return Err(Failure::kernel("copy", errno)),
            }
        }
        Ok(())
    }

    fn copy_by_hand(&mut self, from: &OwnedFd, offset: u64, rest: usize) -> Result<(), Failure> {
        let mut buffer = vec![0; rest.min(256 * 1024)];
        let (mut offset, mut rest) = (offset, rest);
        while rest > 0 {
            let wanted = rest.min(buffer.len());
            let room = buffer.get_mut(..wanted).unwrap_or(&mut []);
            let read = rustix::io::pread(from, room, offset).doing("read")?;
            if read == 0 {
                return Err(beyond_end());
            }
            self.write(buffer.get(..read).unwrap_or(&[]))?;
            offset += read as u64;
            rest -= read;
        }
        Ok(())
    }
}

impl Upload for FileUpload<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.set_direct(bytes.len() >= DIRECT_FROM && self.is_aligned(bytes))?;
        self.count(bytes.len() as u64)?;
        self.write(bytes)
    }

    fn append_ranges(&mut self, from: Name, ranges: &[Range]) -> Result<(), Failure> {
        self.set_direct(false)?;
        let source = self.directory.must_open(from, OFlags::RDONLY)?;
        let size = super::read::size_of(&source)?;
        for range in ranges {
            if range.end().is_none_or(|end| end > size) {
                return Err(beyond_end());
            }
            self.count(u64::from(range.length))?;
            self.copy_range(&source, *range)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, length: u64) -> Result<bool, Failure> {
        if length != self.length {
            let text = format!("{} bytes came where {length} were announced", self.length);
            return Err(Failure::new(ErrorCode::Protocol, text));
        }
        // The content is on the disk before the name exists: no crash leaves an object with a hole in it.
        fsync_file(self.file.as_fd())?;
        let directory = self.directory;
        let folder = directory.folders.made(self.folder)?;
        self.published =
            directory
                .publishing
                .publish(directory.root(), folder, &self.temporary, &self.name)?;
        // Also when it was there before: whoever made it may have died before its barrier.
        directory.folders.mark(self.folder);
        if self.published
            && directory.publishing.unsettles()
            && let Err(failure) = fsync_file(self.file.as_fd())
        {
            // Nothing is left of a put that failed. Should this fail too, it is an object that no head names.
            let _ = rustix::fs::unlinkat(folder, &self.name, AtFlags::empty());
            return Err(failure);
        }
        Ok(self.published)
    }
}

impl Drop for FileUpload<'_> {
    fn drop(&mut self) {
        if !self.published
            && let Ok(Some(folder)) = self.directory.folders.opened(self.folder)
        {
            let _ = rustix::fs::unlinkat(folder, &self.temporary, AtFlags::empty());
        }
    }
}

fn beyond_end() -> Failure {
    Failure::new(
        ErrorCode::OutOfRange,
        "a range to copy ends beyond the object",
    )
}

/// Makes a temporary file, locked: the lock says that its writer lives, so that nobody sweeps it up.
pub(super) fn make_locked(folder: BorrowedFd<'_>) -> Result<(OwnedFd, String), Failure> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    loop {
        let mut random = [0_u8; 16];
        rustix::rand::getrandom(&mut random[..], GetRandomFlags::empty())
            .doing("get random bytes")?;
        let temporary = format!("{TEMPORARY}-{:032x}", u128::from_le_bytes(random));
        let file = match rustix::fs::openat(folder, &temporary, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file,
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(Failure::kernel("make a file", errno)),
        };
        rustix::fs::flock(&file, FlockOperation::LockExclusive).doing("lock a file")?;
        // Between open and lock a sweeper may have taken it for a leftover.
        if rustix::fs::fstat(&file).doing("stat a file")?.st_nlink > 0 {
            return Ok((file, temporary));
        }
    }
}
