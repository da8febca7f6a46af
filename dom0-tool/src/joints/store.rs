//! The store: named bytes in a place that need not be trusted (DESIGN 6).

use std::fmt;

use nacre_core::object_name::{ObjectClass, ObjectName};

/// A range of bytes in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u32,
}

/// A piece of an object that the store puts together itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyPiece {
    /// Bytes that an older object holds.
    Range(ObjectName, ByteRange),
    /// A few bytes sent along (a pack's directory): 1 MiB at most.
    Inline(Vec<u8>),
}

/// What the helper says it can do. Never a promise: the helper is not trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Punching gives space back (probed with a pack-sized object, not guessed).
    pub punch: bool,
    /// Whether it does could not be tried out (the disk may be too full): `punch` is false for now, and the next call tries again.
    pub untried: bool,
    /// `delete` and `punch` are refused.
    pub append_only: bool,
    /// Create-only-if-absent holds only as long as one helper at a time serves this archive.
    pub single_writer: bool,
    /// The helper is confined by Landlock.
    pub confined: bool,
    /// The store cannot force its disk (an SFTP server without fsync@openssh.com): a power cut over there may take even
    /// what a barrier answered. To be told to the user.
    pub unsynced: bool,
}

/// What whoever writes to a store should be told of it. Known from the beginning: nothing is tried out for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hazards {
    /// As `Capabilities::single_writer`.
    pub single_writer: bool,
    /// As `Capabilities::unsynced`.
    pub unsynced: bool,
}

/// How a `put_new` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is there, whole, under its name; durable after the next barrier.
    Created,
    /// An object of that name was there before; it was not touched.
    Exists,
}

/// A new object while it is being sent. Dropping it before `finish` leaves no object.
pub trait PutStream: Send {
    /// Appends bytes. May block until the other side grants credit.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;
    /// Says that the object is complete. Does not wait for the answer.
    fn finish(self: Box<Self>) -> Result<Box<dyn PendingPut>, StoreError>;
}

/// An object that was sent whole and is not yet acknowledged.
pub trait PendingPut: Send {
    /// Waits for the answer.
    fn wait(self: Box<Self>) -> Result<PutOutcome, StoreError>;
}

/// The bytes of each range asked for of one object, or why there are none.
pub type GetAnswer = Result<Vec<Vec<u8>>, StoreError>;

/// The verbs of the store. All may be called from several threads at once; calls are pipelined.
pub trait Store: Send + Sync {
    /// What the store can do. The first call may take a second or two: whether punching frees space is tried out then.
    fn capabilities(&self) -> Capabilities;

    /// What whoever writes to it should be told.
    fn hazards(&self) -> Hazards {
        Hazards::default()
    }

    /// Begins a new object, created only if its name is free. Waits while as many objects are being sent as the other
    /// side takes at once (six): do not hold more than a few unfinished ones in one thread.
    fn put_new(&self, name: ObjectName) -> Result<Box<dyn PutStream + '_>, StoreError>;

    /// Reads ranges of one object, in the order asked for. Every answer has exactly the length asked for.
    fn get(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Reads ranges of several objects, all asked for at once. Each object has an answer of its own.
    fn get_many(&self, wanted: &[(ObjectName, Vec<ByteRange>)]) -> Vec<GetAnswer> {
        let one = |(name, ranges): &(ObjectName, Vec<ByteRange>)| self.get(*name, ranges);
        wanted.iter().map(one).collect()
    }

    /// The size of an object, or `None` when it is not there.
    fn stat(&self, name: ObjectName) -> Result<Option<u64>, StoreError>;

    /// Names and sizes of all objects of a class, in no order. Names outside the scheme are an error. `each` must not
    /// call the store: answers to it may wait behind the listing.
    fn list(
        &self,
        class: ObjectClass,
        each: &mut dyn FnMut(ObjectName, u64),
    ) -> Result<(), StoreError>;

    /// Removes objects; one that is not there is no error. Durable after the next barrier.
    fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError>;

    /// Gives ranges of an object back to the file system. Reading them later yields anything.
    fn punch(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<(), StoreError>;

    /// Puts a new object together from pieces, beside the data.
    fn copy(&self, name: ObjectName, pieces: &[CopyPiece]) -> Result<PutOutcome, StoreError>;

    /// Returns when everything acknowledged before it was called survives a power cut.
    fn barrier(&self) -> Result<(), StoreError>;

    /// Keeps a script beside the objects that restores the archive, for people who have nothing else. `mark` tells versions of it apart: it is
    /// part of the file's name (doc/PROTOCOL.md), and one that is there stays. Durable after the next barrier.
    fn leave_restorer(&self, mark: u32, text: &[u8]) -> Result<(), StoreError> {
        let _ = (mark, text);
        let detail = "this store keeps nothing but objects";
        Err(StoreError::new(StoreErrorKind::Unsupported, None, detail))
    }

    /// Bytes that can still be written, as the store claims.
    fn free_space(&self) -> Result<u64, StoreError>;

    /// Reads a whole small object of at most `limit` bytes; `None` when it is not there.
    fn get_whole(&self, name: ObjectName, limit: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(size) = self.stat(name)? else {
            return Ok(None);
        };
        let length = u32::try_from(size).ok().filter(|length| *length <= limit);
        let Some(length) = length else {
            return Err(StoreError::new(
                StoreErrorKind::TooLarge,
                Some(name),
                format!("{size} bytes where at most {limit} were expected"),
            ));
        };
        let mut parts = self.get(name, &[ByteRange { offset: 0, length }])?;
        Ok(parts.pop())
    }

    /// Writes a whole small object and waits for the answer.
    fn put_whole(&self, name: ObjectName, bytes: &[u8]) -> Result<PutOutcome, StoreError> {
        let mut stream = self.put_new(name)?;
        stream.write(bytes)?;
        stream.finish()?.wait()
    }
}

/// What went wrong, so that callers can tell the cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The object is not there.
    NotFound,
    /// A range reaches beyond the object's end.
    OutOfRange,
    /// The object is larger than what is accepted.
    TooLarge,
    /// The disk or quota of the store is full.
    NoSpace,
    /// The store's file system is read-only.
    ReadOnly,
    /// The store's disk reported an error.
    Io,
    /// The helper's mode or bases do not allow it.
    Refused,
    /// The store cannot do this.
    Unsupported,
    /// The archive folder is not there.
    NoArchive,
    /// The helper could not be started.
    NotInstalled,
    /// qrexec policy or ssh refused the call.
    Denied,
    /// The helper is of an older protocol than this command needs.
    TooOld,
    /// The host or disk behind the helper cannot be reached, or is gone.
    Unreachable,
    /// The connection or the helper ended.
    Died,
    /// The other side was silent for too long.
    TimedOut,
    /// The other side broke the protocol.
    Protocol,
}

impl StoreErrorKind {
    /// Whether it is the way to the store that failed, not what was asked of it.
    pub fn is_broken_link(self) -> bool {
        matches!(self, Self::Died | Self::TimedOut | Self::Unreachable)
    }
}

/// An error of the store. `detail` is already safe to print.
#[derive(Clone, Debug)]
pub struct StoreError {
    /// The case.
    pub kind: StoreErrorKind,
    /// The object it is about, where it is about one.
    pub object: Option<ObjectName>,
    /// What is known beyond the kind; sanitised.
    pub detail: String,
}

impl StoreError {
    /// Makes an error. `detail` must have passed the sanitiser if it came from the other side.
    pub fn new(
        kind: StoreErrorKind,
        object: Option<ObjectName>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            object,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StoreErrorKind::NotFound => "object missing from the store",
            StoreErrorKind::OutOfRange => "object in the store is shorter than it must be",
            StoreErrorKind::TooLarge => "object in the store is too large",
            StoreErrorKind::NoSpace => "the store is full",
            StoreErrorKind::ReadOnly => "the store is read-only",
            StoreErrorKind::Io => "the store's disk reported an error",
            StoreErrorKind::Refused => "the helper refused",
            StoreErrorKind::Unsupported => "the store cannot do this",
            StoreErrorKind::NoArchive => "no archive there",
            StoreErrorKind::NotInstalled => "nacre-helper could not be started",
            StoreErrorKind::Denied => "the call to the store was denied",
            StoreErrorKind::TooOld => "nacre-helper is too old",
            StoreErrorKind::Unreachable => "the store cannot be reached",
            StoreErrorKind::Died => "the connection to the store ended",
            StoreErrorKind::TimedOut => "the store does not answer",
            StoreErrorKind::Protocol => "nacre-helper broke the protocol",
        };
        f.write_str(what)?;
        if let Some(object) = &self.object {
            write!(f, " ({object})")?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for StoreError {}
