//! What is to be done with local storage.

use std::path::PathBuf;

use super::Selection;
use crate::cli::local::Local;
use crate::cli::session::SessionPoint;
use crate::cli::volume::{Import, VolumeName};

/// Harvest change maps and keep fresh snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// Where.
    pub local: Local,
    /// Volumes by their local names; empty: all of which the archive has snapshots there.
    pub volumes: Vec<VolumeName>,
    /// Left out.
    pub excluded: Vec<VolumeName>,
}

/// Compare volumes with a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// Which volumes of the archive.
    pub selection: Selection,
    /// Files and devices that are compared.
    pub imports: Vec<Import>,
    /// Where the others lie.
    pub local: Local,
    /// With which session.
    pub session: SessionPoint,
    /// As with `Receive`.
    pub strict: bool,
    /// Compare ids, fetch nothing.
    pub quick: bool,
}

/// Where volumes are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// One volume to a file or device.
    SaveTo(PathBuf),
    /// Local storage; never `Local::None`.
    Local(Local),
}

/// What a local snapshot is used for when a volume is written back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotUse {
    /// Clone it if it holds the very session that is wanted.
    pub same: bool,
    /// Clone it whatever session it holds, and write the difference.
    pub other: bool,
    /// Without it: an error.
    pub required: bool,
}
