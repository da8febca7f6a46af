//! The Admin API of Qubes over qubesd's socket: the real [`crate::joints::qubes::QubeRegistry`].
//!
//! One request on one connection, an answer of a known form; what arrives is bounded, sanitised where it is shown, and parsed
//! strictly. Facts are those of qubes-core-admin 4.2 and 4.3.

mod devices;
mod parse;
mod registry;
mod socket;

pub use registry::AdminApi;
pub use socket::{EXTERNAL_SOCKET, INTERNAL_SOCKET, Socket};
