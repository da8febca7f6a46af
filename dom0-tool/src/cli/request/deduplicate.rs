//! Sharing what is there twice.

use crate::cli::volume::VolumeName;

/// Share equal chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deduplicate {
    /// The volumes whose copies may go, each once; none: all.
    pub volumes: Vec<VolumeName>,
}
