//! What `key` is to do.

use std::path::PathBuf;

use crate::cli::values::KeyName;

/// Show or change the keys of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Show them.
    List,
    /// One more.
    Add {
        /// Its name.
        label: Option<KeyName>,
        /// A key file, created if it is not there; otherwise it is a passphrase.
        key_file: Option<PathBuf>,
        /// Where the passphrase comes from; otherwise it is asked for.
        passcmd: Option<String>,
    },
    /// One less.
    Remove {
        /// Which.
        key: KeyName,
        /// Without asking.
        force: bool,
    },
    /// Another passphrase in the place of one.
    Passphrase {
        /// Which; may be left out if there is only one.
        key: Option<KeyName>,
        /// Where the new one comes from; otherwise it is asked for.
        passcmd: Option<String>,
    },
    /// A recovery code.
    Recovery {
        /// Its name.
        label: Option<KeyName>,
        /// It is not typed back in.
        untested: bool,
    },
    /// A new master key.
    RotateMaster {
        /// Key files that are to open it too.
        key_files: Vec<PathBuf>,
        /// Commands that print passphrases that are to open it too.
        passcmds: Vec<String>,
        /// Keys that are not at hand are dropped without asking.
        force: bool,
    },
    /// A new identity.
    ChangeUuid,
}
