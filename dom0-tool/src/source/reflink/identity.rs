//! What recognises a snapshot file later: file system, inode, and that nobody wrote to it since.

use std::os::fd::AsFd;

use rustix::io::Errno;

/// `f_type` of statfs(2) (linux/magic.h).
const BTRFS: u64 = 0x9123_683e;
const XFS: u64 = 0x5846_5342;

/// File systems of whose extent maps we know what they mean: data at one address is one and the same as long as a file holds on to it, and
/// one address means one place. (bcachefs with several devices, for one, gives addresses without saying on which device.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Btrfs,
    Xfs,
    /// Clones files, perhaps; its maps are not looked at.
    Other,
}

/// The identity of a file, as 59 bytes that are equal only for the same file in the same state:
///
/// version 1, file system (`b`, `x`, `o`), its UUID (16), subvolume (8), inode (8), its generation (4), whether on XFS' realtime device,
/// size (8), time of the last change of the inode in seconds and nanoseconds (8 + 4).
///
/// Every write, truncation, rename or change of mode sets that time, which nobody can set at will (utimensat(2) cannot). It is compared, not
/// ordered: a clock that was set decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    bytes: Vec<u8>,
}

const LENGTH: usize = 59;
/// Where the file system's part ends, and the file's.
const OF_SYSTEM: usize = 26;
const OF_FILE: usize = 39;

impl Identity {
    /// Of an open file.
    pub fn of(file: impl AsFd) -> Result<Self, Errno> {
        let file = file.as_fd();
        let status = rustix::fs::fstat(file)?;
        let file_system_id = rustix::fs::fstatvfs(file)?.f_fsid;
        let system = file_system(file)?;
        // The subvolume: Btrfs mixes its number into f_fsid, which otherwise depends on the UUID alone. On XFS f_fsid is the device number, which
        // the next boot may give to another disk.
        let (letter, uuid, subvolume, realtime) = match system {
            FileSystem::Btrfs => (b'b', nacre_sys::btrfs_uuid(file)?, file_system_id, false),
            FileSystem::Xfs => {
                let realtime = nacre_sys::xfs_realtime(file)?;
                (b'x', nacre_sys::xfs_uuid(file)?, 0, realtime)
            }
            FileSystem::Other => (b'o', [0; 16], file_system_id, false),
        };
        let generation = match nacre_sys::inode_generation(file) {
            Err(_) if system == FileSystem::Other => 0,
            generation => generation?,
        };
        let mut bytes = vec![1, letter];
        bytes.extend(uuid);
        bytes.extend(subvolume.to_le_bytes());
        bytes.extend(status.st_ino.to_le_bytes());
        bytes.extend(generation.to_le_bytes());
        bytes.push(u8::from(realtime));
        bytes.extend(status.st_size.to_le_bytes());
        bytes.extend(status.st_ctime.to_le_bytes());
        let nanoseconds = u32::try_from(status.st_ctime_nsec).unwrap_or(u32::MAX);
        bytes.extend(nanoseconds.to_le_bytes());
        Ok(Self { bytes })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Which file system the file is on.
    pub fn system(&self) -> FileSystem {
        match self.bytes.get(1) {
            Some(b'b') => FileSystem::Btrfs,
            Some(b'x') => FileSystem::Xfs,
            _ => FileSystem::Other,
        }
    }

    /// Whether addresses in the maps of the two files mean the same places.
    pub fn shares_addresses(&self, other: &Self) -> bool {
        let place = |bytes: &[u8]| {
            (
                bytes.get(..18) == other.bytes.get(..18),
                bytes.get(38).copied(),
            )
        };
        let (same_system, realtime) = place(&self.bytes);
        same_system && realtime == other.bytes.get(38).copied()
    }

    /// Why `wanted`, the identity that a session was sealed with, is not that of this file. For the user.
    pub fn difference(&self, wanted: &[u8]) -> Difference {
        if wanted.len() != LENGTH || wanted.get(..OF_SYSTEM) != self.bytes.get(..OF_SYSTEM) {
            Difference::OtherSystem
        } else if wanted.get(..OF_FILE) != self.bytes.get(..OF_FILE) {
            Difference::OtherFile
        } else {
            Difference::Altered
        }
    }
}

/// How a file differs from the one that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Another file system, or no file at all.
    OtherSystem,
    /// Another file.
    OtherFile,
    /// The same file; it was altered.
    Altered,
}

/// Which file system an open file is on.
pub fn file_system(file: impl AsFd) -> Result<FileSystem, Errno> {
    let kind = rustix::fs::fstatfs(file)?.f_type;
    // Sign-extended where the field is signed and 32 bits wide.
    Ok(
        match u64::try_from(kind).map_or(0, |kind| kind & 0xffff_ffff) {
            BTRFS => FileSystem::Btrfs,
            XFS => FileSystem::Xfs,
            _ => FileSystem::Other,
        },
    )
}
