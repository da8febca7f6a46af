//! A link that breaks. In a desk it stands in the place of `nacre-helper`, and carries the protocol to the real one by the way that the file
//! `link` beside it says; in the place of ssh's proxy (`--tcp HOST:PORT CUT`) it carries ssh's encrypted stream.
//!
//! The file's lines: how it breaks; where the archive lies, as the program at the other end is told; that program; its arguments.
//! It breaks `never`, or after so many bytes in one direction, in one of three ways: `up 1000 close`, `down 7 kill`, `up 9 stall`. Of several
//! such words with `; ` between them each is for one connection, and the last for all that follow.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Sender, channel};

use nacre_wire::limits::HEADER_LEN;
use nacre_wire::{FrameHeader, HelloRequest, Locator, encode_frame};

/// How the link breaks.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// Both ends see that it is closed.
    Close,
    /// Whoever carries it is killed.
    Kill,
    /// Nothing comes any more.
    Stall,
}

/// Bytes that are carried, and what happens then.
type Cut = Option<(usize, How)>;

/// What a direction says at its end.
#[derive(Clone, Copy)]
enum Ended {
    /// Whoever sends is gone, or whoever listens.
    Up,
    Down,
    Cut(How),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [tcp, address, cut @ ..] if tcp == "--tcp" => carry_tcp(address, &cut.join(" ")),
        _ => carry_protocol(&arguments),
    }
    .unwrap_or_else(|error| {
        eprintln!("link: {error}");
        ExitCode::from(9)
    })
}

/// Cuts for the two directions, up and down.
fn parse(cut: &str) -> std::io::Result<(Cut, Cut)> {
    let bad = || std::io::Error::other(format!("no cut: {cut:?}"));
    let words: Vec<&str> = cut.split(' ').collect();
    let [direction, bytes, how] = words.as_slice() else {
        return if cut == "never" {
            Ok((None, None))
        } else {
            Err(bad())
        };
    };
    let how = match *how {
        "close" => How::Close,
        "kill" => How::Kill,
        "stall" => How::Stall,
        _ => return Err(bad()),
    };
    let cut = Some((bytes.parse().map_err(|_| bad())?, how));
    Ok(if *direction == "up" {
        (cut, None)
    } else {
        (None, cut)
    })
}

fn carry_tcp(address: &str, cut: &str) -> std::io::Result<ExitCode> {
    let (up, down) = parse(cut)?;
    let stream = TcpStream::connect(address)?;
    let (send, receive) = channel();
    direction(
        std::io::stdin(),
        stream.try_clone()?,
        up,
        send.clone(),
        Ended::Up,
    );
    direction(stream, std::io::stdout(), down, send, Ended::Down);
    // Either end ends it.
    if let Ok(Ended::Cut(How::Stall)) = receive.recv() {
        freeze();
    }
    Ok(ExitCode::SUCCESS)
}

fn carry_protocol(arguments: &[String]) -> std::io::Result<ExitCode> {
    let own = std::env::current_exe()?;
    let plan = own.with_file_name("link");
    let text = std::fs::read_to_string(&plan)?;
    let mut lines = text.lines();
    let cuts = lines.next().unwrap_or_default();
    let (cut, later) = cuts.split_once("; ").unwrap_or((cuts, cuts));
    std::fs::write(plan, text.replacen(cuts, later, 1))?;
    let (up, down) = parse(cut)?;
    let locator = lines.next().unwrap_or_default();
    let program = lines.next().unwrap_or_default();
    let own_arguments: Vec<&str> = lines.collect();
    let mut command = Command::new(program);
    if own_arguments.is_empty() {
        command.args(arguments);
    } else {
        command.args(own_arguments);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::ErrorKind::BrokenPipe.into());
    };
    let hello = read_hello(&mut std::io::stdin(), locator)?;
    let up = match up {
        Some((bytes, how)) => {
            input.write_all(hello.get(..bytes).unwrap_or(&hello))?;
            Some((bytes.saturating_sub(hello.len()), how))
        }
        None => input.write_all(&hello).map(|()| None)?,
    };
    let (send, receive) = channel();
    direction(std::io::stdin(), input, up, send.clone(), Ended::Up);
    direction(output, std::io::stdout(), down, send, Ended::Down);
    loop {
        match receive.recv() {
            // The far side has an end of its input, and ends.
            Ok(Ended::Up) => {}
            Ok(Ended::Down) | Err(_) => return Ok(code(child.wait()?.code())),
            Ok(Ended::Cut(How::Stall)) => freeze(),
            Ok(Ended::Cut(how)) => {
                if how == How::Kill {
                    let group = i32::try_from(child.id()).ok();
                    if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
                        let signal = rustix::process::Signal::KILL;
                        let _ = rustix::process::kill_process_group(group, signal);
                    }
                }
                return Ok(ExitCode::from(255));
            }
        }
    }
}

fn code(code: Option<i32>) -> ExitCode {
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255))
}

fn freeze() -> ! {
    loop {
        std::thread::park();
    }
}

/// The first frame, which names the archive by another way than the command line did.
fn read_hello(input: &mut impl Read, locator: &str) -> std::io::Result<Vec<u8>> {
    let bad = |_| std::io::Error::other("the first frame is no hello");
    let mut header = [0; HEADER_LEN];
    input.read_exact(&mut header)?;
    let frame = FrameHeader::decode(&header).map_err(bad)?;
    let mut body = vec![0; frame.length as usize];
    input.read_exact(&mut body)?;
    let hello = HelloRequest::decode(&body).map_err(bad)?;
    let bytes = |text: &str| text.as_bytes().to_vec();
    let words: Vec<&str> = locator.split(' ').collect();
    let locator = match words.as_slice() {
        ["directory", path] => Locator::Directory { path: bytes(path) },
        ["ssh", host, path] => Locator::Ssh {
            host: bytes(host),
            path: bytes(path),
        },
        ["usb", uuid, path] => Locator::Usb {
            uuid: bytes(uuid),
            path: std::ffi::OsStr::new(path).as_bytes().to_vec(),
        },
        _ => hello.locator.clone(),
    };
    let body = HelloRequest { locator, ..hello }
        .encode()
        .unwrap_or_default();
    encode_frame(frame.kind, frame.id, &body).ok_or_else(|| std::io::Error::other("too long"))
}

/// Carries one direction in a thread of its own.
fn direction(
    mut from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    cut: Cut,
    ended: Sender<Ended>,
    stream: Ended,
) {
    std::thread::spawn(move || {
        let mut left = cut.map(|(bytes, _)| bytes);
        let mut buffer = vec![0; 64 * 1024];
        let end = loop {
            if let (Some(0), Some((_, how))) = (left, cut) {
                break Ended::Cut(how);
            }
            let room = left.map_or(buffer.len(), |left| left.min(buffer.len()));
            let Ok(read @ 1..) = from.read(&mut buffer[..room]) else {
                break stream;
            };
            if to
                .write_all(&buffer[..read])
                .and_then(|()| to.flush())
                .is_err()
            {
                break stream;
            }
            left = left.map(|left| left - read);
        };
        // What is stalled stays open at both ends.
        if matches!(end, Ended::Cut(How::Stall)) {
            let _ = ended.send(end);
            freeze();
        }
        drop((from, to));
        let _ = ended.send(end);
    });
}
