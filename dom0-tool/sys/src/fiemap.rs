//! Where the bytes of a file lie on its file system (linux/fiemap.h: FS_IOC_FIEMAP).

use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::ioctl::{self, Opcode, Updater};

/// `struct fiemap` without its extents.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Header {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
}

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FiemapExtent {
    /// First byte in the file.
    pub logical: u64,
    /// Its address on the file system, where there is one.
    pub physical: u64,
    /// Length in bytes.
    pub length: u64,
    reserved64: [u64; 2],
    /// `FIEMAP_EXTENT_…`.
    pub flags: u32,
    reserved: [u32; 3],
}

/// Extents asked for at once: 32 KiB.
const BATCH: usize = 585;

/// `struct fiemap` with room for a batch.
#[repr(C)]
struct Request {
    header: Header,
    extents: [FiemapExtent; BATCH],
}

/// `_IOWR('f', 11, struct fiemap)`; the size in the number is that of the header alone.
const FS_IOC_FIEMAP: Opcode = ioctl::opcode::read_write::<Header>(b'f', 11);

/// What the flags of an extent say.
pub mod fiemap_flags {
    /// The last one of the file.
    pub const LAST: u32 = 0x1;
    /// The address says nothing: unknown, not yet written, encoded, encrypted, not aligned, inline, in a shared tail block.
    pub const NO_ADDRESS: u32 = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400;
    /// Space without data: reads as zeros.
    pub const UNWRITTEN: u32 = 0x800;
}

const FLAG_SYNC: u32 = 1;

/// The extents that hold a byte from `start` on and before `end`, in rising order, a batch of them. The first may begin before `start`, the last
/// end behind `end`. None are returned when there are only holes. What was written and is not on the disk yet is put there first, if `start`
/// is 0. Some file systems flag the last extent before `end` as the last one of the file.
pub fn fiemap(file: impl AsFd, start: u64, end: u64) -> Result<Vec<FiemapExtent>> {
    let mut request = Box::new(Request {
        header: Header {
            start,
            length: end.saturating_sub(start),
            flags: if start == 0 { FLAG_SYNC } else { 0 },
            mapped_extents: 0,
            extent_count: 585,
            reserved: 0,
        },
        extents: [FiemapExtent::default(); BATCH],
    });
    // SAFETY: FS_IOC_FIEMAP reads a `struct fiemap` from the pointer and writes back its header and at most `extent_count` extents
    // behind it; `Request` has that layout (repr(C), no padding) and room for just as many. Any bytes are valid values of both.
    unsafe {
        ioctl::ioctl(file, Updater::<FS_IOC_FIEMAP, Request>::new(&mut *request))?;
    }
    let count = usize::try_from(request.header.mapped_extents).unwrap_or(BATCH);
    Ok(request
        .extents
        .get(..count.min(BATCH))
        .unwrap_or(&[])
        .to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_layout_of_the_kernel() {
        assert_eq!(size_of::<Header>(), 32);
        assert_eq!(size_of::<FiemapExtent>(), 56);
        assert_eq!(size_of::<Request>(), 32 + 56 * BATCH);
        assert_eq!(BATCH, 585);
        // From linux/fs.h, as a C compiler computes it.
        assert_eq!(FS_IOC_FIEMAP, 0xc020_660b);
    }
}
