//! Any file or block device, read as it is: no snapshot, no change map (`--import-other-from`).

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::storage_error;
use crate::joints::{
    ALIGNMENT, Frozen, FrozenVolume, SourceError, SourceErrorKind, VolumeNames, VolumeRange,
    VolumeSource,
};

/// Files and devices under the names they have in the archive.
#[derive(Debug, Default)]
pub struct PlainSource {
    files: Vec<(String, PathBuf)>,
}

impl PlainSource {
    /// Volumes by name and path.
    pub fn new(files: Vec<(String, PathBuf)>) -> Self {
        Self { files }
    }
}

impl VolumeSource for PlainSource {
    fn list(&self) -> Result<Vec<String>, SourceError> {
        Ok(self.files.iter().map(|(name, _)| name.clone()).collect())
    }

    fn freeze(&self, names: &[VolumeNames]) -> Result<Frozen, SourceError> {
        let open = |name: &VolumeNames| {
            let found = self.files.iter().find(|(known, _)| *known == name.local);
            let (_, path) = found.ok_or_else(|| {
                SourceError::new(SourceErrorKind::NotFound, name.local.clone(), String::new())
            })?;
            PlainVolume::open(&name.archive, path)
                .map(|volume| Box::new(volume) as Box<dyn FrozenVolume>)
        };
        Ok(names.iter().map(open).collect())
    }
}

/// An opened file or block device.
#[derive(Debug)]
pub struct PlainVolume {
    name: String,
    place: String,
    file: File,
    direct: Option<File>,
    size: u64,
}

impl PlainVolume {
    /// Opens `path` to be stored as `name`.
    pub fn open(name: &str, path: &Path) -> Result<Self, SourceError> {
        let place = path.display().to_string();
        let in_words = |error| storage_error(&place, error);
        // O_NONBLOCK: a FIFO named by mistake must not hang the run; for files and block devices it means nothing.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(in_words)?;
        let status = rustix::fs::fstat(&fd).map_err(in_words)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile | FileType::BlockDevice => {}
            _ => {
                return Err(SourceError::new(
                    SourceErrorKind::NotAVolume,
                    place,
                    String::new(),
                ));
            }
        }
        let size = rustix::fs::seek(&fd, SeekFrom::End(0)).map_err(in_words)?;
        // Direct reads leave the page cache to the qubes and save the copying; not every file system has them.
        let direct = rustix::fs::open(path, flags | OFlags::DIRECT, Mode::empty()).ok();
        Ok(Self {
            name: name.to_owned(),
            place,
            file: File::from(fd),
            direct: direct.map(File::from),
            size,
        })
    }

    fn pread(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let aligned = offset.is_multiple_of(ALIGNMENT as u64)
            && buffer.len().is_multiple_of(ALIGNMENT)
            && buffer.as_ptr().addr().is_multiple_of(ALIGNMENT);
        if let (true, Some(direct)) = (aligned, &self.direct) {
            match rustix::io::pread(direct, &mut *buffer, offset) {
                Err(Errno::INVAL) => {}
                done => return done,
            }
        }
        rustix::io::pread(&self.file, buffer, offset)
    }
}

impl FrozenVolume for PlainVolume {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn next_data(&self, from: u64) -> Result<Option<VolumeRange>, SourceError> {
        if from >= self.size {
            return Ok(None);
        }
        let everything = VolumeRange {
            start: from,
            end: self.size,
        };
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(from)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            // Block devices and some file systems do not tell holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(everything)),
            Err(error) => return Err(storage_error(&self.place, error)),
        };
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))
            .map_err(|error| storage_error(&self.place, error))?;
        let range = VolumeRange {
            start,
            end: end.min(self.size),
        };
        Ok((range.start < range.end).then_some(range))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let inside = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = inside.min(buffer.len());
        let mut done = 0;
        while done < wanted {
            // The whole rest of the buffer is offered, also behind the end, so that direct reads stay aligned.
            match self.pread(offset + done as u64, &mut buffer[done..]) {
                Ok(0) => {
                    let detail = format!(
                        "it had {} bytes at first, now it ends before byte {}",
                        self.size,
                        offset + wanted as u64
                    );
                    return Err(SourceError::new(
                        SourceErrorKind::Shrank,
                        self.place.clone(),
                        detail,
                    ));
                }
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(error) => {
                    let mut error = storage_error(&self.place, error);
                    error.detail = format!("{} at byte {}", error.detail, offset + done as u64);
                    return Err(error);
                }
            }
        }
        // A file that grew meanwhile is read only up to the size it had.
        buffer[wanted..].fill(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;
    use crate::joints::AlignedBuffer;

    fn sparse(dir: &Path) -> PathBuf {
        let path = dir.join("image");
        let mut file = File::create(&path).unwrap();
        file.write_all(&[1; 8192]).unwrap();
        file.seek(std::io::SeekFrom::Start(1 << 20)).unwrap();
        file.write_all(&[2; 5000]).unwrap();
        path
    }

    #[test]
    fn holes_are_told_and_the_tail_is_zero() {
        let dir = tempfile::tempdir().unwrap();
        let volume = PlainVolume::open("v", &sparse(dir.path())).unwrap();
        assert_eq!(volume.size(), (1 << 20) + 5000);
        let first = volume.next_data(0).unwrap().unwrap();
        assert_eq!(first.start, 0);
        assert!(first.end >= 8192);
        let last = volume.next_data(512 << 10).unwrap().unwrap();
        assert!(last.start <= 1 << 20 && last.end == volume.size());
        assert_eq!(volume.next_data(volume.size()).unwrap(), None);

        let mut buffer = AlignedBuffer::new(8192);
        buffer.fill(9);
        volume.read_at(1 << 20, &mut buffer).unwrap();
        assert!(buffer[..5000].iter().all(|byte| *byte == 2));
        assert!(buffer[5000..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_volume_that_shrinks_is_an_error_not_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let path = sparse(dir.path());
        let volume = PlainVolume::open("v", &path).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(4096)
            .unwrap();
        let mut buffer = vec![0; 8192];
        let error = volume.read_at(0, &mut buffer).unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Shrank);
    }

    #[test]
    fn folders_and_missing_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = PlainVolume::open("v", dir.path()).unwrap_err();
        assert_eq!(folder.kind, SourceErrorKind::NotAVolume);
        let missing = PlainVolume::open("v", &dir.path().join("x")).unwrap_err();
        assert_eq!(missing.kind, SourceErrorKind::NotFound);
    }
}
