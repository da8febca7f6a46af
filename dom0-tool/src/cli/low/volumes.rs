//! The commands on volumes.

use std::num::NonZeroU8;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{Past, Place, Sending, Storage, Unlock};
use crate::cli::domain::DomainWish;
use crate::cli::session::{SessionSelector, TagId};
use crate::cli::values::{ChunkFactor, Compression, Encryption, HashType, Remember};
use crate::cli::volume::{Description, Import, VolumeName};

/// Which volumes of the archive.
#[derive(Debug, Args)]
pub struct Select {
    /// Names of volumes in the archive; for verify and prune also of qubes, which are all of their volumes (a volume of the same name comes first)
    #[arg(value_name = "VOLUME")]
    pub volumes: Vec<VolumeName>,
    /// All volumes
    #[arg(long, short = 'a', action = ArgAction::SetTrue, overrides_with = "all")]
    pub all: bool,
    /// Leave this volume out; may be repeated
    #[arg(long, value_name = "VOLUME")]
    pub volex: Vec<VolumeName>,
}

/// `arch-init`.
#[derive(Debug, Args)]
pub struct ArchInit {
    /// Encryption: on or off [default: on]
    #[arg(long, value_name = "MODE")]
    pub encrypt: Option<Encryption>,
    /// Compression: zstd, zstd:LEVEL or none [default: zstd:3]
    #[arg(long, value_name = "TYPE")]
    pub compression: Option<Compression>,
    /// How chunks are named: blake3 or hmac-sha256 [default: blake3]
    #[arg(long, value_name = "TYPE")]
    pub hashtype: Option<HashType>,
    /// Size of a chunk, 1 (64 KiB) to 6 (2 MiB) [default: 2]
    #[arg(long, value_name = "N")]
    pub chunk_factor: Option<ChunkFactor>,
    /// Say what would be done, and do nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Take the passphrase from the output of this command
    #[arg(long, value_name = "CMD", help_heading = "Key")]
    pub passcmd: Option<String>,
    /// Make a key slot for this key file too; it is created if it is not there
    #[arg(long, value_name = "FILE", help_heading = "Key")]
    pub key_file: Option<PathBuf>,
    /// Minutes to remember the key, 0 to 60; -1 forgets it [default: 5]
    #[arg(
        long,
        value_name = "MIN",
        allow_hyphen_values = true,
        help_heading = "Key"
    )]
    pub authmin: Option<Remember>,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}

/// `send`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a switch of the command line.
#[allow(clippy::struct_field_names)] // The option's name is what users know.
pub struct Send {
    /// Volumes.
    #[command(flatten)]
    pub select: Select,
    /// Read a volume from any file or device: 'VOLUME:|:PATH'; may be repeated
    #[arg(long, value_name = "IMPORT")]
    pub import_other_from: Vec<Import>,
    /// Give unchanged volumes a session too
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "send_unchanged")]
    pub send_unchanged: bool,
    /// What is sent, and what goes before.
    #[command(flatten)]
    pub sending: Sending,
    /// Say what would be sent, and send nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Local storage.
    #[command(flatten)]
    pub storage: Storage,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}

/// `receive`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a switch of the command line.
pub struct Receive {
    /// Volumes.
    #[command(flatten)]
    pub select: Select,
    /// The session.
    #[command(flatten)]
    pub past: Past,
    /// Write the volume to this file or block device
    #[arg(long, value_name = "PATH")]
    pub save_to: Option<PathBuf>,
    /// Compare with what is there first; fetch and write only what differs
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "sparse")]
    pub sparse: bool,
    /// Fetch everything, write only what differs
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "sparse_write")]
    pub sparse_write: bool,
    /// Clone the local snapshot if it holds the session that is wanted
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "use_snapshot")]
    pub use_snapshot: bool,
    /// Clone the local snapshot, whatever session it holds; fetch and write only the difference
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "use_snapshot_diff")]
    pub use_snapshot_diff: bool,
    /// Give up where the local snapshot cannot be used
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "req_snapshot")]
    pub req_snapshot: bool,
    /// Leave damaged ranges out instead of giving up; they are named
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "skip_corrupt_chunks")]
    pub skip_corrupt_chunks: bool,
    /// Overwrite without asking
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "force")]
    pub force: bool,
    /// Say what would be written, and write nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Threads that decrypt and unpack [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroU8>,
    /// Local storage.
    #[command(flatten)]
    pub storage: Storage,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Volumes.
    #[command(flatten)]
    pub select: Select,
    /// The session.
    #[command(flatten)]
    pub past: Past,
    /// Threads that decrypt and unpack [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroU8>,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}

/// `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Show the sessions of this volume or qube
    #[arg(value_name = "VOLUME|QUBE")]
    pub volumes: Vec<VolumeName>,
    /// Show qubes, with the age of their newest session
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "qubes")]
    pub qubes: bool,
    /// Show what is in this session: YYYYMMDD-HHMMSS, ^TAG or newest
    #[arg(long, value_name = "SESSION")]
    pub session: Option<SessionSelector>,
    /// Show tags; with an ID, only sessions that have it
    #[arg(long, value_name = "ID", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option)] // Absent, given alone, given with an id.
    pub tag: Option<Option<TagId>>,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}

/// `add`.
#[derive(Debug, Args)]
pub struct Add {
    /// Names of the new volumes
    #[arg(value_name = "VOLUME")]
    pub volumes: Vec<VolumeName>,
    /// A remark about the volume
    #[arg(long, value_name = "TEXT")]
    pub volume_desc: Option<Description>,
    /// Dedup domain of new volumes: NAME, or PATTERN=NAME with * in the pattern; may be repeated
    #[arg(long, value_name = "DOMAIN")]
    pub dedup_domain: Vec<DomainWish>,
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

/// `delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The volume to remove, or a qube, which is all of its volumes
    #[arg(value_name = "VOLUME|QUBE")]
    pub volumes: Vec<VolumeName>,
    /// Name the volume by its number, which `nacre list --verbose` shows
    #[arg(long, value_name = "N")]
    pub vid: Option<u64>,
    /// Remove local snapshots of volumes that the archive does not have, and what this machine can make anew; with --all, all local
    /// snapshots for this archive
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "clean")]
    pub clean: bool,
    /// With --clean: of all volumes
    #[arg(long, short = 'a', action = ArgAction::SetTrue, overrides_with = "all")]
    pub all: bool,
    /// Remove no volume: make this machine forget the archive, with its newest state, caches and local snapshots; the archive itself is not reached
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "forget")]
    pub forget: bool,
    /// Remove without asking
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "force")]
    pub force: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Local storage.
    #[command(flatten)]
    pub storage: Storage,
    /// Unlocking.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Place and output.
    #[command(flatten)]
    pub place: Place,
}

/// `rename`.
#[derive(Debug, Args)]
pub struct Rename {
    /// The name it has
    #[arg(value_name = "OLD")]
    pub old: VolumeName,
    /// The name it is to have
    #[arg(value_name = "NEW")]
    pub new: VolumeName,
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
