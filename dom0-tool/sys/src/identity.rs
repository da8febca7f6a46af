//! What tells a file from every other, also from one that gets its inode number later.

use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::ioctl::{self, Getter, Opcode};

/// `_IOR('v', 1, long)` (linux/fs.h); file systems write an `int`.
const FS_IOC_GETVERSION: Opcode = ioctl::opcode::read::<u64>(b'v', 1);

/// The generation of a file's inode: changes when the number is given to another file.
pub fn inode_generation(file: impl AsFd) -> Result<u32> {
    let mut number = [0; 8];
    // SAFETY: FS_IOC_GETVERSION writes an `int` to the pointer, on some file systems a `long`; there is room for a `long`, set to zeros before,
    // and any bytes are valid values.
    unsafe {
        ioctl::ioctl(
            file,
            ioctl::Updater::<FS_IOC_GETVERSION, [u8; 8]>::new(&mut number),
        )?;
    }
    let [a, b, c, d, ..] = number;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// `struct btrfs_ioctl_fs_info_args` (linux/btrfs.h).
#[repr(C)]
struct BtrfsInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    rest: [u64; 124],
}

/// `_IOR(0x94, 31, struct btrfs_ioctl_fs_info_args)`.
const BTRFS_IOC_FS_INFO: Opcode = ioctl::opcode::read::<BtrfsInfo>(0x94, 31);

/// The UUID of a Btrfs file system.
pub fn btrfs_uuid(file: impl AsFd) -> Result<[u8; 16]> {
    let mut info = BtrfsInfo {
        max_id: 0,
        num_devices: 0,
        fsid: [0; 16],
        rest: [0; 124],
    };
    // SAFETY: BTRFS_IOC_FS_INFO reads the flags in, and writes, a `struct btrfs_ioctl_fs_info_args` of 1024 bytes, of which `BtrfsInfo` has size
    // and front; any bytes are valid values.
    unsafe {
        ioctl::ioctl(
            file,
            ioctl::Updater::<BTRFS_IOC_FS_INFO, BtrfsInfo>::new(&mut info),
        )?;
    }
    Ok(info.fsid)
}

/// `struct xfs_fsop_geom_v1` (xfs_fs.h).
#[repr(C)]
struct XfsGeometry {
    front: [u64; 8],
    uuid: [u8; 16],
    rest: [u64; 4],
}

/// `_IOR('X', 100, struct xfs_fsop_geom_v1)`.
const XFS_IOC_FSGEOMETRY_V1: Opcode = ioctl::opcode::read::<XfsGeometry>(b'X', 100);

/// The UUID of an XFS file system.
pub fn xfs_uuid(file: impl AsFd) -> Result<[u8; 16]> {
    // SAFETY: XFS_IOC_FSGEOMETRY_V1 writes a `struct xfs_fsop_geom_v1` of 112 bytes, which is the size of `XfsGeometry`; any bytes are valid values.
    let geometry =
        unsafe { ioctl::ioctl(file, Getter::<XFS_IOC_FSGEOMETRY_V1, XfsGeometry>::new())? };
    Ok(geometry.uuid)
}

/// `struct fsxattr` (linux/fs.h).
#[repr(C)]
struct Attributes {
    xflags: u32,
    rest: [u32; 6],
}

/// `_IOR('X', 31, struct fsxattr)`.
const FS_IOC_FSGETXATTR: Opcode = ioctl::opcode::read::<Attributes>(b'X', 31);
/// `FS_XFLAG_REALTIME`.
const REALTIME: u32 = 1;

/// Whether an XFS file lies on the realtime device, whose addresses are counted apart.
pub fn xfs_realtime(file: impl AsFd) -> Result<bool> {
    // SAFETY: FS_IOC_FSGETXATTR writes a `struct fsxattr` of 28 bytes, which is the size of `Attributes`; any bytes are valid values.
    let attributes = unsafe { ioctl::ioctl(file, Getter::<FS_IOC_FSGETXATTR, Attributes>::new())? };
    Ok(attributes.xflags & REALTIME != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_size_the_kernel_expects() {
        // The request numbers as a C compiler computes them from the headers.
        assert_eq!(FS_IOC_GETVERSION, 0x8008_7601);
        assert_eq!(BTRFS_IOC_FS_INFO, 0x8400_941f);
        assert_eq!(XFS_IOC_FSGEOMETRY_V1, 0x8070_5864);
        assert_eq!(FS_IOC_FSGETXATTR, 0x801c_581f);
    }

    #[test]
    fn a_file_elsewhere_has_no_uuid_of_btrfs_or_xfs() {
        let file = tempfile::tempfile().unwrap();
        let _ = inode_generation(&file);
        assert!(btrfs_uuid(&file).is_err() || xfs_uuid(&file).is_err());
    }
}
