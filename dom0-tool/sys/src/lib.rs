//! The only unsafe code of Nacre: ioctls of the kernel behind small safe functions.

mod btrfs_extents;
mod discard;
mod errno;
mod fiemap;
mod identity;

pub use btrfs_extents::{BtrfsExtent, BtrfsExtentKind, btrfs_extents};
pub use discard::{discard, zero_out};
pub use errno::{ErrnoKind, errno_kind};
pub use fiemap::{FiemapExtent, fiemap, fiemap_flags};
pub use identity::{btrfs_uuid, inode_generation, xfs_realtime, xfs_uuid};
