//! A disk by its file system's UUID: a small parent, which is root, mounts it where nobody else sees it and starts the
//! server as the archive's owner; when that has ended it unmounts.
//!
//! The parent reads one frame of the client's, the hello, and nothing after it. Its exit code is 0 only if the client said
//! goodbye and the disk is unmounted with everything on it: then it may be pulled out. If the parent is killed, its mount
//! namespace and the mount in it go with it.

mod folder;
mod mount;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nacre_wire::{ErrorCode, HelloRequest, Kind, Locator, encode_frame};

use crate::args::Options;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::error_reply;
use crate::serve::{End, read_hello};
use folder::Owner;
use mount::Mounted;

/// Serves the disk that the client's hello names. The text, if any, is for stderr.
pub(crate) fn run(mut input: File, mut output: File, options: &Options) -> (Exit, Option<String>) {
    let (id, hello) = match read_hello(&mut input) {
        Ok(hello) => hello,
        Err(End::Input) => return (Exit::Cut, None),
        Err(_) => return (Exit::Protocol, Some("the first frame is no hello".into())),
    };
    let (mounted, server) = match prepare(&hello, id, options) {
        Ok(prepared) => prepared,
        Err(Refusal { failure, stuck }) => {
            let reply = error_reply(failure);
            let frame = encode_frame(Kind::Error, id, &reply.encode_body()).unwrap_or_default();
            let _ = output.write_all(&frame);
            return match stuck {
                None => (Exit::Refused, None),
                Some(stuck) => (Exit::Broken, Some(stuck.text)),
            };
        }
    };
    finish(mounted, server)
}

/// Why nothing is served, and why the disk could not be unmounted again, if so.
struct Refusal {
    failure: Failure,
    stuck: Option<Failure>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            stuck: None,
        }
    }
}

/// Mounts the disk and makes ready the server's command.
fn prepare(
    hello: &HelloRequest,
    id: u32,
    options: &Options,
) -> Result<(Mounted, Command), Refusal> {
    let Locator::Usb { uuid, path } = &hello.locator else {
        let text = "this helper was started to serve disks only";
        return Err(Failure::new(ErrorCode::Unsupported, text).into());
    };
    if !rustix::process::geteuid().is_root() {
        let text = "mounting a disk needs root";
        return Err(Failure::new(ErrorCode::Refused, text).into());
    }
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(ErrorCode::Io, format!("find myself: {error}")))?;
    let mounted = Mounted::new(uuid)?;
    let prepared = folder::prepare(mounted.root(), path, hello.create);
    let (owner, path) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => {
            let stuck = mounted.unmount().err();
            return Err(Refusal { failure, stuck });
        }
    };
    let inside = [mount::POINT.as_bytes(), b"/", &path[..]].concat();
    let hello = HelloRequest {
        locator: Locator::Directory { path: inside },
        ..hello.clone()
    };
    let frame = encode_frame(Kind::Hello, id, &hello.encode().unwrap_or_default());
    Ok((
        mounted,
        server(program, owner, &frame.unwrap_or_default(), options),
    ))
}

/// The server: the same program, without root from its first instruction.
fn server(program: std::path::PathBuf, owner: Owner, hello: &[u8], options: &Options) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--base", mount::POINT, "--hello"]);
    let mut digits = String::new();
    for byte in hello {
        let _ = write!(digits, "{byte:02x}");
    }
    // In the open: a path is no secret from the machine that it is on.
    command.arg(digits);
    if options.append_only {
        command.arg("--append-only");
    }
    // The standard library drops supplementary groups where it changes the user.
    command.uid(owner.user).gid(owner.group).current_dir("/");
    command
}

/// Runs the server and unmounts after it.
fn finish(mounted: Mounted, mut server: Command) -> (Exit, Option<String>) {
    let ended = server.status();
    let unmounted = mounted.unmount();
    let exit = match ended {
        Err(error) => {
            let text = format!("cannot start the server: {error}");
            return (Exit::Broken, Some(text));
        }
        Ok(status) => match status.code() {
            Some(0) => Exit::Done,
            Some(2) => Exit::Protocol,
            Some(3) => Exit::Refused,
            Some(4) => Exit::Cut,
            _ => Exit::Broken,
        },
    };
    match unmounted {
        Ok(()) => (exit, None),
        Err(failure) => (Exit::Broken, Some(failure.text)),
    }
}
