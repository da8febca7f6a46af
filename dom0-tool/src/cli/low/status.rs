//! `status`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{Place, Unlock};

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Measure what changed since, by a snapshot of each volume that is removed again
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "measure")]
    pub measure: bool,
    /// Write it to this file instead, for the textfile collector of Prometheus' node exporter (FILE.prom)
    #[arg(long, value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Not needed here, but people give the same options everywhere.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
