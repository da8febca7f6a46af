//! `key`.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use super::{Place, Unlock};
use crate::cli::values::KeyName;

/// What `key` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyAction {
    /// Show the keys
    List,
    /// Add a passphrase, or with --new-key-file a key file
    Add,
    /// Remove a key; the last one stays
    Remove,
    /// Change a passphrase
    Passphrase,
    /// Add a recovery code and print its sheet
    Recovery,
    /// Replace the master key: old keys and old copies open nothing that is stored from now on
    RotateMaster,
    /// Give a copy of an archive an identity of its own
    ChangeUuid,
}

/// `key`.
#[derive(Debug, Args)]
pub struct Key {
    /// What to do
    #[arg(value_name = "ACTION")]
    pub action: KeyAction,
    /// The key, by its number or its name in `nacre key list`
    #[arg(value_name = "KEY")]
    pub which: Option<KeyName>,
    /// Name of the new key
    #[arg(long, value_name = "NAME")]
    pub label: Option<KeyName>,
    /// add: make a key of this key file, which is created if it is not there
    #[arg(long, value_name = "FILE")]
    pub new_key_file: Option<PathBuf>,
    /// add, passphrase: take the new passphrase from the output of this command
    #[arg(long, value_name = "CMD")]
    pub new_passcmd: Option<String>,
    /// rotate-master: keep the key of this key file; may be repeated
    #[arg(long, value_name = "FILE")]
    pub keep_key_file: Vec<PathBuf>,
    /// rotate-master: keep the passphrase that this command prints; may be repeated
    #[arg(long, value_name = "CMD")]
    pub keep_passcmd: Vec<String>,
    /// recovery: do not ask to type the code back in; a sheet that cannot be read is noticed too late then
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "untested")]
    pub untested: bool,
    /// Remove and drop keys without asking
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "force")]
    pub force: bool,
    /// Say what would be done, and do nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}
