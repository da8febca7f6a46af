//! What was typed: the definition of the command line, from which help, completions and man pages are made too.
//!
//! Nothing is required and nothing excludes anything here, because the ini may still add to it; what it all means
//! is decided in `high`.

mod arch_check;
mod backup;
mod common;
mod deduplicate;
mod key;
mod local;
mod prune;
mod restore;
mod sending;
mod session;
mod setup;
mod status;
mod volumes;

use clap::{Parser, Subcommand};

pub use arch_check::ArchCheck;
pub use backup::Backup;
pub use common::{Past, Place, Unlock};
pub use deduplicate::Deduplicate;
pub use key::{Key, KeyAction};
pub use local::{Diff, Monitor, Storage};
pub use prune::Prune;
pub use restore::{Browse, Restore};
pub use sending::Sending;
pub use session::Session;
pub use setup::Setup;
pub use status::Status;
pub use volumes::{Add, ArchInit, Delete, List, Receive, Rename, Select, Send, Verify};

/// Backs up disk volumes in thin, encrypted, incremental layers to a place that need not be trusted
#[derive(Debug, Parser)]
#[command(
    name = "nacre",
    bin_name = "nacre",
    version = super::version::LINE,
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true,
    infer_long_args = false,
    override_usage = "nacre [OPTIONS] COMMAND [VOLUMES] [OPTIONS]",
    after_help = "`nacre COMMAND --help` shows the options of a command. They may stand before or behind it.\n\
                  Every switch has a --no- form that undoes what /etc/nacre/nacre.ini says.",
    max_term_width = 100
)]
pub struct Low {
    /// The command.
    #[command(subcommand)]
    pub command: LowCommand,
}

/// The commands of this release.
#[derive(Debug, Subcommand)]
#[command(rename_all = "kebab-case")]
pub enum LowCommand {
    /// Create an archive at --dest
    ArchInit(ArchInit),
    /// Store a session of qubes, volumes and settings together: what changed since the last one
    Backup(Backup),
    /// Store a session of volumes: what changed since the last one
    Send(Send),
    /// Write volumes of a session back
    Receive(Receive),
    /// Bring qubes back, volumes and settings together
    Restore(Restore),
    /// Open the files of a qube as they were, in a fresh qube without network
    Browse(Browse),
    /// Harvest what changed since the last snapshot and keep a fresh one; needs neither the store nor the key
    Monitor(Monitor),
    /// Show where volumes differ from a session
    Diff(Diff),
    /// Show volumes, sessions, or what is in a session
    List(List),
    /// Read volumes of a session back and check every byte, without writing
    Verify(Verify),
    /// Look for damage in the whole archive, and mend it
    ArchCheck(ArchCheck),
    /// Enter volumes into the archive, as yet without data
    Add(Add),
    /// Remove a volume and all its sessions from the archive
    Delete(Delete),
    /// Forget sessions of volumes and free what only they needed
    Prune(Prune),
    /// Give a volume of the archive another name
    Rename(Rename),
    /// Show, add, change and remove the keys that open the archive
    Key(Key),
    /// Store once what the volumes of a dedup domain have in common
    ArchDeduplicate(Deduplicate),
    /// Protect, unprotect, tag or untag sessions that are there
    Session(Session),
    /// Show how old the backups are, what is outstanding and what failed; reaches no target and needs no key
    Status(Status),
    /// Set up a target step by step: archive, recovery sheet, settings, daily backups
    Setup(Setup),
    /// Show the versions of the program and of the archive format
    Version,
}
