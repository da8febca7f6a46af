//! `setup`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::Place;
use crate::cli::values::Switch;

/// `setup`.
#[derive(Debug, Args)]
pub struct Setup {
    /// Name of the target in the ini [default: backup]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Back up daily, with a key file (nacre-backup.timer)
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "timer")]
    pub timer: bool,
    /// The key file for runs that nobody attends [default: what the ini names, or /etc/nacre/NAME.key]
    #[arg(long, value_name = "FILE")]
    pub new_key_file: Option<PathBuf>,
    /// Print a recovery sheet and have its code typed back in: on or off, if there is one [default: on]
    #[arg(long, value_name = "ON|OFF")]
    pub sheet: Option<Switch>,
    /// Do it without asking
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "force")]
    pub force: bool,
    /// Show the plan, and do nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Take the passphrase from the output of this command
    #[arg(long, value_name = "CMD", help_heading = "Key")]
    pub passcmd: Option<String>,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
