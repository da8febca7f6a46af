//! What `arch-check` is to do.

use crate::cli::local::Local;
use crate::cli::session::SessionPoint;
use crate::cli::slice::DataSlice;
use crate::cli::target::Target;
use crate::cli::volume::{Import, VolumeName};

/// What `arch-check` does besides looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckAction {
    /// Nothing.
    Look,
    /// Mend what was found.
    Repair,
    /// Remove what interrupted runs left; nothing is looked at.
    Clean,
    /// Bring the archive to the newest format; nothing is looked at.
    UpgradeFormat,
}

/// Look for damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchCheck {
    /// These volumes only; all if there are none.
    pub volumes: Vec<VolumeName>,
    /// Left out, also if they were named.
    pub excluded: Vec<VolumeName>,
    /// How much of the data is read; `None`: the structure only.
    pub data: Option<DataSlice>,
    /// The session to begin with; `None`: all.
    pub session: Option<SessionPoint>,
    /// What is done besides looking.
    pub action: CheckAction,
    /// Files and devices in which lost content of volumes may still be.
    pub imports: Vec<Import>,
    /// Other archives in which it may still be; if there are none, those of the ini.
    pub heal_from: Vec<Target>,
    /// Local storage in which it may still be.
    pub local: Local,
}
