//! `restore` and `browse`.

use std::path::PathBuf;

use crate::cli::pref::Pref;
use crate::cli::session::SessionPoint;
use crate::cli::target::QubeName;

/// Which part of a qube is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePart {
    /// Volumes and settings.
    Both,
    /// Settings.
    Settings,
    /// Volumes.
    Data,
}

/// Bring qubes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Qubes by name, each once. Empty with `all`, else not.
    pub qubes: Vec<QubeName>,
    /// Every qube of which the archive has the content, and what these need.
    pub all: bool,
    /// Which session.
    pub session: SessionPoint,
    /// The pool of new qubes' volumes.
    pub pool: Option<String>,
    /// Another name, for one qube.
    pub rename: Option<QubeName>,
    /// Which part.
    pub part: RestorePart,
    /// Properties with other values than the archive's, each once.
    pub prefs: Vec<Pref>,
    /// Without what widens a qube's access.
    pub paranoid: bool,
    /// Damaged ranges are left out and named.
    pub skip_corrupt: bool,
    /// Overwrite without asking.
    pub force: bool,
}

/// Bring dom0's own files back, into a folder of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreDom0 {
    /// The folder, which is made.
    pub folder: PathBuf,
    /// Which session.
    pub session: SessionPoint,
}

/// Open a qube's files as of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browse {
    /// The qube.
    pub qube: QubeName,
    /// Which session.
    pub session: SessionPoint,
    /// The pool of the volume.
    pub pool: Option<String>,
    /// Damaged ranges are left out and named.
    pub skip_corrupt: bool,
}
