//! What `arch-check` is to do.

use crate::cli::session::SessionPoint;
use crate::cli::slice::DataSlice;
use crate::cli::volume::{Import, VolumeName};

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
    /// Mend what was found.
    pub repair: bool,
    /// Where lost content of volumes may still be.
    pub imports: Vec<Import>,
}
