//! `backup`.

use clap::{ArgAction, Args};

use super::{Place, Sending, Unlock};
use crate::cli::target::QubeName;

/// `backup`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a switch of the command line.
pub struct Backup {
    /// Names of qubes
    #[arg(value_name = "QUBE")]
    pub qubes: Vec<QubeName>,
    /// All qubes that are marked for backup (include_in_backups), too
    #[arg(long, short = 'i', action = ArgAction::SetTrue, overrides_with = "includes")]
    pub includes: bool,
    /// Leave this qube out; may be repeated
    #[arg(long, value_name = "QUBE")]
    pub exclude: Vec<QubeName>,
    /// Save running qubes as they are now, which is as after a power cut, not as of their last stop
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "live")]
    pub live: bool,
    /// dom0's own files too: /home, /srv, /etc/qubes and /etc/nacre, keys excepted
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dom0")]
    pub dom0: bool,
    /// What is sent, and what goes before.
    #[command(flatten)]
    pub sending: Sending,
    /// Read back what was sent, and check every byte of it
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "check_after_send")]
    pub check_after_send: bool,
    /// Show the plan and say what would be sent, and send nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
