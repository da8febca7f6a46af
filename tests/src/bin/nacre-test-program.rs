//! The program as it is installed, built beside the tests that run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    nacre::entry::program(std::env::args_os().collect()).into()
}
