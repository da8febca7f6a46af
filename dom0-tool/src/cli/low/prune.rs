//! `prune`.

use clap::{ArgAction, Args};

use super::{Place, Select, Unlock};
use crate::cli::keep::{ApDays, AutoPrune, KeepSpec, Span};
use crate::cli::retention::RetentionWish;
use crate::cli::session::SessionSelector;

/// `prune`.
#[derive(Debug, Args)]
pub struct Prune {
    /// Volumes.
    #[command(flatten)]
    pub select: Select,
    /// Sessions to forget: YYYYMMDD-HHMMSS, ^TAG for all that have it, or FIRST,LAST with both
    #[arg(long, value_name = "SESSION", help_heading = "Which sessions go")]
    pub session: Option<SessionSelector>,
    /// Forget all sessions before the one that --session names
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "all_before", help_heading = "Which sessions go")]
    pub all_before: bool,
    /// Keep this session, or all with a tag: YYYYMMDD-HHMMSS or ^TAG; may be repeated
    #[arg(long, value_name = "SPEC", help_heading = "Which sessions go")]
    pub keep: Vec<KeepSpec>,
    /// Thin out what is old: off, on or full (here the same as on) [default: off]
    #[arg(long, value_name = "MODE", help_heading = "Which sessions go")]
    pub autoprune: Option<AutoPrune>,
    /// How: all older than A days go (0: none); of those older than B days, each C days keep D [default: 0:62:1:2]
    #[arg(long, value_name = "A:B:C:D", help_heading = "Which sessions go")]
    pub apdays: Option<ApDays>,
    /// Keep the last N sessions
    #[arg(
        long,
        value_name = "N",
        help_heading = "Which sessions stay; all others go"
    )]
    pub keep_last: Option<u32>,
    /// Keep the newest session of each of the last N hours that have one
    #[arg(
        long,
        value_name = "N",
        help_heading = "Which sessions stay; all others go"
    )]
    pub keep_hourly: Option<u32>,
    /// The same for days
    #[arg(
        long,
        value_name = "N",
        help_heading = "Which sessions stay; all others go"
    )]
    pub keep_daily: Option<u32>,
    /// The same for weeks
    #[arg(
        long,
        value_name = "N",
        help_heading = "Which sessions stay; all others go"
    )]
    pub keep_weekly: Option<u32>,
    /// The same for months
    #[arg(
        long,
        value_name = "N",
        help_heading = "Which sessions stay; all others go"
    )]
    pub keep_monthly: Option<u32>,
    /// The same for years
    #[arg(
        long,
        value_name = "N",
        help_heading = "Which sessions stay; all others go"
    )]
    pub keep_yearly: Option<u32>,
    /// Keep everything that is not older: 36h, 10d, 4w, 6m or 2y
    #[arg(
        long,
        value_name = "SPAN",
        help_heading = "Which sessions stay; all others go"
    )]
    pub keep_within: Option<Span>,
    /// Rules for the volumes whose names fit a pattern: PATTERN=RULES, as in vm-work-*=keep-daily 7, keep-within 30d; the first that fits counts
    #[arg(
        long,
        value_name = "RULES",
        help_heading = "Which sessions stay; all others go"
    )]
    pub retention: Vec<RetentionWish>,
    /// Forget without asking
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "force")]
    pub force: bool,
    /// Say what would go and why, and remove nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
