//! Made-up but realistic raw disk images of virtual machines, for the demo and the benches.
//!
//! An image is what a backup sees of a used disk: files of this machine (programs, libraries, text), incompressible data, logs,
//! databases and small files, in extents of 4 KiB blocks, some split, with holes where the disk is free. It holds no file
//! system, so that it needs neither root nor tools. The same files, size and seed give the same image, bit for bit; images of two
//! machines differ, since their files do.

mod content;
mod day;
mod layout;
mod machine;
mod random;
mod words;

pub use day::{Day, DayReport, spend_a_day};
pub use layout::{ImageReport, ImageShape, make_image};
pub use random::Random;

/// The block of the file systems imitated here, and the unit of every change.
pub const BLOCK: usize = 4096;

/// A size or offset as an index. Images are smaller than the address space of any machine this is built for.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
