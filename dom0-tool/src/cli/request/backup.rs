//! `backup`.

use super::Send;
use crate::cli::target::QubeName;

/// Store a session of qubes: volumes and settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Qubes by name, each once. Not empty unless `includes` or `dom0`.
    pub qubes: Vec<QubeName>,
    /// All that are marked for backup too.
    pub includes: bool,
    /// Qubes that are left out, also if they were named.
    pub excluded: Vec<QubeName>,
    /// dom0's own files too.
    pub dom0: bool,
    /// Running qubes in their present state.
    pub live: bool,
    /// What was sent is read back.
    pub check: bool,
    /// How it is sent; without imports and local storage of its own.
    pub send: Send,
}
