//! Forgetting sessions.

use super::Selection;
use crate::cli::keep::{ApDays, KeepSpec, Span};
use crate::cli::retention::RetentionWish;
use crate::cli::session::{SessionPoint, SessionSelector};

/// Forget sessions of volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prune {
    /// Which volumes.
    pub selection: Selection,
    /// Which sessions.
    pub which: Which,
    /// Rules of certain volumes, of which the first that fits counts instead of `Which::Rules`. Without a meaning where sessions are named.
    pub retention: Vec<RetentionWish>,
    /// Those that stay all the same.
    pub keep: Vec<KeepSpec>,
    /// Without asking.
    pub force: bool,
}

/// Which sessions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those named.
    Named(SessionSelector),
    /// All before this one.
    Before(SessionPoint),
    /// What rules do not want.
    Rules(Rules),
}

/// Rules; 0 and `None`: there is no such rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `--keep-last`, `-hourly`, `-daily`, `-weekly`, `-monthly`, `-yearly`.
    pub counts: [u32; 6],
    /// `--keep-within`.
    pub within: Option<Span>,
    /// `--autoprune` with `--apdays`.
    pub thinning: Option<ApDays>,
}
