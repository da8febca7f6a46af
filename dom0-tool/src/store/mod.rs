//! The store client: speaks the wire protocol with a helper that runs as a child process, or behind one (qrexec, ssh).
//!
//! The other side is not trusted: no number of it takes memory, no string of it is printed as it came, and a silent one
//! is given up after a while.

mod child;
mod client;
mod connection;
mod convert;
mod gets;
mod input;
mod lasting;
mod launch;
mod output;
mod put;
mod reader;
mod route;
mod throttle;
mod vigil;

pub use client::Client;
pub use lasting::{Lasting, Reopen};
pub use launch::{Launch, Patience, Transport, find_helper, open, open_local};
pub use route::Route;
