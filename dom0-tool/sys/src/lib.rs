//! The only unsafe code of Nacre: ioctls of the kernel behind small safe functions.

mod discard;
mod errno;

pub use discard::{discard, zero_out};
pub use errno::{ErrnoKind, errno_kind};
