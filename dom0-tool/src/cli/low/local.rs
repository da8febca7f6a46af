//! Local storage, and the commands that need nothing else.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{Past, Place, Select, Unlock};
use crate::cli::local::LocalPlace;

/// Where volumes lie on this machine.
#[derive(Debug, Args)]
pub struct Storage {
    /// Local storage: a thin pool as VG/POOL, or a folder on Btrfs, XFS or another file system that clones files
    #[arg(long, value_name = "PLACE", help_heading = "Local storage")]
    pub local: Option<LocalPlace>,
    /// Take volumes of several storages from a JSON file: {"PLACE": [["VOLUME", "ALIAS" or null], ...], ...}
    #[arg(long, value_name = "FILE", help_heading = "Local storage")]
    pub vols_from: Option<PathBuf>,
    /// The same as --vols-from
    #[arg(long, value_name = "FILE", help_heading = "Local storage")]
    pub local_from: Option<PathBuf>,
}

/// `monitor`.
#[derive(Debug, Args)]
pub struct Monitor {
    /// Volumes in local storage [default: all of which this archive has snapshots]
    #[arg(value_name = "VOLUME")]
    pub volumes: Vec<crate::cli::volume::VolumeName>,
    /// Leave this volume out; may be repeated
    #[arg(long, value_name = "VOLUME")]
    pub volex: Vec<crate::cli::volume::VolumeName>,
    /// Say of which volumes, and do nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Local storage.
    #[command(flatten)]
    pub storage: Storage,
    /// Not needed here, but people give the same options everywhere.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// Volumes.
    #[command(flatten)]
    pub select: Select,
    /// The session.
    #[command(flatten)]
    pub past: Past,
    /// Compare checksums of chunks, and fetch nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "quick")]
    pub quick: bool,
    /// Compare a volume with any file or device: 'VOLUME:|:PATH'; may be repeated
    #[arg(long, value_name = "IMPORT")]
    pub import_other_from: Vec<crate::cli::volume::Import>,
    /// Local storage.
    #[command(flatten)]
    pub storage: Storage,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
