//! This machine's qubes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::admin::{self, AdminApi};
use crate::archive::{Error, Result};
use crate::joints::qubes::{QubeRegistry, RegistryError};
use crate::joints::sanitise::sanitise;

/// Names another root of dom0's files.
const ROOT_VARIABLE: &str = "NACRE_DOM0_ROOT";
/// Where a Qubes system says which release it is.
const RELEASE: &str = "/etc/qubes-release";
/// Longest such line.
const LONGEST: u64 = 100;

/// Where dom0's files are: at the root; on machines without qubesd, where programs are tried, in another folder if the environment says so.
pub fn dom0_root() -> PathBuf {
    let is_dom0 = Path::new(admin::EXTERNAL_SOCKET).symlink_metadata().is_ok();
    let other = std::env::var_os(ROOT_VARIABLE).filter(|_| !is_dom0);
    other.map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

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
