//! `restore` and `browse`.

use std::num::NonZeroU8;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{Place, Unlock};
use crate::cli::pref::Pref;
use crate::cli::session::SessionSelector;
use crate::cli::target::QubeName;

/// `restore`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a switch of the command line.
pub struct Restore {
    /// Names of qubes; or dom0 alone, with --save-to
    #[arg(value_name = "QUBE")]
    pub qubes: Vec<QubeName>,
    /// Put dom0's own files into this new folder
    #[arg(long, value_name = "FOLDER")]
    pub save_to: Option<PathBuf>,
    /// Every qube of which the archive has the content, templates first, with all that these need
    #[arg(long, short = 'a', action = ArgAction::SetTrue, overrides_with = "all")]
    pub all: bool,
    /// The session: YYYYMMDD-HHMMSS, ^TAG or newest [default: newest]
    #[arg(long, value_name = "SESSION")]
    pub session: Option<SessionSelector>,
    /// Put the volumes of new qubes into this pool [default: the pool they were in if it is here, else Qubes' default]
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
    /// Restore the qube under another name
    #[arg(long = "as", value_name = "NAME")]
    pub rename: Option<QubeName>,
    /// Restore settings only; the volumes of a new qube are empty
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "settings_only")]
    pub settings_only: bool,
    /// Restore volumes only, into qubes that are here
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "data_only")]
    pub data_only: bool,
    /// Give a property this value instead of the archive's (NAME=VALUE), or leave it to the system (NAME); may be repeated
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub pref: Vec<Pref>,
    /// Leave out what widens a qube's access: network, devices, tags, features but those of menus, most properties
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "paranoid")]
    pub paranoid: bool,
    /// Leave damaged ranges out instead of giving up; they are named
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "skip_corrupt_chunks")]
    pub skip_corrupt_chunks: bool,
    /// Overwrite qubes that are here without asking
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "force")]
    pub force: bool,
    /// Show the plan, with --verbose every step of it, and do nothing
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

/// `browse`.
#[derive(Debug, Args)]
pub struct Browse {
    /// The qube whose files are wanted
    #[arg(value_name = "QUBE")]
    pub qube: QubeName,
    /// The session: YYYYMMDD-HHMMSS, ^TAG or newest [default: newest]
    #[arg(long, value_name = "SESSION")]
    pub session: Option<SessionSelector>,
    /// Put the qube's volume into this pool [default: Qubes' default]
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
    /// Open it all the same if parts are damaged; these are named, and read as zeros
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "skip_corrupt_chunks")]
    pub skip_corrupt_chunks: bool,
    /// Say what would be done, and do nothing
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
