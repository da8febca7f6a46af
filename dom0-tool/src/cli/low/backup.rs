//! `backup`.

use std::num::NonZeroU8;

use clap::{ArgAction, Args};

use super::{Place, Unlock};
use crate::cli::domain::DomainWish;
use crate::cli::keep::{ApDays, AutoPrune};
use crate::cli::retention::RetentionWish;
use crate::cli::session::TagWish;
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
    /// Tag the session: ID or ID,DESCRIPTION; empty asks; may be repeated
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<TagWish>,
    /// Send only what the archive does not hold yet, anywhere in the volume's dedup domain
    #[arg(long, short = 'd', action = ArgAction::SetTrue, overrides_with = "dedup")]
    pub dedup: bool,
    /// Dedup domain of new volumes: NAME, or PATTERN=NAME with * in the pattern; may be repeated
    #[arg(long, value_name = "DOMAIN")]
    pub dedup_domain: Vec<DomainWish>,
    /// Forget what is known of changes, and compare everything
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "remap")]
    pub remap: bool,
    /// Read back what was sent, and check every byte of it
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "check_after_send")]
    pub check_after_send: bool,
    /// Thin out old sessions of all volumes before: off, full, or on: only if the store may have too little room [default: off]
    #[arg(long, value_name = "MODE")]
    pub autoprune: Option<AutoPrune>,
    /// How: all older than A days go (0: none); of those older than B days, each C days keep D [default: 0:62:1:2]
    #[arg(long, value_name = "A:B:C:D")]
    pub apdays: Option<ApDays>,
    /// Rules for the volumes whose names fit a pattern, instead of --apdays: PATTERN=RULES, as in vm-work-*=keep-daily 7, keep-within 30d
    #[arg(long, value_name = "RULES")]
    pub retention: Vec<RetentionWish>,
    /// Show the plan and say what would be sent, and send nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Threads that compress and encrypt [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroU8>,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
