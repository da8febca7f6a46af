//! The command line: there is no other configuration.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: nacre-helper serve [--base DIR]... [--ssh [--ssh-option ARG]...] [--append-only]
       nacre-helper serve --usb [--append-only]
       nacre-helper --help | --version

Serves backup archives below the DIRs, or of ssh hosts, to nacre over stdin and stdout.
  --base DIR      archives may lie in DIR and below (repeatable)
  --ssh           archives may lie on ssh hosts, reached as this user's ssh reaches them
  --ssh-option ARG
                  an argument for ssh, before the helper's own (repeatable)
  --usb           as root: mount the disk that is asked for, serve it as its owner, unmount it
  --append-only   refuse to delete and to punch";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Speak the protocol.
    Serve(Options),
    /// Print the usage.
    Help,
    /// Print the version.
    Version,
}

/// How to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Directories within which archives may lie.
    pub bases: Vec<PathBuf>,
    /// Refuse `Delete` and `Punch`.
    pub append_only: bool,
    /// Serve ssh hosts, too.
    pub ssh: bool,
    /// Serve disks, and nothing else.
    pub usb: bool,
    /// The client's first frame, which another has read already.
    pub hello: Vec<u8>,
    /// Options for ssh, before our own.
    pub ssh_options: Vec<OsString>,
    /// Confine the process after `Hello`. Only tests that run the server inside their own process turn it off.
    pub confine: bool,
}

/// Reads the arguments after the program's name.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments = arguments;
    match arguments
        .next()
        .as_deref()
        .and_then(std::ffi::OsStr::to_str)
    {
        Some("serve") => {}
        Some("--help" | "-h") => return Ok(Command::Help),
        Some("--version") => return Ok(Command::Version),
        _ => return Err("the first argument must be `serve`".into()),
    }
    let mut options = Options {
        confine: true,
        ..Options::default()
    };
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--base") => {
                let base = arguments.next().ok_or("--base needs a directory")?;
                options.bases.push(PathBuf::from(base));
            }
            Some("--append-only") => options.append_only = true,
            Some("--ssh") => options.ssh = true,
            Some("--usb") => options.usb = true,
            Some("--hello") => {
                let hello = arguments.next().ok_or("--hello needs a frame")?;
                options.hello = from_hex(&hello).ok_or("--hello is no frame")?;
            }
            Some("--ssh-option") => {
                let option = arguments.next().ok_or("--ssh-option needs an argument")?;
                options.ssh_options.push(option);
            }
            _ => return Err(format!("unknown argument {}", argument.display())),
        }
    }
    if options.usb && (options.ssh || !options.bases.is_empty()) {
        return Err("--usb goes with --append-only only".into());
    }
    if options.bases.is_empty() && !options.ssh && !options.usb {
        return Err("at least one --base, --ssh or --usb is needed".into());
    }
    Ok(Command::Serve(options))
}

fn from_hex(text: &std::ffi::OsStr) -> Option<Vec<u8>> {
    let pairs = text.as_encoded_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_page_has_every_option() {
        let page = include_str!("../../doc/man/nacre-helper.8").replace("\\-", "-");
        let words = USAGE.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let options: Vec<&str> = words.filter(|word| word.starts_with("--")).collect();
        assert!(options.contains(&"--base"));
        for option in options {
            assert!(page.contains(option), "{option}");
        }
    }
}
