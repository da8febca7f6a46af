//! What a run of `send` did.

use std::time::Duration;

use nacre_core::ids::SessionSeq;

use crate::joints::{Counts, Outcome, SourceError};

/// How one volume fared.
#[derive(Clone, Debug)]
pub enum VolumeOutcome {
    /// It is in the new session.
    Stored,
    /// It is as it was in its newest session, and got no new one.
    Unchanged,
    /// It could not be read to its end; what was read is kept as an unfinished session.
    Failed(SourceError),
    /// The user stopped the run.
    Interrupted,
}

impl VolumeOutcome {
    /// The same for those who watch.
    pub fn for_monitor(&self) -> Outcome {
        match self {
            Self::Stored => Outcome::Done,
            Self::Unchanged => Outcome::Unchanged,
            Self::Failed(error) => Outcome::Failed(error.to_string()),
            Self::Interrupted => Outcome::Failed("interrupted".to_owned()),
        }
    }
}

/// Figures of one volume.
#[derive(Clone, Debug)]
pub struct VolumeReport {
    /// Its name.
    pub name: String,
    /// How it fared.
    pub outcome: VolumeOutcome,
    /// Size in bytes.
    pub size: u64,
    /// What was looked at, changed and sent.
    pub counts: Counts,
}

/// Figures of a run.
#[derive(Clone, Debug)]
pub struct SendReport {
    /// The session that was made: finished, or unfinished when the run was interrupted or no volume could be read to its end. `None`
    /// when nothing changed.
    pub session: Option<(SessionSeq, String)>,
    /// Each volume, in the order sent.
    pub volumes: Vec<VolumeReport>,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl SendReport {
    /// Whether no volume could be read.
    pub fn all_failed(&self) -> bool {
        let failed = |v: &VolumeReport| matches!(v.outcome, VolumeOutcome::Failed(_));
        self.volumes.iter().all(failed)
    }

    /// Whether some volumes could not be read.
    pub fn any_failed(&self) -> bool {
        let failed = |v: &VolumeReport| matches!(v.outcome, VolumeOutcome::Failed(_));
        self.volumes.iter().any(failed)
    }
}
