//! Errors of commands on an archive, and the exit code each ends with.

use nacre_core::error::FormatError;
use nacre_core::header::TooOld;
use nacre_core::ids::ArchiveId;
use thiserror::Error;

use crate::joints::{SourceError, StateError, StoreError, StoreErrorKind};

pub(super) const REMOVED_KEY: &str = "this key was removed from the archive, or changed: it opens nothing but an older header that the store still has";
pub(super) const REMOVED_KEY_REMEDY: &str = "Use one of the archive's present keys.";

/// What stopped a command, or a part of it. `Display` is one sentence; `remedy` the next.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Local storage.
    #[error("{0}")]
    Source(#[from] SourceError),
    /// Something read from the store is not what it must be.
    #[error("{what}: {error}")]
    Damaged {
        /// Which object, and for what.
        what: String,
        /// What is wrong with it.
        error: FormatError,
    },
    /// Data of a volume could not be restored.
    #[error("{0}")]
    Lost(String),
    /// The store is not as new as this machine remembers, or not the same archive.
    #[error("{sentence}")]
    Stale {
        /// What was found.
        sentence: String,
        /// What the user can do.
        remedy: String,
    },
    /// Not the archive that this machine knows at this target, or one that lost its encryption.
    #[error("this is not the archive that this machine knows at this target: {why}")]
    Foreign {
        /// What differs.
        why: &'static str,
        /// The archive of which this machine remembers something else; `None` if only the target's memory disagrees.
        archive: Option<ArchiveId>,
        /// What the user can do.
        remedy: String,
    },
    /// What was asked for cannot be done.
    #[error("{sentence}")]
    Refused {
        /// Why.
        sentence: String,
        /// What the user can do; may be empty.
        remedy: String,
    },
    /// The key is none of the archive's, but was one.
    #[error("{REMOVED_KEY}")]
    RemovedKey(TooOld),
    /// Another writer was first: of this change nothing is in the archive.
    #[error("another writer has changed the archive meanwhile")]
    Outrun,
    /// dom0's own files.
    #[error("{0}")]
    State(String),
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}

/// Result of a command on an archive.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How bad it is: what the exit code tells (DESIGN 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing was done.
    Failed,
    /// Data is damaged or missing.
    Integrity,
    /// Rollback or a foreign archive.
    Freshness,
    /// The user stopped it.
    Interrupted,
}

/// `?` in code that reads the index: the object is not known there.
impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        Self::Damaged {
            what: "the archive's index".to_owned(),
            error,
        }
    }
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Self::State(error.to_string())
    }
}

impl Error {
    /// A refusal with a way out.
    pub fn refused(sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refused {
            sentence: sentence.into(),
            remedy: remedy.into(),
        }
    }

    /// Names the object in which a format error was found.
    pub fn damaged(what: impl ToString) -> impl FnOnce(FormatError) -> Self {
        move |error| Self::Damaged {
            what: what.to_string(),
            error,
        }
    }

    /// Another archive than the one that is known here.
    pub fn foreign(why: &'static str, archive: Option<ArchiveId>) -> Self {
        Self::Foreign {
            why,
            archive,
            remedy: "Check that the right disk or qube is there.".to_owned(),
        }
    }

    /// What cannot happen has happened.
    pub fn internal() -> Self {
        Self::State("nacre lost track of its own work; this is a bug".to_owned())
    }

    /// What kind of failure it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Damaged { error, .. } if !matches!(error, FormatError::TooNew { .. }) => {
                Severity::Integrity
            }
            Self::Lost(_) => Severity::Integrity,
            Self::Store(error) => match error.kind {
                StoreErrorKind::NotFound | StoreErrorKind::OutOfRange => Severity::Integrity,
                _ => Severity::Failed,
            },
            Self::Stale { .. } | Self::Foreign { .. } => Severity::Freshness,
            Self::Interrupted => Severity::Interrupted,
            Self::Damaged { .. }
            | Self::Source(_)
            | Self::Refused { .. }
            | Self::RemovedKey(_)
            | Self::Outrun
            | Self::State(_) => Severity::Failed,
        }
    }

    /// Whether it is only that something in the store is damaged or missing: the rest may still be read.
    pub fn is_damage(&self) -> bool {
        let bad_sector = matches!(self, Self::Store(error) if error.kind == StoreErrorKind::Io);
        bad_sector || self.severity() == Severity::Integrity
    }

    /// What the user can do about it, in one sentence; empty where the error says all.
    pub fn remedy(&self) -> String {
        match self {
            Self::Store(error) => store_remedy(error.kind).to_owned(),
            Self::Damaged {
                error: FormatError::TooNew { .. },
                ..
            } => "Install a newer nacre.".to_owned(),
            Self::Damaged { .. } | Self::Lost(_) => {
                "Look at the store's disk; `nacre arch-check` shows what else is affected, with `--repair` it mends what can be mended."
                    .to_owned()
            }
            Self::Stale { remedy, .. }
            | Self::Foreign { remedy, .. }
            | Self::Refused { remedy, .. } => remedy.clone(),
            Self::RemovedKey(_) => REMOVED_KEY_REMEDY.to_owned(),
            Self::Outrun => "Run the same command again.".to_owned(),
            Self::Source(_) | Self::State(_) | Self::Interrupted => String::new(),
        }
    }
}

fn store_remedy(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::NotFound | StoreErrorKind::OutOfRange | StoreErrorKind::TooLarge => {
            "Look at the store's disk; `nacre arch-check` shows what is affected, with `--repair` it mends what can be mended."
        }
        StoreErrorKind::NoSpace => {
            "Make room in the store and run the same command again; it goes on from its last checkpoint."
        }
        StoreErrorKind::ReadOnly => {
            "If its disk was pulled out, put it in again and run the same command again; otherwise mount the store's file system writable."
        }
        StoreErrorKind::NoArchive => {
            "Check `--dest`, or create an archive there with `nacre arch-init`."
        }
        StoreErrorKind::NotInstalled => "Install nacre-helper where the store is.",
        StoreErrorKind::TooOld => "Update nacre-helper where the store is.",
        StoreErrorKind::Unreachable => {
            "Check that the host is up, that the disk is there, and what `ssh` says by hand; then run the same command again."
        }
        StoreErrorKind::Died | StoreErrorKind::TimedOut => {
            "Run the same command again; it continues where it was."
        }
        StoreErrorKind::Io => {
            "If the store's disk was pulled out, put it in again and run the same command again; otherwise check the disk."
        }
        StoreErrorKind::Protocol => {
            "Check that nacre-helper over there is the packaged one, and what lies between it and this machine."
        }
        _ => "",
    }
}
