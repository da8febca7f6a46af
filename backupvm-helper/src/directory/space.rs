//! Free space, and giving space back.

use std::os::fd::{BorrowedFd, OwnedFd};

use nacre_wire::{ErrorCode, Range};
use rustix::fs::{AtFlags, FallocateFlags};
use rustix::io::Errno;

use crate::failure::{Failure, While};

/// Bytes that an ordinary user can still write.
pub(super) fn free(root: BorrowedFd<'_>) -> Result<u64, Failure> {
    let stat = rustix::fs::fstatvfs(root).doing("ask for free space")?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Cheap first look: a file system without fallocate's punch mode needs no probe.
pub(super) fn may_punch(_root: BorrowedFd<'_>) -> bool {
    true
}

pub(super) fn punch(file: &OwnedFd, ranges: &[Range]) -> Result<(), Failure> {
    let size = super::read::size_of(file)?;
    if ranges
        .iter()
        .any(|range| range.end().is_none_or(|end| end > size))
    {
        let text = "a range to punch ends beyond the object";
        return Err(Failure::new(ErrorCode::OutOfRange, text));
    }
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for range in ranges.iter().filter(|range| range.length > 0) {
        rustix::fs::fallocate(file, mode, range.offset, u64::from(range.length)).doing("punch")?;
    }
    Ok(())
}

/// Bytes that the probe writes, and how it punches them: every other piece, each as large as a chunk, for that is what
/// pruning asks for. A quarter of a pack is enough to stand out from what other writers do meanwhile. On a disk that is nearly
/// full, which is where space is wanted most, half of what is left must do.
const PROBE_LEN: u64 = 16 << 20;
const LEAST_PROBE_LEN: u64 = 1 << 20;
const PROBE_PIECE: u32 = 128 << 10;

/// Writes a file as a pack is written, punches half of it, and sees whether free space grew by at least half of that.
/// `st_blocks` is no proof: Btrfs lowers it and frees nothing.
pub(super) fn probe_punch(root: BorrowedFd<'_>) -> Result<bool, Failure> {
    let (file, name) = super::upload::make_locked(root)?;
    let result = probe_file(root, &file);
    rustix::fs::unlinkat(root, &name, AtFlags::empty()).doing("remove the tried file")?;
    result
}

fn probe_file(root: BorrowedFd<'_>, file: &OwnedFd) -> Result<bool, Failure> {
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let length = u64::from(PROBE_PIECE);
    // An empty file tells those that cannot at all, at no cost.
    if rustix::fs::fallocate(file, mode, 0, length).is_err() {
        return Ok(false);
    }
    let pairs = (free(root)? / 2).clamp(LEAST_PROBE_LEN, PROBE_LEN) / (2 * length);
    let pair = vec![0x5a; 2 * PROBE_PIECE as usize];
    for _ in 0..pairs {
        write_all(file, &pair)?;
    }
    settle(root, file)?;
    let before = all_free(root)?;
    for pair in 0..pairs {
        let offset = pair * 2 * length;
        if rustix::fs::fallocate(file, mode, offset, length).is_err() {
            return Ok(false);
        }
    }
    settle(root, file)?;
    Ok(all_free(root)?.saturating_sub(before) >= pairs * length / 2)
}

/// Free bytes, those among them that only root can have: below that reserve `free` does not move.
fn all_free(root: BorrowedFd<'_>) -> Result<u64, Failure> {
    let stat = rustix::fs::fstatvfs(root).doing("ask for free space")?;
    Ok(stat.f_bfree.saturating_mul(stat.f_frsize))
}

/// Free space is exact only when nothing is delayed.
fn settle(root: BorrowedFd<'_>, file: &OwnedFd) -> Result<(), Failure> {
    rustix::fs::fsync(file).doing("fsync")?;
    rustix::fs::syncfs(root).doing("syncfs")
}

/// Writes everything or says why not.
fn write_all(file: &OwnedFd, bytes: &[u8]) -> Result<(), Failure> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(file, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or(&[]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::kernel("write", errno)),
        }
    }
    Ok(())
}
