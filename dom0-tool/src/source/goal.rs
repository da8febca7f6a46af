//! Goals of a restore: a file, replaced only when whole, or changed in place; a block device.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, RenameFlags, SeekFrom};
use rustix::io::Errno;

use super::storage_error;
use crate::joints::{ALIGNMENT, RestoreGoal, SourceError, SourceErrorKind, VolumeRange};

/// Zeros are written in pieces of this size where the storage can do no better.
const ZEROS: usize = 1 << 20;

/// A file that is being restored.
///
/// Restored as a whole, it grows under a name of its own beside its place; `finish` does fsync of the file, rename, fsync of the
/// folder. A crash before the rename leaves the old content and a `.nacre-…` file; after it, the new content. Changed
/// in place (`--sparse`), a crash leaves a mixture, and running the same command again completes it.
#[derive(Debug)]
pub struct FileGoal {
    file: File,
    direct: Option<File>,
    path: PathBuf,
    place: String,
    size: u64,
    beside: Option<Beside>,
    starts_empty: bool,
}

#[derive(Debug)]
struct Beside {
    path: PathBuf,
    overwrite: bool,
}

impl FileGoal {
    /// Restores to a new file, or in exchange for the file that is there if `overwrite` allows it.
    pub fn whole(path: &Path, size: u64, overwrite: bool) -> Result<Self, SourceError> {
        let goal = Self::beside(path, size, overwrite)?;
        goal.resize(size)?;
        Ok(goal)
    }

    /// The same in exchange for what is there, beginning with the content of `from`, a file on the same file system, of which it takes
    /// no copy but a clone.
    pub fn clone_of(path: &Path, size: u64, from: &File) -> Result<Self, SourceError> {
        let mut goal = Self::beside(path, size, true)?;
        super::reflink::clone_file(&goal.file, from).map_err(|error| goal.error(error))?;
        goal.starts_empty = false;
        goal.resize(size)?;
        Ok(goal)
    }

    /// Makes the file in which the new content grows.
    fn beside(path: &Path, size: u64, overwrite: bool) -> Result<Self, SourceError> {
        let place = path.display().to_string();
        let old = rustix::fs::lstat(path);
        if old.is_ok() && !overwrite {
            return Err(SourceError::new(SourceErrorKind::Exists, place, ""));
        }
        let name = path.file_name().ok_or_else(|| {
            SourceError::new(SourceErrorKind::NotAVolume, place.clone(), String::new())
        })?;
        let mut unfinished = std::ffi::OsString::from(".");
        unfinished.push(name);
        unfinished.push(format!(".nacre-{}", std::process::id()));
        let beside = path.with_file_name(unfinished);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let in_words = |error| storage_error(&beside.display().to_string(), error);
        let fd = rustix::fs::open(&beside, flags, Mode::RUSR | Mode::WUSR).map_err(in_words)?;
        let goal = Self {
            file: File::from(fd),
            direct: open_direct(&beside),
            path: path.to_owned(),
            place,
            size,
            beside: Some(Beside {
                path: beside,
                overwrite,
            }),
            starts_empty: true,
        };
        if let Ok(old) = old {
            goal.take_over_owner(&old)?;
        }
        Ok(goal)
    }

    /// Restores into the file that is there, or a new one.
    pub fn in_place(path: &Path, size: u64) -> Result<Self, SourceError> {
        let place = path.display().to_string();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let in_words = |error| storage_error(&place, error);
        let fd = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(in_words)?;
        let status = rustix::fs::fstat(&fd).map_err(in_words)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(SourceError::new(SourceErrorKind::NotAVolume, place, ""));
        }
        // ENXIO: there is no data up to the end (lseek(2)).
        let starts_empty = rustix::fs::seek(&fd, SeekFrom::Data(0)) == Err(Errno::NXIO);
        let goal = Self {
            file: File::from(fd),
            direct: open_direct(path),
            path: path.to_owned(),
            place,
            size,
            beside: None,
            starts_empty,
        };
        goal.resize(size)?;
        Ok(goal)
    }

    fn error(&self, error: Errno) -> SourceError {
        storage_error(&self.place, error)
    }

    fn resize(&self, size: u64) -> Result<(), SourceError> {
        rustix::fs::ftruncate(&self.file, size).map_err(|error| self.error(error))
    }

    /// What replaces a file keeps its mode, and its owner where that is allowed.
    fn take_over_owner(&self, old: &rustix::fs::Stat) -> Result<(), SourceError> {
        if FileType::from_raw_mode(old.st_mode) != FileType::RegularFile {
            let place = self.place.clone();
            return Err(SourceError::new(SourceErrorKind::NotAVolume, place, ""));
        }
        let owner = rustix::fs::Uid::from_raw(old.st_uid);
        let group = rustix::fs::Gid::from_raw(old.st_gid);
        match rustix::fs::fchown(&self.file, Some(owner), Some(group)) {
            Ok(()) | Err(Errno::PERM) => {}
            Err(error) => return Err(self.error(error)),
        }
        let mode = Mode::from_raw_mode(old.st_mode & 0o777);
        rustix::fs::fchmod(&self.file, mode).map_err(|error| self.error(error))
    }

    /// Gives the finished file its name.
    fn publish(&self, beside: &Beside) -> Result<(), Errno> {
        if beside.overwrite {
            return rustix::fs::rename(&beside.path, &self.path);
        }
        let cwd = rustix::fs::CWD;
        match rustix::fs::renameat_with(cwd, &beside.path, cwd, &self.path, RenameFlags::NOREPLACE)
        {
            // The file system does not know the flag: link refuses an existing name just the same.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(cwd, &beside.path, cwd, &self.path, AtFlags::empty())?;
                rustix::fs::unlink(&beside.path)
            }
            done => done,
        }
    }
}

impl RestoreGoal for FileGoal {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let direct = self.direct.as_ref();
        write_all_at(&self.file, direct, offset, bytes).map_err(|error| self.error(error))
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let length = range.end.saturating_sub(range.start);
        match rustix::fs::fallocate(&self.file, flags, range.start, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                write_zeros(&self.file, range).map_err(|error| self.error(error))
            }
            done => done.map_err(|error| self.error(error)),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        read_or_zeros(&self.file, offset, buffer).map_err(|error| self.error(error))
    }

    fn starts_empty(&self) -> bool {
        self.starts_empty
    }

    fn is_in_place(&self) -> bool {
        self.beside.is_none()
    }

    fn finish(mut self: Box<Self>) -> Result<(), SourceError> {
        self.resize(self.size)?;
        rustix::fs::fsync(&self.file).map_err(|error| self.error(error))?;
        if let Some(beside) = self.beside.take()
            && let Err(error) = self.publish(&beside)
        {
            self.beside = Some(beside);
            return Err(self.error(error));
        }
        sync_folder(&self.path).map_err(|error| self.error(error))
    }
}

impl Drop for FileGoal {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // The restore failed; what is not whole must not be mistaken for a volume. Nothing can be done if this fails too.
            let _ = rustix::fs::unlink(&beside.path);
        }
    }
}

/// A block device that is being restored in place.
#[derive(Debug)]
pub struct DeviceGoal {
    device: File,
    direct: Option<File>,
    place: String,
    room: u64,
}

impl DeviceGoal {
    /// Opens a block device that nobody else uses and that holds at least `size` bytes.
    pub fn open(path: &Path, size: u64) -> Result<Self, SourceError> {
        let place = path.display().to_string();
        let in_words = |error| storage_error(&place, error);
        // O_EXCL without O_CREAT: fails while the device is mounted or used by the kernel (open(2)).
        let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(in_words)?;
        let status = rustix::fs::fstat(&fd).map_err(in_words)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::BlockDevice {
            return Err(SourceError::new(SourceErrorKind::NotAVolume, place, ""));
        }
        let room = rustix::fs::seek(&fd, SeekFrom::End(0)).map_err(in_words)?;
        if room < size {
            let detail = format!("it holds {room} bytes, the volume has {size}");
            return Err(SourceError::new(SourceErrorKind::TooSmall, place, detail));
        }
        Ok(Self {
            device: File::from(fd),
            direct: open_direct(path),
            place,
            room,
        })
    }

    /// Its bytes.
    pub fn room(&self) -> u64 {
        self.room
    }

    /// Tells the device that a range is not used any more. Whether it takes that.
    pub fn discard(&self, offset: u64, length: u64) -> Result<bool, SourceError> {
        match nacre_sys::discard(&self.device, offset, length) {
            Err(Errno::OPNOTSUPP | Errno::INVAL) => Ok(false),
            done => done.map(|()| true).map_err(|error| self.error(error)),
        }
    }

    fn error(&self, error: Errno) -> SourceError {
        storage_error(&self.place, error)
    }
}

impl RestoreGoal for DeviceGoal {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let direct = self.direct.as_ref();
        write_all_at(&self.device, direct, offset, bytes).map_err(|error| self.error(error))
    }

    fn zero(&self, range: VolumeRange) -> Result<(), SourceError> {
        // The kernel discards instead where the device promises zeros for that (BLKZEROOUT).
        let length = range.end.saturating_sub(range.start);
        match nacre_sys::zero_out(&self.device, range.start, length) {
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTTY) => {
                write_zeros(&self.device, range).map_err(|error| self.error(error))
            }
            done => done.map_err(|error| self.error(error)),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        read_or_zeros(&self.device, offset, buffer).map_err(|error| self.error(error))
    }

    fn starts_empty(&self) -> bool {
        false
    }

    fn is_in_place(&self) -> bool {
        true
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        rustix::fs::fsync(&self.device).map_err(|error| self.error(error))
    }
}

/// The same file or device once more, to be written past the page cache: a restored volume would only push out what is used. Not every file
/// system has this.
fn open_direct(path: &Path) -> Option<File> {
    let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let direct = rustix::fs::open(path, flags, Mode::empty());
    direct.ok().map(File::from)
}

fn write_all_at(
    file: &File,
    direct: Option<&File>,
    mut offset: u64,
    mut bytes: &[u8],
) -> Result<(), Errno> {
    let aligned = offset.is_multiple_of(ALIGNMENT as u64)
        && bytes.len().is_multiple_of(ALIGNMENT)
        && bytes.as_ptr().addr().is_multiple_of(ALIGNMENT);
    let mut direct = direct.filter(|_| aligned);
    while !bytes.is_empty() {
        match rustix::io::pwrite(direct.unwrap_or(file), bytes, offset) {
            Ok(0) => return Err(Errno::NOSPC),
            // Refused for its alignment after all, or what is left of a short write is not aligned any more.
            Err(Errno::INVAL) if direct.is_some() => direct = None,
            Ok(count) => {
                offset += count as u64;
                bytes = &bytes[count..];
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_zeros(file: &File, range: VolumeRange) -> Result<(), Errno> {
    let zeros = vec![0; ZEROS];
    let mut offset = range.start;
    while offset < range.end {
        let length = (range.end - offset).min(ZEROS as u64);
        let part = zeros.get(..usize::try_from(length).unwrap_or(ZEROS));
        write_all_at(file, None, offset, part.unwrap_or(&zeros))?;
        offset += length;
    }
    Ok(())
}

/// Fills `buffer`, with zeros behind the end.
pub(super) fn read_or_zeros(file: &File, offset: u64, buffer: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::pread(file, &mut buffer[done..], offset + done as u64) {
            Ok(0) => {
                buffer[done..].fill(0);
                break;
            }
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a name in a folder durable.
fn sync_folder(path: &Path) -> Result<(), Errno> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder: OwnedFd = rustix::fs::open(parent, flags, Mode::empty())?;
    rustix::fs::fsync(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_until_the_new_one_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, b"old").unwrap();
        let refused = FileGoal::whole(&path, 10, false).unwrap_err();
        assert_eq!(refused.kind, SourceErrorKind::Exists);

        let goal = FileGoal::whole(&path, 10, true).unwrap();
        goal.write_at(2, b"new").unwrap();
        drop(goal);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

        let goal = FileGoal::whole(&path, 10, true).unwrap();
        goal.write_at(2, b"new").unwrap();
        Box::new(goal).finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0new\0\0\0\0\0");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_place_counts_as_empty_only_if_it_holds_no_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("import");
        let file = File::create(&path).unwrap();
        file.set_len(8 << 20).unwrap();
        assert!(FileGoal::in_place(&path, 8 << 20).unwrap().starts_empty());
        // A byte far behind the beginning, which is not on the disk yet.
        std::os::unix::fs::FileExt::write_all_at(&file, &[7], 5 << 20).unwrap();
        assert!(!FileGoal::in_place(&path, 8 << 20).unwrap().starts_empty());
    }

    #[test]
    fn in_place_keeps_what_is_not_written_and_takes_the_new_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, [7; 8192]).unwrap();
        let goal = FileGoal::in_place(&path, 6000).unwrap();
        assert!(!goal.starts_empty());
        goal.zero(VolumeRange {
            start: 0,
            end: 4096,
        })
        .unwrap();
        goal.write_at(4096, &[8; 10]).unwrap();
        Box::new(goal).finish().unwrap();
        let now = std::fs::read(&path).unwrap();
        assert_eq!(now.len(), 6000);
        assert!(now[..4096].iter().all(|byte| *byte == 0));
        assert_eq!(&now[4096..4107], &[8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7]);
    }
}
