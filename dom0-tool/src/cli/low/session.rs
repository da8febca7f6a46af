//! `session`.

use clap::{ArgAction, Args};

use super::{Place, Unlock};

/// `session`.
#[derive(Debug, Args)]
pub struct Session {
    /// protect, unprotect, tag ID[,DESCRIPTION] or untag ID; then the sessions:
    /// YYYYMMDD-HHMMSS, ^TAG, newest, or FIRST,LAST
    #[arg(value_name = "ACTION [TAG] SESSION")]
    pub words: Vec<String>,
    /// Say what would be changed, and change nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
