//! The command line: what may be typed, and what it means.
//!
//! [`Typed`] is what was typed; [`Typed::request`] adds what the ini says and yields an [`Invocation`], in which
//! nothing is left to guess.

mod arrange;
mod catalog;
mod domain;
mod error;
mod exit;
mod high;
mod keep;
mod local;
mod low;
mod named;
mod needless;
mod pref;
mod request;
mod retention;
mod rivals;
mod session;
mod slice;
mod target;
mod typed;
mod values;
mod version;
mod volume;

pub use catalog::Kind;
pub use domain::DomainWish;
pub use error::{BadValue, Early, UsageError};
pub use exit::Exit;
pub use keep::{ApDays, AutoPrune, KeepSpec, Span};
pub use local::{
    LARGEST_FILE as LARGEST_VOLUMES_FILE, Listed, ListedStorages, Local, LocalPlace, parse_volumes,
};
pub use named::{OF_TARGET, Sections, TargetPresets};
pub use needless::notice as needless_option;
pub use pref::Pref;
pub use request::Rules as PruneRules;
pub use request::{
    Add, ArchCheck, ArchInit, Backup, Browse, CheckAction, Common, Deduplicate, Delete, Diff, Goal,
    Invocation, Key, List, Listing, Monitor, OneVolume, Prune, Receive, Rename, Request, Restore,
    RestoreDom0, RestorePart, Selection, Send, SessionAction, SessionChange, Setup, SnapshotUse,
    Status, Verbosity, Verify, Which, WriteMode,
};
pub use retention::{RETENTION_RULES, RetentionWish};
pub use session::{SessionPoint, SessionSelector, SessionTime, Tag, TagId, TagWish};
pub use slice::DataSlice;
pub use target::{BlockPort, FileSystemUuid, QubeName, RemotePath, SshHost, Target};
pub use typed::{Preset, Typed};
pub use values::{ChunkFactor, Compression, Encryption, HashType, KeyName, Rate, Remember, Switch};
pub use version::{FORMAT as FORMAT_VERSION, LINE as VERSION_LINE};
pub use volume::{Description, Import, VolumeName};

/// The definition of the command line, for man pages and completions.
pub fn definition() -> clap::Command {
    <low::Low as clap::CommandFactory>::command()
}
