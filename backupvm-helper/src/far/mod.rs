//! An ssh host: `nacre-helper` over there, to which everything is handed on; else plain SFTP.
//!
//! The system's ssh is started before the helper confines itself, and everything else that it reads of the host is read
//! after: by then it can open no file at all. What is sent through the host's shell is one of two constants; the
//! archive's path travels in the hello, or in SFTP's own strings, which no shell sees.

mod child;
mod host;
mod relay;

pub(crate) use child::SshChild;
pub(crate) use host::{Host, Service};
pub(crate) use relay::Relay;

use nacre_wire::{ErrorCode, HelloRequest, Locator};

use crate::args::Options;
use crate::failure::Failure;
use crate::sftp::Sftp;

/// How an ssh host is reached.
pub(crate) enum Far {
    /// A helper over there has said hello.
    Helper(Relay),
    /// There is none; its SFTP server serves.
    Sftp(Sftp),
}

/// Calls the host and finds out what is there. The process is confined when this returns; `true` if Landlock
/// does that (of a relay, the other helper says how it is confined).
pub(crate) fn open(
    hello: &HelloRequest,
    id: u32,
    options: &Options,
) -> Result<(Far, bool), Failure> {
    let Locator::Ssh { host, path } = &hello.locator else {
        let text = "this helper serves ssh hosts only";
        return Err(Failure::new(ErrorCode::Unsupported, text));
    };
    let host = Host::parse(host)?;
    if path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        let text = "the archive's path must be without `..`";
        return Err(Failure::new(ErrorCode::Refused, text));
    }
    let there = HelloRequest {
        locator: Locator::Directory { path: path.clone() },
        ..hello.clone()
    };
    if let Some(relay) = Relay::open(&host, &there, id, options)? {
        return Ok((Far::Helper(relay), false));
    }
    let (sftp, landlock) = Sftp::open(&host, path, hello.create, options)?;
    Ok((Far::Sftp(sftp), landlock))
}
