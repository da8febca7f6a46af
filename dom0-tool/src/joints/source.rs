//! Local volumes: what is read by `send` and written by `receive` (DESIGN 5).

use std::fmt;

/// A half-open range of bytes of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeRange {
    /// First byte.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
}

/// What may differ from an earlier snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Not known: everything but holes must be read and compared by content. Says why, for the user.
    Everything(String),
    /// Only these ranges, sorted and apart; whatever lies outside is as it was.
    Ranges(Vec<VolumeRange>),
}

/// The volumes of one freezing, in the order asked for. One that cannot be had has an error of its own.
pub type Frozen = Vec<Result<Box<dyn FrozenVolume>, SourceError>>;

/// Where volumes are read from. All volumes of a session are frozen first, close together, then read.
pub trait VolumeSource: Send + Sync {
    /// Names of the volumes that are there.
    fn list(&self) -> Result<Vec<String>, SourceError>;
    /// Freezes the volumes and opens them for reading. An error of its own for each volume that cannot be frozen; the outer one
    /// means that nothing was frozen at all (a pool too full for snapshots).
    fn freeze(&self, names: &[VolumeNames]) -> Result<Frozen, SourceError>;
}

/// What a volume is called here and there. The two differ only where `--vols-from` says so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeNames {
    /// In the archive.
    pub archive: String,
    /// In local storage: `vm-work-private`, `appvms/mail/private.img`. Snapshots are named after it.
    pub local: String,
}

impl VolumeNames {
    /// The same name on both sides.
    pub fn same(name: impl Into<String>) -> Self {
        let archive = name.into();
        Self {
            local: archive.clone(),
            archive,
        }
    }
}

/// Local storage that makes snapshots, seen by one archive: a thin pool, a folder on a reflink file system.
///
/// Each archive has snapshots of its own, so that a volume can go to several in turn. One snapshot of a volume is *kept*: the one from which the
/// newest session was read, or to which `monitor` has led on by a link.
pub trait Pool: VolumeSource {
    /// Freezes for this archive what `first` holds frozen for another: the same content, under a snapshot of this archive's own.
    fn freeze_again(&self, first: &[&dyn FrozenVolume]) -> Result<Frozen, SourceError>;

    /// Freezes volumes in a state that another local volume has: that of the running qube (`vm-work-private-snap`). Each comes with the name of
    /// that other; snapshots are named after the volume itself.
    fn freeze_state(&self, of: &[(VolumeNames, String)]) -> Result<Frozen, SourceError>;

    /// Harvests what changed since the kept snapshot, records it as a link, and keeps a fresh snapshot instead. Does not need the store.
    fn monitor(&self, local: &str) -> Result<Harvest, SourceError>;

    /// Makes or opens the local volume `local` for a restore of `size` bytes. What is there stays until `finish`, but for
    /// [`GoalStart::InPlace`].
    fn goal(
        &self,
        local: &str,
        size: u64,
        start: &GoalStart,
    ) -> Result<Box<dyn RestoreGoal>, SourceError>;

    /// Whether the local volume exists.
    fn exists(&self, local: &str) -> Result<bool, SourceError>;

    /// Whether the kept snapshot of the volume is the very one with that identity, not written to since.
    fn holds(&self, local: &str, identity: &[u8]) -> Result<bool, SourceError>;

    /// Local names of the volumes of which this archive has snapshots here.
    fn snapshots(&self) -> Result<Vec<String>, SourceError>;

    /// Removes this archive's snapshots of the volume, and the links. Returns how many snapshots went. None is no error.
    fn remove_snapshots(&self, local: &str) -> Result<usize, SourceError>;

    /// Snapshots that Wyng left here (`*.tick`, `*.tock`, `sn*.wyng?`): named to the user, never touched.
    fn foreign_snapshots(&self) -> Result<Vec<String>, SourceError>;
}

/// With what a volume begins that is restored into a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoalStart {
    /// Nothing: it reads as zeros.
    Empty,
    /// The volume itself, which is changed where it stands (`--sparse`).
    InPlace,
    /// A clone of the snapshot with this identity (`--use-snapshot`). An error of kind `NotFound` if it is not there or was altered.
    Snapshot(Vec<u8>),
}

/// What `monitor` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Harvest {
    /// So many bytes changed since the last look; a fresh snapshot is kept.
    Changed(u64),
    /// There was no snapshot to compare with, or it cannot be trusted (the text says why). A fresh one is kept; the next send
    /// compares everything.
    Began(String),
}

/// A volume at one point in time. Dropped without `committed`, its snapshot goes and the kept one stays.
pub trait FrozenVolume: Send + Sync {
    /// Its name in the archive.
    fn name(&self) -> &str;
    /// Its size in bytes; need not be a multiple of anything.
    fn size(&self) -> u64;
    /// Fills `buffer` from `offset`; what lies behind the volume's end is zero.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError>;
    /// The first range of data at or after `from`, or `None` when only holes follow. Holes read as zeros. Unless it says otherwise it has none.
    fn next_data(&self, from: u64) -> Result<Option<VolumeRange>, SourceError> {
        let end = self.size();
        Ok((from < end).then_some(VolumeRange { start: from, end }))
    }

    // What follows is as it is where nothing makes snapshots; whoever does so says all of it.

    /// What recognises this very snapshot later; empty where the storage has no such thing.
    fn identity(&self) -> Vec<u8> {
        Vec::new()
    }
    /// What may have changed since the snapshot with that identity was taken, to the byte or to blocks of any size.
    fn changes_since(&self, _identity: &[u8]) -> Result<Changes, SourceError> {
        let why = "this storage keeps no record of changes";
        Ok(Changes::Everything(why.to_owned()))
    }
    /// Fills `buffer` with what the snapshot held to which `changes_since` was last asked, if that snapshot is still here; `false` if it is
    /// not. Nothing vouches for it: the caller checks it against the id in the archive.
    fn read_before(&self, _offset: u64, _buffer: &mut [u8]) -> Result<bool, SourceError> {
        Ok(false)
    }
    /// What the storage calls the snapshot (a path, `vg/lv`), for `freeze_again`; empty where there is none.
    fn snapshot(&self) -> String {
        String::new()
    }
    /// The session with this volume is committed: this snapshot is kept from now on, older ones of this archive and the links go.
    fn committed(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}

/// Where one volume is restored to.
pub trait RestoreGoal: Send + Sync {
    /// Writes bytes.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError>;
    /// Makes a range read as zeros, as a hole where the storage has holes.
    fn zero(&self, range: VolumeRange) -> Result<(), SourceError>;
    /// Fills `buffer` with what is there now; behind the end of what is there: zeros.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError>;
    /// Whether everything reads as zeros that was not written, so that zeros need not be.
    fn starts_empty(&self) -> bool;
    /// Whether it writes over what is there: an end before `finish` leaves a mixture.
    fn is_in_place(&self) -> bool {
        false
    }
    /// What was read there is what is wanted. A goal that shows what is elsewhere takes it over.
    fn keep(&self, _offset: u64, _bytes: &[u8]) -> Result<(), SourceError> {
        Ok(())
    }
    /// Makes it durable and puts it into place. Only after this has it been restored.
    fn finish(self: Box<Self>) -> Result<(), SourceError>;
}

/// What went wrong with local storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// No such volume, file or device.
    NotFound,
    /// It exists and may not be overwritten.
    Exists,
    /// Not something that can be read or written as a volume.
    NotAVolume,
    /// The volume became smaller while it was being read.
    Shrank,
    /// The medium cannot be read.
    Unreadable,
    /// No space left to restore to.
    NoSpace,
    /// The goal is too small.
    TooSmall,
    /// The storage cannot freeze a volume: it makes no snapshots, or none from there.
    NoSnapshots,
    /// Anything else the kernel said.
    Io,
}

/// An error of local storage: what, where, and the kernel's word.
#[derive(Clone, Debug)]
pub struct SourceError {
    /// The case.
    pub kind: SourceErrorKind,
    /// The file, device or volume.
    pub place: String,
    /// More, where there is more to say.
    pub detail: String,
}

impl SourceError {
    /// Makes an error.
    pub fn new(kind: SourceErrorKind, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            place: place.into(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            SourceErrorKind::NotFound => "not found",
            SourceErrorKind::Exists => "is there already",
            SourceErrorKind::NotAVolume => "is neither a file nor a block device",
            SourceErrorKind::Shrank => "became smaller while it was being read",
            SourceErrorKind::Unreadable => "cannot be read",
            SourceErrorKind::NoSpace => "has no space left",
            SourceErrorKind::TooSmall => "is too small",
            SourceErrorKind::NoSnapshots => "cannot be frozen",
            SourceErrorKind::Io => "failed",
        };
        write!(f, "{} {what}", self.place)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for SourceError {}
