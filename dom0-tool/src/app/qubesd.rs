//! This machine's qubes.

use std::fs::File;
use std::io::Read;

use crate::admin::{self, AdminApi};
use crate::archive::{Error, Result};
use crate::joints::qubes::{QubeRegistry, RegistryError};
use crate::joints::sanitise::sanitise;

/// Where a Qubes system says which release it is.
const RELEASE: &str = "/etc/qubes-release";
/// Longest such line.
const LONGEST: u64 = 100;

/// The registry, once it has answered: an error should come before anybody types a passphrase.
pub fn registry() -> Result<AdminApi> {
    let registry = admin::here();
    registry.list().map_err(|error| refused(&error))?;
    Ok(registry)
}

/// An error of the registry as one of the command.
pub fn refused(error: &RegistryError) -> Error {
    Error::refused(error.to_string(), "")
}

/// What the system calls itself; empty where it does not say.
pub fn release() -> String {
    let mut line = Vec::new();
    let read = File::open(RELEASE).and_then(|file| file.take(LONGEST).read_to_end(&mut line));
    if read.is_err() {
        return String::new();
    }
    let end = line.iter().position(|byte| *byte == b'\n');
    line.truncate(end.unwrap_or(line.len()));
    sanitise(&line, line.len())
}
