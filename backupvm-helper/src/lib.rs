//! The program `nacre-helper` as a library: serves named bytes from a directory to nacre.
//!
//! It knows names and bytes; no keys and no format of what it stores. doc/PROTOCOL.md describes what it speaks.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod args;
mod backend;
mod buffer;
mod confine;
mod directory;
mod disk;
mod exit;
mod failure;
mod far;
mod lane;
mod output;
mod program;
mod serve;
mod sftp;
mod worker;

pub use args::{Command, Options, USAGE, parse};
pub use backend::{Backend, ByteSink, ListSink, Piece, Upload};
pub use confine::{confine_files, confine_limits, confine_syscalls};
pub use directory::Directory;
pub use exit::Exit;
pub use failure::Failure;
pub use program::main;
pub use serve::serve;
pub use sftp::{decode as decode_sftp, decode_version as decode_sftp_version};
