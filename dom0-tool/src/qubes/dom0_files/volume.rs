//! The archive as a volume that is read like any other.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};

use super::VOLUME;
use super::layout::{Content, Layout, Piece};
use super::walk::Saved;
use crate::joints::{Changes, FrozenVolume, SourceError};

/// dom0's files.
#[derive(Debug)]
pub struct Dom0Volume {
    root: PathBuf,
    layout: Layout,
    reading: Mutex<Reading>,
    problems: Problems,
}

/// Files that could not be read as they were found, and why; what was missing of them is zeros. A copy stays when the volume has been sent.
#[derive(Clone, Debug, Default)]
pub struct Problems(Arc<Mutex<Vec<String>>>);

impl Problems {
    /// All so far.
    pub fn all(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn add(&self, path: &Path, why: &str) {
        let text = format!("/{}: {why}", path.display());
        let mut all = self.lock();
        if all.last() != Some(&text) {
            all.push(text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is being read.
#[derive(Debug, Default)]
struct Reading {
    /// The piece of the file that is open, if it could be opened.
    open: Option<(u64, Option<File>)>,
}

impl Dom0Volume {
    /// The files that were found below `root`, laid out for chunks of so many bytes.
    pub fn new(root: &Path, saved: &[Saved], chunk: u64) -> Self {
        Self {
            root: root.to_owned(),
            layout: Layout::new(saved, chunk),
            reading: Mutex::default(),
            problems: Problems::default(),
        }
    }

    /// What goes wrong while it is read.
    pub fn problems(&self) -> Problems {
        self.problems.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The piece that has a byte of the archive.
    fn piece(&self, offset: u64) -> Option<&Piece> {
        let pieces = &self.layout.pieces;
        let behind = pieces.partition_point(|piece| piece.start <= offset);
        let piece = pieces.get(behind.checked_sub(1)?)?;
        (offset < piece.start + piece.length).then_some(piece)
    }

    /// Fills `buffer` from `at` of a piece on.
    fn fill(&self, piece: &Piece, at: u64, buffer: &mut [u8]) {
        match &piece.content {
            Content::Bytes(bytes) => copy(bytes, at, buffer),
            Content::Filler(begin) => {
                buffer.fill(b' ');
                let from = usize::try_from(at).unwrap_or(usize::MAX);
                let rest = begin.get(from..).unwrap_or_default();
                let length = rest.len().min(buffer.len());
                for (to, byte) in buffer.iter_mut().zip(rest.iter().take(length)) {
                    *to = *byte;
                }
                // A filler of one block has no comment.
                let last = piece.length - 1;
                let end = last
                    .checked_sub(at)
                    .and_then(|end| usize::try_from(end).ok());
                if let Some(byte) = end.and_then(|end| buffer.get_mut(end))
                    && begin.len() as u64 > super::header::BLOCK
                {
                    *byte = b'\n';
                }
            }
            Content::File {
                path,
                size,
                identity,
            } => {
                buffer.fill(0);
                let inside = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX);
                let length = inside.min(buffer.len());
                if let Some(inside) = buffer.get_mut(..length) {
                    self.read_file(piece.start, (path, *identity, *size), at, inside);
                }
            }
        }
    }

    fn read_file(
        &self,
        piece: u64,
        (path, identity, size): (&Path, (u64, u64), u64),
        at: u64,
        buffer: &mut [u8],
    ) {
        let mut reading = self.lock();
        if reading.open.as_ref().is_none_or(|(open, _)| *open != piece) {
            let opened = open(&self.root.join(path));
            let unchanged =
                |now: &Metadata| (now.dev(), now.ino()) == identity && now.len() == size;
            let (file, problem) = match opened {
                Ok((file, now)) if unchanged(&now) => (Some(file), None),
                Ok((file, _)) => (Some(file), Some(CHANGED.to_owned())),
                Err(error) => (None, Some(error.to_string())),
            };
            if let Some(why) = problem {
                self.problems.add(path, &why);
            }
            reading.open = Some((piece, file));
        }
        let Some((_, Some(file))) = &reading.open else {
            return;
        };
        let why = match read(file, at, buffer) {
            Ok(length) if length == buffer.len() => return,
            Ok(_) => CHANGED.to_owned(),
            Err(error) => error.to_string(),
        };
        // Told once; the rest of the file is zeros.
        self.problems.add(path, &why);
        reading.open = Some((piece, None));
    }
}

/// What is said of a file that is another one, or of another size, than when it was looked at.
const CHANGED: &str = "it was changed while the backup was running";

/// Opens a file, whatever has its name now.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let now = file.metadata()?;
    if !now.is_file() {
        return Err(io::Error::other(CHANGED));
    }
    Ok((file, now))
}

/// Reads as much as there is.
fn read(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + done as u64) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn copy(bytes: &[u8], at: u64, buffer: &mut [u8]) {
    let from = usize::try_from(at).unwrap_or(usize::MAX);
    let rest = bytes.get(from..).unwrap_or_default();
    for (to, byte) in buffer.iter_mut().zip(rest) {
        *to = *byte;
    }
}

impl FrozenVolume for Dom0Volume {
    fn name(&self) -> &str {
        VOLUME
    }

    fn size(&self) -> u64 {
        self.layout.size
    }

    fn changes_since(&self, _identity: &[u8]) -> Result<Changes, SourceError> {
        let why = "dom0's files have no snapshot";
        Ok(Changes::Everything(why.to_owned()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let mut offset = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let Some(piece) = self.piece(offset) else {
                rest.fill(0);
                break;
            };
            let left = piece.start + piece.length - offset;
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            self.fill(piece, offset - piece.start, now);
            offset += length as u64;
            rest = later;
        }
        Ok(())
    }
}
