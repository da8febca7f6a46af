//! Reading ranges of an object.

use std::os::fd::OwnedFd;

use nacre_wire::{ErrorCode, Name, Range};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::Directory;
use crate::backend::ByteSink;
use crate::failure::{Failure, While};

/// Bytes read at once.
const PIECE: usize = 256 * 1024;

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
    let longest = ranges.iter().map(|range| range.length).max().unwrap_or(0);
    let mut buffer = vec![0; PIECE.min(longest as usize)];
    for range in ranges {
        let (mut offset, mut rest) = (range.offset, range.length as usize);
        while rest > 0 {
            let wanted = rest.min(buffer.len());
            let room = buffer.get_mut(..wanted).unwrap_or(&mut []);
            let read = match rustix::io::pread(&file, room, offset) {
                Ok(0) => return Err(Failure::new(ErrorCode::Io, "the object became shorter")),
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Failure::kernel("read", errno)),
            };
            if !each(buffer.get(..read).unwrap_or(&[])) {
                return Ok(());
            }
            offset += read as u64;
            rest -= read;
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
