//! dom0's own files as a volume: a tar archive in which each file begins on a chunk boundary, so that a file which did not change costs
//! nothing (doc/FORMAT.md, section 12).
//!
//! The archive is never on any disk: its headers are computed from what is there, and the files are read when their turn comes. Nothing in
//! it depends on anything but the files, so that the same files give the same bytes.

mod header;
mod layout;
mod read;
mod unpack;
mod volume;
mod walk;

#[cfg(test)]
mod tests;

pub use read::{Entry, Files, Kind, Reader, Trouble};
pub use unpack::{Laid, Unpack};
pub use volume::{Dom0Volume, Problems};
pub use walk::{FOLDERS, Found, walk};

/// The name of the volume. No local volume can have it.
pub const VOLUME: &str = "qubes:dom0";
