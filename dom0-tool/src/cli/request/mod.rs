//! What is to be done: complete, checked, with every default in its place.

mod arch_check;
mod backup;
mod deduplicate;
mod key;
mod local;
mod prune;
mod restore;
mod session;
mod setup;
mod status;

use std::ffi::OsString;
use std::num::{NonZeroU8, NonZeroU64};
use std::path::PathBuf;

pub use local::{Diff, Goal, Monitor, SnapshotUse};
pub use prune::{Prune, Rules, Which};

pub use arch_check::{ArchCheck, CheckAction};
pub use backup::Backup;

use crate::cli::domain::DomainWish;
use crate::cli::keep::{ApDays, AutoPrune};
use crate::cli::local::Local;
use crate::cli::retention::RetentionWish;
use crate::cli::session::{SessionPoint, TagId, TagWish};
use crate::cli::target::{BlockPort, Target};
use crate::cli::values::{ChunkFactor, Compression, Encryption, HashType, Remember};
use crate::cli::volume::{Description, Import, VolumeName};

pub use deduplicate::Deduplicate;
pub use key::Key;
pub use restore::{Browse, Restore, RestoreDom0, RestorePart};
pub use session::{SessionAction, SessionChange};
pub use setup::Setup;
pub use status::Status;

/// A command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What most commands need.
    pub common: Common,
    /// The command.
    pub request: Request,
    /// The same for each further target.
    pub others: Vec<(Common, Request)>,
    /// Other targets that the command may read from, if it has need of them.
    pub beside: Vec<Common>,
    /// What to tell the user before it begins.
    pub notices: Vec<String>,
}

/// What most commands need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Where the archive is: one place, and no `Target::Named`. None for `version`.
    pub targets: Vec<Target>,
    /// What the ini calls that place, if it was given by name.
    pub name: Option<String>,
    /// `--opt-ssh`: arguments for ssh of this machine.
    pub ssh_options: Vec<OsString>,
    /// `--opt-qubes`: arguments for `qrexec-client` in place of the usual ones, if there are any.
    pub qubes_options: Vec<OsString>,
    /// `--usb-device`: the block device that is to be attached for qubes-usb://.
    pub usb_device: Option<BlockPort>,
    /// `--limit`: bytes to send in a second, at most.
    pub limit: Option<NonZeroU64>,
    /// `--retry`: how often in a row a broken connection is made anew.
    pub retry: u32,
    /// `--meta-dir`, if it was given.
    pub meta_dir: Option<PathBuf>,
    /// `--passcmd`: a command for `sh -c` that prints the passphrase.
    pub passcmd: Option<String>,
    /// `--key-file`: with `arch-init` a slot is made for it, otherwise the archive is opened with it.
    pub key_file: Option<PathBuf>,
    /// `--recovery`: the archive is opened with its recovery code.
    pub recovery: bool,
    /// `--authmin`.
    pub remember: Remember,
    /// Nobody is to be asked.
    pub unattended: bool,
    /// An older state of the store is to be accepted.
    pub allow_rollback: bool,
    /// How much is said.
    pub verbosity: Verbosity,
    /// JSON lines instead of text.
    pub json: bool,
    /// Worker threads; `None` is one for each processor.
    pub threads: Option<NonZeroU8>,
    /// Compute and print the plan, change nothing.
    pub dry_run: bool,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Progress and summary too.
    Normal,
    /// Details too.
    Verbose,
    /// Everything.
    Debug,
}

/// The command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `arch-init`
    ArchInit(ArchInit),
    /// `backup`
    Backup(Backup),
    /// `send`
    Send(Send),
    /// `receive`
    Receive(Receive),
    /// `restore`
    Restore(Restore),
    /// `restore dom0`
    RestoreDom0(RestoreDom0),
    /// `browse`
    Browse(Browse),
    /// `verify`
    Verify(Verify),
    /// `monitor`
    Monitor(Monitor),
    /// `diff`
    Diff(Diff),
    /// `arch-check`
    ArchCheck(ArchCheck),
    /// `list`
    List(List),
    /// `add`
    Add(Add),
    /// `delete`
    Delete(Delete),
    /// `prune`
    Prune(Prune),
    /// `rename`
    Rename(Rename),
    /// `key`
    Key(Key),
    /// `arch-deduplicate`
    Deduplicate(Deduplicate),
    /// `session`
    Session(SessionChange),
    /// `setup`
    Setup(Setup),
    /// `status`
    Status(Status),
    /// `version`
    Version,
}

/// Make an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchInit {
    /// On or off.
    pub encryption: Encryption,
    /// What new items are compressed with.
    pub compression: Compression,
    /// How chunks are named.
    pub hash_type: HashType,
    /// The size of a chunk.
    pub chunk_factor: ChunkFactor,
}

/// Which volumes of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Those named, in order, each once. Not empty unless `all`.
    pub volumes: Vec<VolumeName>,
    /// All that the archive has.
    pub all: bool,
    /// Left out, also if they were named.
    pub excluded: Vec<VolumeName>,
}

impl Selection {
    /// The volumes meant, given those that there are; the names that there are not come second.
    pub fn resolve<'a>(&'a self, known: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
        let excluded = |name: &str| self.excluded.iter().any(|out| out.as_str() == name);
        let named = self.volumes.iter().map(VolumeName::as_str);
        let (mut found, missing): (Vec<&str>, Vec<&str>) = named
            .filter(|name| !excluded(name))
            .partition(|name| known.iter().any(|there| there == name));
        if self.all {
            let others: Vec<&str> = known
                .iter()
                .map(String::as_str)
                .filter(|name| !excluded(name) && !found.contains(name))
                .collect();
            found.extend(others);
        }
        (found, missing)
    }
}

/// Store a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Files and devices that are read, each volume once, those of `--volex` taken out.
    pub imports: Vec<Import>,
    /// A sentence for what was given and is left out all the same.
    pub left_out: Vec<String>,
    /// Where the others are read from.
    pub local: Local,
    /// Which others; none with `Local::None`.
    pub selection: Selection,
    /// Tags of the session.
    pub tags: Vec<TagWish>,
    /// Look for chunks in the whole domain.
    pub dedup: bool,
    /// Dedup domains of new volumes.
    pub domains: Vec<DomainWish>,
    /// Unchanged volumes get a session too.
    pub send_unchanged: bool,
    /// Everything is compared, whatever is known of changes.
    pub remap: bool,
    /// Old sessions are thinned out before.
    pub autoprune: AutoPrune,
    /// Which.
    pub apdays: ApDays,
    /// Rules that certain volumes have instead of it; the first that fits counts.
    pub retention: Vec<RetentionWish>,
}

/// Write volumes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receive {
    /// Which volumes; one with `Goal::SaveTo`.
    pub selection: Selection,
    /// Which session.
    pub session: SessionPoint,
    /// The exact session, or an error; otherwise the next older one that has the volume will do.
    pub strict: bool,
    /// Where they are written to.
    pub goal: Goal,
    /// How what is there is treated.
    pub mode: WriteMode,
    /// What a local snapshot is used for.
    pub snapshot: SnapshotUse,
    /// Damaged ranges are left out and named.
    pub skip_corrupt: bool,
    /// Overwrite without asking.
    pub force: bool,
}

/// How what is at the goal is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// It stays until the new content is complete and synced, then it is replaced.
    Replace,
    /// In place: read and compared first; only what differs is fetched and written.
    Sparse,
    /// In place: everything is fetched; only what differs is written.
    SparseWrite,
}

/// Read volumes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// Which volumes.
    pub selection: Selection,
    /// Which session.
    pub session: SessionPoint,
    /// As with `Receive`.
    pub strict: bool,
}

/// Show what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// What is shown.
    pub what: Listing,
    /// Tags are shown.
    pub tags: bool,
    /// Only sessions with this tag.
    pub tagged: Option<TagId>,
}

/// What `list` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// The volumes.
    Volumes,
    /// The qubes of which there are volumes.
    Qubes,
    /// The sessions of a volume or qube.
    Sessions(VolumeName),
    /// The volumes in a session.
    Content(SessionPoint),
    /// One volume, or one qube, in a session.
    VolumeIn(VolumeName, SessionPoint),
}

/// Enter names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// The names, each once. Not empty.
    pub volumes: Vec<VolumeName>,
    /// A remark, if there is one volume.
    pub description: Option<Description>,
    /// Their dedup domains.
    pub domains: Vec<DomainWish>,
}

/// A volume of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OneVolume {
    /// By its name.
    Named(VolumeName),
    /// By its number (`--vid`).
    Numbered(u64),
}

/// Remove a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The volume; none with `clean` or `forget`.
    pub volume: Option<OneVolume>,
    /// Local snapshots that nothing needs go, and what can be made anew.
    pub clean: bool,
    /// With `clean`: all local snapshots for this archive.
    pub all: bool,
    /// This machine forgets the archive, which is not touched.
    pub forget: bool,
    /// Where local snapshots are removed.
    pub local: Local,
    /// Without asking.
    pub force: bool,
}

/// Rename a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The name it has.
    pub old: VolumeName,
    /// The name it is to have; another one.
    pub new: VolumeName,
}
