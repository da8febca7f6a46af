//! From the command line to the server.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::process::ExitCode;

use nacre_wire::{VERSION_HIGHEST, VERSION_LOWEST};
use rustix::fs::FileType;

use crate::args::{Command, Options, USAGE, parse};
use crate::disk;
use crate::exit::Exit;
use crate::serve::serve;

/// The whole program: reads the command line, serves, and says how it ended.
pub fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let exit = match parse(arguments) {
        Ok(Command::Help) => {
            println!("{USAGE}");
            Exit::Done
        }
        Ok(Command::Version) => {
            println!(
                "nacre-helper {} ({})",
                env!("CARGO_PKG_VERSION"),
                protocol()
            );
            Exit::Done
        }
        Ok(Command::Serve(options)) => run(&options),
        Err(text) => {
            eprintln!("nacre-helper: {text}\n{USAGE}");
            Exit::Usage
        }
    };
    ExitCode::from(exit.code())
}

/// What it can speak with a nacre of another release.
fn protocol() -> String {
    if VERSION_LOWEST == VERSION_HIGHEST {
        format!("speaks protocol {VERSION_HIGHEST}")
    } else {
        format!("speaks protocols {VERSION_LOWEST} to {VERSION_HIGHEST}")
    }
}

fn run(options: &Options) -> Exit {
    // Own descriptors without the buffers of `std::io::Stdin` and `Stdout`: bodies go straight to where they belong.
    let ends = rustix::stdio::stdin()
        .try_clone_to_owned()
        .and_then(|input| Ok((input, rustix::stdio::stdout().try_clone_to_owned()?)));
    let (input, output) = match ends {
        Ok((input, output)) => (File::from(input), File::from(output)),
        Err(error) => {
            eprintln!("nacre-helper: no stdin or stdout: {error}");
            return Exit::Broken;
        }
    };
    for end in [&input, &output] {
        // Larger pipes save wake-ups. Sockets refuse, and so may the kernel's quota: both are fine.
        let _ = rustix::pipe::fcntl_setpipe_size(end, 1 << 20);
    }
    let is_pipe = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo;
    let pipe = rustix::fs::fstat(&output).is_ok_and(is_pipe);
    let pipe = pipe.then(|| output.try_clone().ok()).flatten();
    if options.usb {
        let (exit, reason) = disk::run(input, output, options);
        if let Some(reason) = reason {
            eprintln!("nacre-helper: {reason}");
        }
        return exit;
    }
    // Small frames share a read; the bodies of large ones go around this buffer.
    let input = BufReader::with_capacity(4096, input);
    let input = Cursor::new(options.hello.clone()).chain(input);
    let (exit, reason) = serve(input, output, pipe.map(Into::into), options);
    if let Some(reason) = reason {
        eprintln!("nacre-helper: {reason}");
    }
    exit
}
