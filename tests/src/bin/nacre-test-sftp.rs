//! An SFTP server that breaks promises: OpenSSH's, carried both ways, but for what the first argument says. The other arguments are that
//! server's.
//!
//! `quota-told`: of a file no more than 256 KiB are kept, which is said when it is closed, as NFS does. `quota-untold`: nor is it then.
//! `no-folders`: folders cannot be opened as files are.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

const SERVER: &str = "/usr/lib/openssh/sftp-server";
const QUOTA: u64 = 256 << 10;
/// Kinds of packets.
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const WRITE: u8 = 6;
const STATUS: u8 = 101;
/// `Open`'s flag for reading alone.
const READ: u32 = 1;
/// `Status`'s word for a failure of any kind.
const FAILURE: u32 = 4;

fn main() -> ExitCode {
    match carry() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nacre-test-sftp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let how = arguments.next().unwrap_or_default();
    let mut server = Command::new(SERVER)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut to), Some(mut from)) = (server.stdin.take(), server.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    // Requests whose answers are replaced.
    let refused = Mutex::new(BTreeSet::new());
    let lock = || refused.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(mut packet) = receive(&mut from) {
                let id = number(&packet, 1);
                if lock().remove(&id) {
                    packet = refusal(id);
                }
                if send(&mut io::stdout().lock(), &packet).is_err() {
                    return;
                }
            }
        });
        let mut cut = BTreeSet::new();
        while let Ok(mut packet) = receive(&mut io::stdin().lock()) {
            if spoil(&how, &mut packet, &mut cut) {
                lock().insert(number(&packet, 1));
            }
            if send(&mut to, &packet).is_err() {
                break;
            }
        }
        drop(to);
    });
    server.wait().map(drop)
}

/// Alters a request as `how` says; `true` if its answer is to be a failure. `cut` are the files that lack something.
fn spoil(how: &str, packet: &mut Vec<u8>, cut: &mut BTreeSet<Vec<u8>>) -> bool {
    let kind = packet.first().copied().unwrap_or(0);
    let string = 4 + number(packet, 5) as usize;
    let named = packet.get(9..5 + string).unwrap_or(&[]).to_vec();
    match (kind, how) {
        (OPEN, "no-folders") => {
            number(packet, 5 + string) == READ && Path::new(OsStr::from_bytes(&named)).is_dir()
        }
        (WRITE, "quota-told" | "quota-untold") => {
            let offset = 5 + string;
            let high = u64::from(number(packet, offset)) << 32;
            if high + u64::from(number(packet, offset + 4)) >= QUOTA {
                packet.truncate(offset + 8);
                packet.extend([0; 4]);
                cut.insert(named);
            }
            false
        }
        (CLOSE, "quota-told") => cut.remove(&named),
        _ => false,
    }
}

fn number(packet: &[u8], at: usize) -> u32 {
    let bytes = packet.get(at..at + 4).and_then(|four| four.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}

fn refusal(id: u32) -> Vec<u8> {
    let said = b"Disk quota exceeded";
    let length = u32::try_from(said.len()).unwrap_or(0);
    let mut packet = vec![STATUS];
    for field in [id, FAILURE, length] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(said);
    packet.extend([0; 4]);
    packet
}

fn receive(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut packet)?;
    Ok(packet)
}

fn send(to: &mut impl Write, packet: &[u8]) -> io::Result<()> {
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    to.write_all(&length.to_be_bytes())?;
    to.write_all(packet)?;
    to.flush()
}
