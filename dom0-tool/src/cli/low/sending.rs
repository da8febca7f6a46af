//! What `send` and `backup` have in common.

use std::num::NonZeroU8;

use clap::{ArgAction, Args};

use crate::cli::domain::DomainWish;
use crate::cli::keep::{ApDays, AutoPrune};
use crate::cli::retention::RetentionWish;
use crate::cli::session::TagWish;

/// How a session is sent, and what is thinned out before.
#[derive(Debug, Args)]
pub struct Sending {
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
    /// Thin out old sessions of all volumes before: off, full, or on: only if the store may have too little room [default: off]
    #[arg(long, value_name = "MODE")]
    pub autoprune: Option<AutoPrune>,
    /// How: all older than A days go (0: none); of those older than B days, each C days keep D [default: 0:62:1:2]
    #[arg(long, value_name = "A:B:C:D")]
    pub apdays: Option<ApDays>,
    /// Rules for the volumes whose names fit a pattern, instead of --apdays: PATTERN=RULES, as in vm-work-*=keep-daily 7, keep-within 30d
    #[arg(long, value_name = "RULES")]
    pub retention: Vec<RetentionWish>,
    /// Threads that compress and encrypt [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroU8>,
}
