//! From the locator's path to the archive's folder, which must lie within one of the bases.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nacre_wire::ErrorCode;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::failure::{Failure, While};

pub(super) const FOLDER_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
pub(super) const FOLDER_MODE: Mode = Mode::RWXU;

/// Opens the folder; with `create`, makes it (not its parents) and makes its name durable.
pub(super) fn locate(path: &[u8], create: bool, bases: &[PathBuf]) -> Result<OwnedFd, Failure> {
    let default;
    let path = if path.is_empty() {
        default = default_folder()?;
        &default
    } else {
        Path::new(OsStr::from_bytes(path))
    };
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain {
        let text = "the archive's path must be absolute and without `..`";
        return Err(Failure::new(ErrorCode::Refused, text));
    }
    let bases: Vec<PathBuf> = bases
        .iter()
        .filter_map(|base| base.canonicalize().ok())
        .collect();
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(path, create, &bases)?,
        Err(error) => return Err(io_failure("the archive's folder", &error)),
    };
    check(&real, &bases)?;
    rustix::fs::open(&real, FOLDER_FLAGS, Mode::empty()).doing("open the archive's folder")
}

/// The folder where no path was given: `nacre` in the home folder.
fn default_folder() -> Result<PathBuf, Failure> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let home = home.ok_or_else(|| {
        let text = "no path was given, and the helper has no home folder";
        Failure::new(ErrorCode::NoArchive, text)
    })?;
    Ok(Path::new(&home).join("nacre"))
}

fn make(path: &Path, create: bool, bases: &[PathBuf]) -> Result<PathBuf, Failure> {
    let absent = || Failure::new(ErrorCode::NoArchive, "the folder does not exist");
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(absent());
    };
    if !create {
        return Err(absent());
    }
    let parent = parent
        .canonicalize()
        .map_err(|error| io_failure("the folder that shall hold the archive", &error))?;
    check(&parent, bases)?;
    let holder = rustix::fs::open(&parent, FOLDER_FLAGS, Mode::empty())
        .doing("open the folder that shall hold the archive")?;
    match rustix::fs::mkdirat(&holder, name, FOLDER_MODE) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Failure::kernel("make the archive's folder", errno)),
    }
    // The archive's own name: after this a power cut cannot take it.
    rustix::fs::fsync(&holder).doing("fsync the folder that holds the archive")?;
    Ok(parent.join(name))
}

fn check(real: &Path, bases: &[PathBuf]) -> Result<(), Failure> {
    if bases.iter().any(|base| real.starts_with(base)) {
        return Ok(());
    }
    let text = "the path lies outside the folders that this helper may serve";
    Err(Failure::new(ErrorCode::Refused, text))
}

fn io_failure(doing: &str, error: &std::io::Error) -> Failure {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let mut failure = Failure::kernel(doing, errno);
    if failure.code == ErrorCode::NotFound {
        failure.code = ErrorCode::NoArchive;
    }
    failure
}
