//! What can be wrong with foreign bytes.

use thiserror::Error;

/// An error of the format. Says which structure; where it lies is known to the caller.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// The bytes end before the structure does.
    #[error("{0} is cut short")]
    Truncated(&'static str),
    /// Bytes are left over behind the structure.
    #[error("{0} has bytes left over")]
    TrailingBytes(&'static str),
    /// A number, tag or text is outside what the format allows.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// A list is not in the order the format gives it.
    #[error("{0} is out of order")]
    OutOfOrder(&'static str),
    /// Not the magic number that this object begins with.
    #[error("this is not {0}")]
    NotThis(&'static str),
    /// Made by a newer version of Nacre.
    #[error("{what} needs a newer version of nacre ({found})")]
    TooNew {
        /// The structure.
        what: &'static str,
        /// Its version or the unknown flags.
        found: String,
    },
    /// The authentication tag or MAC does not fit: altered, damaged, or sealed with another key.
    #[error("{0} fails authentication")]
    NotAuthentic(&'static str),
    /// Authentic, but not what the pointer to it promised.
    #[error("{0} is not the one that was expected")]
    Mismatch(&'static str),
    /// A compressed frame does not decode to the expected size.
    #[error("{0} cannot be decompressed")]
    NotDecodable(&'static str),
}

/// Result of reading a structure.
pub type Result<T, E = FormatError> = std::result::Result<T, E>;
