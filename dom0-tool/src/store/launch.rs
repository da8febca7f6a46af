//! How a store is opened.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nacre_wire::{HelloRequest, Locator, VERSION_HIGHEST, VERSION_LOWEST};

use super::client::Client;
use super::route::Route;
use crate::joints::{Store, StoreError, StoreErrorKind};

/// By what the helper is reached; says what an exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The child is the helper. It calls ssh itself, where the place is an ssh host.
    Local,
    /// The child is `qrexec-client`.
    Qrexec,
}

/// For how long the other side may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without any sign of life.
    pub silence: Duration,
    /// With signs of life, but without an answer or progress.
    pub idling: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(120),
            idling: Duration::from_secs(30 * 60),
        }
    }
}

/// Everything that it takes to reach a store.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program to start.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What the program is.
    pub transport: Transport,
    /// Where the archive lies, as the helper sees it.
    pub locator: Locator,
    /// Make the archive's folder if it is not there.
    pub create: bool,
    /// When to give up.
    pub patience: Patience,
    /// Bytes to send in a second, at most.
    pub limit: Option<NonZeroU64>,
}

/// Starts the program and says hello.
pub fn open(launch: &Launch) -> Result<Client, StoreError> {
    let hello = HelloRequest {
        lowest: VERSION_LOWEST,
        highest: VERSION_HIGHEST,
        create: launch.create,
        locator: launch.locator.clone(),
    };
    Client::open(launch, &hello)
}

/// Opens an archive in a directory of this machine. `helper`: the helper's program, if not where it usually is.
/// With `create`, the directory (not its parents) is made if it is not there.
pub fn open_local(
    helper: Option<&Path>,
    directory: &Path,
    create: bool,
) -> Result<Box<dyn Store>, StoreError> {
    let route = Route {
        helper: helper.map(Path::to_owned),
        ..Route::default()
    };
    Ok(Box::new(open(&route.directory(directory, create)?)?))
}

/// The path without `..` and links. What does not exist yet lies in a folder that does.
pub(super) fn real_path(directory: &Path) -> std::io::Result<PathBuf> {
    directory.canonicalize().or_else(|_| {
        let absolute = std::path::absolute(directory)?;
        match (absolute.parent(), absolute.file_name()) {
            (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
            _ => Ok(absolute),
        }
    })
}

/// The helper beside this program, else where packages put it, else in PATH.
pub fn find_helper() -> Result<PathBuf, StoreError> {
    const NAME: &str = "nacre-helper";
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.to_owned()));
    let packaged = ["/usr/lib/qubes", "/usr/libexec/qubes"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(packaged)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(NAME))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            let detail = "nacre-helper is not installed on this machine";
            StoreError::new(StoreErrorKind::NotInstalled, None, detail)
        })
}
