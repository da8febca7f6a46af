//! Reading ranges of an object.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use nacre_wire::limits::MAX_DATA;
use nacre_wire::{ErrorCode, Name, Range};
use rustix::fs::{Advice, FileType, OFlags};

use super::Directory;
use crate::backend::{ByteSink, Piece, runs};
use crate::failure::{Failure, While};

pub(super) fn read(
    directory: &Directory,
    name: Name,
    ranges: &[Range],
    each: ByteSink<'_>,
) -> Result<(), Failure> {
    let file = directory.must_open(name, OFlags::RDONLY)?;
    let size = size_of(&file)?;
    // All ranges are checked before the first byte goes out, so that an answer is whole or an error.
    if let Some(range) = ranges
        .iter()
        .find(|range| range.end().is_none_or(|end| end > size))
    {
        let text = format!("{} bytes at {} of {size}", range.length, range.offset);
        return Err(Failure::new(ErrorCode::OutOfRange, text));
    }
    for (offset, length) in runs(ranges) {
        // Objects are read once and in large pieces: the whole run is fetched ahead. A hint, so it may fail.
        let _ = rustix::fs::fadvise(&file, offset, NonZeroU64::new(length), Advice::WillNeed);
        let (mut offset, mut rest) = (offset, length);
        while rest > 0 {
            let piece = rest.min(u64::from(MAX_DATA));
            let bytes = usize::try_from(piece).unwrap_or(0);
            if !each(Piece::File(file.as_fd(), offset, bytes))? {
                return Ok(());
            }
            offset += piece;
            rest -= piece;
        }
    }
    Ok(())
}

/// The size of an open object, which must be a regular file.
pub(super) fn size_of(file: &OwnedFd) -> Result<u64, Failure> {
    let stat = rustix::fs::fstat(file).doing("stat")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Failure::new(ErrorCode::Io, "it is not a regular file"));
    }
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}
