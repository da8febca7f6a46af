//! The program `nacre`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    nacre::entry::program(std::env::args_os().collect()).into()
}
