//! Options that most commands have.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::cli::session::SessionSelector;
use crate::cli::target::{BlockPort, Target};
use crate::cli::values::{Rate, Remember, Switch};

/// Where the archive is, and how the program talks.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a switch of the command line.
pub struct Place {
    /// Where the archive is: file:/PATH, ssh://HOST/PATH, qubes://QUBE/PATH, …
    #[arg(long, value_name = "URL", help_heading = "Archive")]
    pub dest: Vec<Target>,
    /// An argument for ssh, for ssh:// (repeat it for each; of qubes-ssh://, the qube's own configuration counts)
    #[arg(
        long,
        value_name = "ARG",
        allow_hyphen_values = true,
        help_heading = "Archive"
    )]
    pub opt_ssh: Vec<OsString>,
    /// An argument for qrexec-client in place of `-w 60`, for qubes://, qubes-ssh:// and qubes-usb:// (repeat it for each)
    #[arg(
        long,
        value_name = "ARG",
        allow_hyphen_values = true,
        help_heading = "Archive"
    )]
    pub opt_qubes: Vec<OsString>,
    /// The disk to attach for qubes-usb://, as `qvm-block` names it; only where it is not known [default: the one used before, else the only one]
    #[arg(long, value_name = "QUBE:DEVICE", help_heading = "Archive")]
    pub usb_device: Option<BlockPort>,
    /// Send at most so many bytes a second: 500K, 2M, 1G
    #[arg(long, value_name = "RATE", help_heading = "Archive")]
    pub limit: Option<Rate>,
    /// Where the target cannot be reached, or the connection breaks, try again so many times in a row and go on in the same run: nothing is sent again that was committed, and nothing fetched again that had come [default: 0]
    #[arg(long, value_name = "N", help_heading = "Archive")]
    pub retry: Option<u32>,
    /// Folder for what this machine remembers of archives [default: /var/lib/nacre]
    #[arg(long, value_name = "DIR", help_heading = "Archive")]
    pub meta_dir: Option<PathBuf>,
    /// Read this ini instead of /etc/nacre/nacre.ini
    #[arg(long, value_name = "FILE", help_heading = "Archive")]
    pub config: Option<PathBuf>,
    /// Never ask: receive and prune go ahead, whatever else would need a yes is refused unless --force
    #[arg(long, short = 'u', action = ArgAction::SetTrue, overrides_with = "unattended", help_heading = "Output")]
    pub unattended: bool,
    /// Say nothing but warnings and errors
    #[arg(long, short = 'q', action = ArgAction::SetTrue, overrides_with = "quiet", help_heading = "Output")]
    pub quiet: bool,
    /// Say more
    #[arg(long, short = 'v', action = ArgAction::SetTrue, overrides_with = "verbose", help_heading = "Output")]
    pub verbose: bool,
    /// Say everything, for those who look for a fault
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "debug", help_heading = "Output")]
    pub debug: bool,
    /// Write JSON, one object a line
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "json", help_heading = "Output")]
    pub json: bool,
}

/// How the archive is opened.
#[derive(Debug, Args)]
pub struct Unlock {
    /// Take the passphrase from the output of this command
    #[arg(long, value_name = "CMD", help_heading = "Key")]
    pub passcmd: Option<String>,
    /// Open the archive with this key file
    #[arg(long, value_name = "FILE", help_heading = "Key")]
    pub key_file: Option<PathBuf>,
    /// Open the archive with its recovery code: asked for, or from --passcmd or standard input
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "recovery", help_heading = "Key")]
    pub recovery: bool,
    /// Minutes to remember the key, 0 to 60; -1 forgets it [default: 5]
    #[arg(
        long,
        value_name = "MIN",
        allow_hyphen_values = true,
        help_heading = "Key"
    )]
    pub authmin: Option<Remember>,
    /// Accept a store that shows an older state than this machine remembers
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "force_allow_rollback", help_heading = "Key")]
    pub force_allow_rollback: bool,
}

/// Which session of volumes.
#[derive(Debug, Args)]
pub struct Past {
    /// The session: YYYYMMDD-HHMMSS, ^TAG or newest [default: newest]
    #[arg(long, value_name = "SESSION")]
    pub session: Option<SessionSelector>,
    /// Off: where a volume is not in that session, take its next older one [default: on]
    #[arg(long, value_name = "ON|OFF")]
    pub session_strict: Option<Switch>,
}
