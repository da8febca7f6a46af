//! What an error number means to a backup.

use rustix::io::Errno;

/// The cases that are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrnoKind {
    /// No such file or device.
    NotFound,
    /// A file of that name is there.
    Exists,
    /// Disk or quota full.
    NoSpace,
    /// The medium or the way to it is broken.
    Medium,
    /// Anything else.
    Other,
}

/// Sorts an error number into its case (errno(3)).
pub fn errno_kind(errno: Errno) -> ErrnoKind {
    match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => ErrnoKind::NotFound,
        Errno::EXIST => ErrnoKind::Exists,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => ErrnoKind::NoSpace,
        Errno::IO | Errno::NODATA | Errno::REMOTEIO | Errno::ILSEQ | Errno::BADMSG => {
            ErrnoKind::Medium
        }
        _ => ErrnoKind::Other,
    }
}
