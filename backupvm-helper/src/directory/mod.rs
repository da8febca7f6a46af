//! Named bytes in a directory.
//!
//! What a power cut leaves: an object whose put was answered has its content on the disk (fsync before it gets its name, and
//! where the file system keeps sizes with names, again after that); its name survives if a barrier was answered since (fsync of
//! its folder and of that folder's parents). An object without an answer is there whole, or as a leftover `.put-*` file, or not
//! at all; on FAT and its like it may also be there without content.

mod folders;
mod list;
mod locate;
mod publish;
mod read;
mod space;
mod upload;

use std::os::fd::BorrowedFd;
use std::sync::Mutex;

use nacre_wire::{Class, ErrorCode, Facts, Name, Range};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::args::Options;
use crate::backend::{Backend, ByteSink, ListSink, Upload};
use crate::failure::{Failure, While};
use folders::{Folder, Folders};
use publish::Publishing;

/// An archive's folder.
pub struct Directory {
    folders: Folders,
    append_only: bool,
    publishing: Publishing,
    punch: Mutex<Option<bool>>,
}

impl Directory {
    /// Opens the archive at `path`, which must lie in one of the bases; with `create`, makes it if it is not there.
    pub fn open(path: &[u8], create: bool, options: &Options) -> Result<Self, Failure> {
        let root = locate::locate(path, create, &options.bases)?;
        let folders = Folders::open(root, create)?;
        list::sweep_root(folders.root());
        let publishing = Publishing::detect(folders.root());
        Ok(Self {
            folders,
            append_only: options.append_only,
            publishing,
            punch: Mutex::new(options.append_only.then_some(false)),
        })
    }

    /// The archive's folder.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.folders.root()
    }

    fn refuse_in_append_only(&self, what: &str) -> Result<(), Failure> {
        if self.append_only {
            let text = format!("{what} is refused: the helper was started append-only");
            return Err(Failure::new(ErrorCode::Refused, text));
        }
        Ok(())
    }

    /// Opens an object for reading, or for punching. `None` when it is not there.
    fn open_object(
        &self,
        name: Name,
        flags: OFlags,
    ) -> Result<Option<rustix::fd::OwnedFd>, Failure> {
        let Some(folder) = self.folders.existing(name)? else {
            return Ok(None);
        };
        // A pipe that somebody put in the place of an object must not hold us.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match rustix::fs::openat(folder, name.file(), flags, Mode::empty()) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Failure::kernel("open", errno)),
        }
    }

    fn must_open(&self, name: Name, flags: OFlags) -> Result<rustix::fd::OwnedFd, Failure> {
        self.open_object(name, flags)?
            .ok_or_else(|| Failure::new(ErrorCode::NotFound, format!("{name} is not there")))
    }
}

impl Backend for Directory {
    fn facts(&self) -> Facts {
        Facts {
            punch_possible: !self.append_only && space::may_punch(self.root()),
            append_only: self.append_only,
            single_writer: self.publishing.is_serialised(),
            ..Facts::default()
        }
    }

    fn begin(&self, name: Name) -> Result<Box<dyn Upload + '_>, Failure> {
        let (folder, file) = (Folder::of(name), name.file());
        let upload = upload::FileUpload::begin(self, folder, file)?;
        Ok(Box::new(upload))
    }

    fn read(&self, name: Name, ranges: &[Range], each: ByteSink<'_>) -> Result<(), Failure> {
        read::read(self, name, ranges, each)
    }

    fn stat(&self, name: Name) -> Result<Option<u64>, Failure> {
        let Some(folder) = self.folders.existing(name)? else {
            return Ok(None);
        };
        match rustix::fs::statat(folder, name.file(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                Ok(u64::try_from(stat.st_size).ok())
            }
            Ok(_) => Err(Failure::new(ErrorCode::Io, "it is not a regular file")),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Failure::kernel("stat", errno)),
        }
    }

    fn list(&self, class: Class, each: ListSink<'_>) -> Result<(), Failure> {
        list::list(&self.folders, class, each)
    }

    fn delete(&self, names: &[Name]) -> Result<(), Failure> {
        self.refuse_in_append_only("delete")?;
        for name in names {
            let Some(folder) = self.folders.existing(*name)? else {
                continue;
            };
            match rustix::fs::unlinkat(folder, name.file(), AtFlags::empty()) {
                // One that is not there may have been removed by a helper that died before its barrier.
                Ok(()) | Err(Errno::NOENT) => self.folders.mark_dirty(*name),
                Err(errno) => {
                    return Err(Failure::kernel(&format!("delete {name}"), errno));
                }
            }
        }
        Ok(())
    }

    fn punch(&self, name: Name, ranges: &[Range]) -> Result<(), Failure> {
        self.refuse_in_append_only("punch")?;
        if !self.probe_punch()? {
            let text = "punching gives no space back on this file system";
            return Err(Failure::new(ErrorCode::Unsupported, text));
        }
        let file = self.must_open(name, OFlags::RDWR)?;
        space::punch(&file, ranges)?;
        // Durable now: no later barrier knows of this file.
        rustix::fs::fdatasync(&file).doing("fsync after punch")
    }

    fn probe_punch(&self) -> Result<bool, Failure> {
        let mut known = self
            .punch
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(answer) = *known {
            return Ok(answer);
        }
        let answer = space::probe_punch(self.root())?;
        *known = Some(answer);
        Ok(answer)
    }

    fn barrier(&self) -> Result<(), Failure> {
        self.folders.barrier()
    }

    fn leave(&self, file: &str, text: &[u8]) -> Result<(), Failure> {
        let mut upload = Box::new(upload::FileUpload::begin(self, Folder::Root, file)?);
        upload.append(text)?;
        upload.finish(text.len() as u64).map(drop)
    }

    fn free_space(&self) -> Result<u64, Failure> {
        space::free(self.root())
    }
}
