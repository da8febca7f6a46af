//! What is to be told of how things stand.

use std::path::PathBuf;

/// Show how old the backups are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What changed since is measured, by snapshots.
    pub measure: bool,
    /// Where to write it for Prometheus.
    pub prometheus: Option<PathBuf>,
    /// Only of the targets that were typed, and not of all that this machine knows.
    pub only_named: bool,
}
