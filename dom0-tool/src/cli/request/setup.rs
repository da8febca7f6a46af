//! The guided first run.

use std::path::PathBuf;

/// Set a target up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What the ini is to call the target.
    pub name: String,
    /// Backed up daily.
    pub timer: bool,
    /// The key file for that, if one was named.
    pub key_file: Option<PathBuf>,
    /// A recovery sheet is printed.
    pub sheet: bool,
    /// Without asking.
    pub force: bool,
    /// The ini, if another than the default one was named.
    pub ini: Option<PathBuf>,
}
