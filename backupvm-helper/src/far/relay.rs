//! Handing everything on to a helper on the ssh host.

use std::fs::File;
use std::io::{Read, Write};

use nacre_wire::limits::HEADER_LEN;
use nacre_wire::{ErrorCode, FrameHeader, HelloReply, HelloRequest, Kind, Reply, encode_frame};

use super::child::{RunningSsh, SshChild};
use super::host::{Host, Service};
use crate::args::Options;
use crate::confine;
use crate::exit::Exit;
use crate::failure::Failure;

/// Bytes that are handed on at once.
const PIECE: usize = 256 * 1024;

/// A helper over there that has said hello, and the way to it.
pub(crate) struct Relay {
    /// The body of its answer, to be handed on.
    hello: Vec<u8>,
    to: File,
    from: File,
    ssh: RunningSsh,
}

impl Relay {
    /// Calls the helper on the host. `None` if the host can be reached but has no helper.
    pub(crate) fn open(
        host: &Host,
        hello: &HelloRequest,
        id: u32,
        options: &Options,
    ) -> Result<Option<Self>, Failure> {
        let append_only = options.append_only;
        let mut ssh = SshChild::start(host, Service::Helper { append_only }, options)?;
        let body = hello.encode().unwrap_or_default();
        ssh.write(&encode_frame(Kind::Hello, id, &body).unwrap_or_default());
        let Some((kind, body)) = first_frame(&mut ssh, id)? else {
            return match ssh.end() {
                // ssh itself failed: SFTP would fare no better.
                (Some(255), said) => {
                    let text = format!("ssh could not connect; it said: {said}");
                    Err(Failure::new(ErrorCode::Unreachable, text))
                }
                _ => Ok(None),
            };
        };
        if kind == Kind::Error {
            return Err(match Reply::decode(kind, &body) {
                Ok(Reply::Error(code, text)) => {
                    Failure::new(code, String::from_utf8_lossy(&text).into_owned())
                }
                _ => broken("its first answer is malformed"),
            });
        }
        let reply = HelloReply::decode(&body).map_err(|malformed| broken(malformed.0))?;
        if append_only && !reply.facts.append_only {
            // A forced command may have changed what was asked for: then the promise made here would not hold.
            let text = "the helper on the ssh host does not run append-only, as this one must";
            return Err(Failure::new(ErrorCode::Refused, text));
        }
        if options.confine {
            confine::confine_limits()?;
            confine::confine_from_files()?;
        }
        let (to, from, ssh) = ssh.run()?;
        Ok(Some(Self {
            hello: body,
            to,
            from,
            ssh,
        }))
    }

    /// Hands on both ways until the host's output ends.
    pub(crate) fn run<W: Write>(
        self,
        id: u32,
        mut input: impl Read + Send,
        mut output: W,
        confined: bool,
    ) -> (Exit, Option<String>) {
        let Self {
            hello,
            mut to,
            mut from,
            ssh,
        } = self;
        let first = encode_frame(Kind::HelloOk, id, &hello).unwrap_or_default();
        let copied = std::thread::scope(|scope| {
            let there = std::thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn_scoped(scope, move || {
                    // Dropping the pipe afterwards tells the other helper that the input has ended.
                    let _ = copy(&mut input, &mut to);
                });
            there?;
            if confined {
                confine::confine_syscalls();
            }
            output.write_all(&first)?;
            let end = copy(&mut from, &mut output);
            // The input may still be open, and its thread would hold us: the end of the process ends it.
            let (exit, text) = verdict(end, &ssh);
            if confined {
                if let Some(text) = &text {
                    eprintln!("nacre-helper: {text}");
                }
                std::process::exit(exit.code().into());
            }
            Ok::<_, std::io::Error>((exit, text))
        });
        copied.unwrap_or_else(|error| (Exit::Broken, Some(format!("handing on: {error}"))))
    }
}

/// How the helper over there ended, by ssh's exit code.
fn verdict(end: std::io::Result<()>, ssh: &RunningSsh) -> (Exit, Option<String>) {
    if let Err(error) = end {
        return (Exit::Broken, Some(format!("handing on: {error}")));
    }
    match ssh.end() {
        (Some(0), _) => (Exit::Done, None),
        (Some(4), _) => (Exit::Cut, None),
        (Some(2), said) => (Exit::Protocol, Some(said)),
        (_, said) => {
            let text = format!("the connection to the ssh host ended; it said: {said}");
            (Exit::Broken, Some(text))
        }
    }
}

/// The first frame, if it is what a helper begins with.
fn first_frame(ssh: &mut SshChild, id: u32) -> Result<Option<(Kind, Vec<u8>)>, Failure> {
    let Some(header) = ssh.read(HEADER_LEN)? else {
        return Ok(None);
    };
    let header = header.try_into().ok();
    let header = header.and_then(|bytes: [u8; HEADER_LEN]| FrameHeader::decode(&bytes).ok());
    let Some(header) = header else {
        return Ok(None);
    };
    if header.id != id || !matches!(header.kind, Kind::HelloOk | Kind::Error) {
        return Ok(None);
    }
    let body = ssh.read(header.length as usize)?;
    Ok(body.map(|body| (header.kind, body)))
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                to.write_all(piece.get(..read).unwrap_or(&[]))?;
                to.flush()?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn broken(text: &str) -> Failure {
    let text = format!("the helper on the ssh host: {text}");
    Failure::new(ErrorCode::Io, text)
}
