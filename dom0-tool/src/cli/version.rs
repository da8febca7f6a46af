//! Which program this is.

/// Version of the archive format that this program reads and writes.
pub const FORMAT: u32 = 1;

/// The line behind the program's name.
pub const LINE: &str = concat!(env!("CARGO_PKG_VERSION"), " (archive format 1)");
