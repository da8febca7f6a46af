//! `arch-deduplicate`.

use clap::{ArgAction, Args};

use super::{Place, Unlock};
use crate::cli::volume::VolumeName;

/// `arch-deduplicate`.
#[derive(Debug, Args)]
pub struct Deduplicate {
    /// Volumes whose copies may go [default: all]
    #[arg(value_name = "VOLUME")]
    pub volumes: Vec<VolumeName>,
    /// Say what would be shared, and change nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
