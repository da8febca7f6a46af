//! `arch-check` as it is typed.

use std::num::NonZeroU8;

use clap::{ArgAction, Args};

use super::{Place, Storage, Unlock};
use crate::cli::session::SessionSelector;
use crate::cli::slice::DataSlice;
use crate::cli::target::Target;
use crate::cli::volume::{Import, VolumeName};

/// `arch-check`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a switch of the command line.
pub struct ArchCheck {
    /// Look at these volumes only [default: all]
    #[arg(value_name = "VOLUME")]
    pub volumes: Vec<VolumeName>,
    /// Leave this volume out; may be repeated
    #[arg(long, value_name = "VOLUME")]
    pub volex: Vec<VolumeName>,
    /// Read the data too: all of it, PERCENT% of it (what was read longest ago first) or part N of M
    #[arg(long, value_name = "PERCENT%|N/M", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option)] // Absent, given alone, given with a slice.
    pub data: Option<Option<DataSlice>>,
    /// newest: that of each volume only; YYYYMMDD-HHMMSS or ^TAG: that one and all before it
    #[arg(long, value_name = "SESSION")]
    pub session: Option<SessionSelector>,
    /// Mend what can be mended, with content from --local, --vols-from and the ini's other targets where it is still there, and mark what is lost
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "repair")]
    pub repair: bool,
    /// With --repair: look for lost content in this file or device: 'VOLUME:|:PATH'; may be repeated
    #[arg(long, value_name = "IMPORT")]
    pub import_other_from: Vec<Import>,
    /// With --repair: look for lost content in this other archive; may be repeated [default: every other target of the ini]
    #[arg(long, value_name = "URL")]
    pub heal_from: Vec<Target>,
    /// Local storage, for --repair.
    #[command(flatten)]
    pub storage: Storage,
    /// Remove what interrupted runs left in the store and no session needs
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "clean")]
    pub clean: bool,
    /// Give a copied archive an identity of its own, as `key change-uuid` does
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "change_uuid")]
    pub change_uuid: bool,
    /// Bring the archive to the newest version of the format
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "upgrade_format")]
    pub upgrade_format: bool,
    /// With --repair and --clean: say what would be done, and change nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Threads that decrypt and unpack [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroU8>,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
