//! Error codes.

/// What went wrong at the helper, so that the client can tell the cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorCode {
    /// The object is not there.
    NotFound = 1,
    /// A range reaches beyond the object's end.
    OutOfRange = 2,
    /// The object would be, or is, larger than the helper takes.
    TooLarge = 3,
    /// Disk or quota full (ENOSPC, EDQUOT, EFBIG).
    NoSpace = 4,
    /// The file system is read-only (EROFS).
    ReadOnly = 5,
    /// The disk reported an error (EIO and everything not named here).
    Io = 6,
    /// The helper's mode, its bases or file permissions do not allow it.
    Refused = 7,
    /// The helper or the file system cannot do it; also the answer to an unknown kind of request.
    Unsupported = 8,
    /// The archive folder is not there.
    NoArchive = 9,
    /// The client broke the protocol. The helper ends after saying so.
    Protocol = 10,
    /// The helper knows only older versions of the protocol than the client accepts.
    HelperTooOld = 11,
    /// The helper knows only newer versions of the protocol than the client speaks.
    ClientTooOld = 12,
    /// The ssh host or the disk behind the helper cannot be reached, or is gone.
    Unreachable = 13,
}

impl ErrorCode {
    /// The code as it is on the wire.
    pub fn to_byte(self) -> u8 {
        self as u8
    }

    /// Reads a code; one that is not known (of a later helper) counts as `Io`.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::NotFound,
            2 => Self::OutOfRange,
            3 => Self::TooLarge,
            4 => Self::NoSpace,
            5 => Self::ReadOnly,
            7 => Self::Refused,
            8 => Self::Unsupported,
            9 => Self::NoArchive,
            10 => Self::Protocol,
            11 => Self::HelperTooOld,
            12 => Self::ClientTooOld,
            13 => Self::Unreachable,
            _ => Self::Io,
        }
    }
}
