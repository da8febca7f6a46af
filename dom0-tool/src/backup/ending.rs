//! The end of a run, and what came of one whose connection broke just then.

use std::time::Instant;

use super::report::{SendReport, VolumeReport};
use crate::archive::{Archive, Attempted, Result};
use crate::joints::{FrozenVolume, Monitor};
use nacre_core::ids::{HeadHash, SessionSeq};

/// What a run will have done once its last commit is made.
pub struct Ending {
    /// The session.
    pub session: Option<(SessionSeq, String)>,
    /// Each volume, in the order sent.
    pub volumes: Vec<VolumeReport>,
    /// For each volume, whether its new snapshot is to be kept.
    pub keep: Vec<bool>,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// When it began.
    pub started: Instant,
    /// The archive's head before that commit.
    pub before: HeadHash,
}

impl Ending {
    /// After the commit: new snapshots are kept instead of the older ones. Where that fails the session is whole all the same, and the next run
    /// compares everything.
    pub fn conclude(
        self,
        volumes: &mut [Box<dyn FrozenVolume>],
        monitor: &dyn Monitor,
    ) -> SendReport {
        let keep = volumes.iter_mut().zip(&self.keep);
        for (volume, _) in keep.filter(|(_, keep)| **keep) {
            if let Err(error) = volume.committed() {
                monitor.warning(&format!(
                    "volume {} is stored, but its new snapshot could not be kept: {error}",
                    volume.name()
                ));
            }
        }
        SendReport {
            session: self.session,
            volumes: self.volumes,
            interrupted: self.interrupted,
            elapsed: self.started.elapsed(),
        }
    }
}

/// A try of a run that failed, for the next one.
#[derive(Default)]
pub struct Try {
    /// The head of the last commit, of which is not known what came of it, and how the run ends if it is there.
    missing: Option<(Attempted, Ending)>,
}

impl Try {
    /// It ended so, with this archive.
    pub(super) fn failed(&mut self, archive: &Archive, ending: Option<Ending>) {
        self.missing = ending.and_then(|ending| {
            let head = archive.attempted_since(ending.before)?;
            Some((head, ending))
        });
    }

    /// How the run ended, if the archive, which was opened anew, shows that its last commit was made: there is nothing left to do.
    pub(super) fn made_it(&mut self, archive: &Archive) -> Result<Option<Ending>> {
        match self.missing.take() {
            Some((head, ending)) if archive.has(head)? => Ok(Some(ending)),
            _ => Ok(None),
        }
    }
}
