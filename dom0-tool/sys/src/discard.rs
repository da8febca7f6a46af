//! Giving ranges of a block device back, and making them zero (linux/fs.h: BLKDISCARD, BLKZEROOUT).

use std::os::fd::AsFd;

use rustix::io::{Errno, Result};
use rustix::ioctl::{self, Opcode, Setter};

/// `_IO(0x12, 119)`; argument: `uint64_t range[2]`, first byte and length.
const BLKDISCARD: Opcode = ioctl::opcode::none(0x12, 119);
/// `_IO(0x12, 127)`; argument as for BLKDISCARD.
const BLKZEROOUT: Opcode = ioctl::opcode::none(0x12, 127);

/// Tells a block device that a range is not used any more. What it reads as afterwards is the device's choice.
pub fn discard(device: impl AsFd, offset: u64, length: u64) -> Result<()> {
    if length == 0 {
        return Ok(());
    }
    // SAFETY: BLKDISCARD reads two u64 from the pointer, which is what the setter passes; it writes nothing.
    unsafe {
        ioctl::ioctl(
            device,
            Setter::<BLKDISCARD, [u64; 2]>::new([offset, length]),
        )
    }
}

/// Makes a range of a block device read as zeros, without sending them where the device can do it by itself.
pub fn zero_out(device: impl AsFd, offset: u64, length: u64) -> Result<()> {
    if length == 0 {
        return Ok(());
    }
    if !offset.is_multiple_of(512) || !length.is_multiple_of(512) {
        return Err(Errno::INVAL);
    }
    // SAFETY: as for BLKDISCARD.
    unsafe {
        ioctl::ioctl(
            device,
            Setter::<BLKZEROOUT, [u64; 2]>::new([offset, length]),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_block_device() {
        let file = tempfile::tempfile().unwrap();
        assert!(discard(&file, 0, 4096).is_err());
        assert!(zero_out(&file, 0, 4096).is_err());
        assert_eq!(discard(&file, 0, 0), Ok(()));
        assert_eq!(zero_out(&file, 1, 4096), Err(Errno::INVAL));
    }
}
