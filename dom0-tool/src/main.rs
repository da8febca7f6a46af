//! The program `nacre`: everything is in the library.

use std::process::ExitCode;

use nacre::cli::{Exit, Request, VERSION_LINE};
use nacre::entry;

fn main() -> ExitCode {
    let exit = match entry::understand(std::env::args_os().collect()) {
        Err(early) => entry::tell(&early),
        Ok(invocation) if invocation.request == Request::Version => {
            entry::show(&format!("nacre {VERSION_LINE}\n"))
        }
        Ok(_) => entry::fail(
            "this build has no archive code yet; take a newer one",
            Exit::Nothing,
        ),
    };
    exit.into()
}
