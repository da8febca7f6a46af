//! Running `lvm` and `dmsetup`.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use crate::joints::sanitise::sanitise;
use crate::joints::{SourceError, SourceErrorKind};

/// Bytes that a report may have: thousands of volumes.
const LONGEST_REPORT: usize = 32 << 20;

/// Options of every command that changes something: no question, no talk, and no copy of the group's metadata in /etc/lvm for each of the many
/// small changes of a backup.
const CHANGING: [&str; 4] = ["--yes", "--quiet", "--autobackup", "n"];

/// What an `lvm` command that only reports says. `place` is what errors name.
pub fn lvm_report(place: &str, arguments: &[&str]) -> Result<Vec<u8>, SourceError> {
    said(place, "lvm", output(place, "lvm", arguments, None)?)
}

/// Runs an `lvm` command that changes something: `lvcreate`, then its arguments.
pub fn lvm(place: &str, command: &str, arguments: &[&str]) -> Result<(), SourceError> {
    let whole = [&[command], CHANGING.as_slice(), arguments].concat();
    said(place, command, output(place, "lvm", &whole, None)?).map(drop)
}

/// Runs many `lvm` commands in one process, one after another. Whether each succeeded has to be looked at: an error here means only that
/// `lvm` did not run.
pub fn lvm_many(place: &str, commands: &[Vec<String>]) -> Result<(), SourceError> {
    let mut input = String::new();
    for command in commands {
        let Some((verb, arguments)) = command.split_first() else {
            continue;
        };
        let words = [&[verb.as_str()], CHANGING.as_slice()].concat().join(" ");
        input.push_str(&words);
        for argument in arguments {
            input.push(' ');
            input.push_str(argument);
        }
        input.push('\n');
    }
    output(place, "lvm", &[], Some(input)).map(drop)
}

/// What a `dmsetup` command says.
pub fn dmsetup(place: &str, arguments: &[&str]) -> Result<String, SourceError> {
    let bytes = said(place, "dmsetup", output(place, "dmsetup", arguments, None)?)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn output(
    place: &str,
    program: &str,
    arguments: &[&str],
    input: Option<String>,
) -> Result<Output, SourceError> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        // Ctrl-C must not stop it in the middle of a change; it ends soon by itself.
        .process_group(0)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let failed = |error: std::io::Error| {
        let detail = match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("the program {program} is missing; install lvm2")
            }
            _ => format!("{program}: {error}"),
        };
        SourceError::new(SourceErrorKind::Io, place, detail)
    };
    let mut child = command.spawn().map_err(failed)?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        // It reads a line at a time and may say much between: written from beside, so that neither waits for the other.
        std::thread::spawn(move || {
            // If it died, its exit code tells.
            let _ = pipe.write_all(input.as_bytes());
        });
    }
    child.wait_with_output().map_err(failed)
}

fn said(place: &str, what: &str, output: Output) -> Result<Vec<u8>, SourceError> {
    if output.status.success() && output.stdout.len() <= LONGEST_REPORT {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<&str> = complaint.lines().map(str::trim).collect();
    lines.retain(|line| !line.is_empty() && !line.starts_with("WARNING"));
    let words = lines
        .get(..lines.len().min(4))
        .unwrap_or_default()
        .join("; ");
    let detail = if words.is_empty() {
        format!("{what}: {}", output.status)
    } else {
        format!("{what}: {}", sanitise(words.as_bytes(), 1000))
    };
    let kind = if words.contains("insufficient free space") || words.contains("free extents") {
        SourceErrorKind::NoSpace
    } else if words.contains("Failed to find logical volume") {
        SourceErrorKind::NotFound
    } else {
        SourceErrorKind::Io
    };
    Err(SourceError::new(kind, place, detail))
}
