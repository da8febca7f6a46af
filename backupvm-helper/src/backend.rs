//! What can lie beneath the server: a directory; later a mounted disk, an ssh host.

use std::os::fd::BorrowedFd;

use nacre_wire::{Class, Facts, ListEntry, Name, Range};

use crate::failure::Failure;

/// How the names of temporary files begin that no lock tells to be a living writer's: SFTP has none.
pub(crate) const UNLOCKED: &str = ".sftp-put-";
/// Age in seconds, by the clock of where they lie, from which such a file counts as a dead writer's. No put takes two days; and if one did, it would
/// fail and be tried again.
pub(crate) const DEAD: u32 = 2 * 24 * 3600;

/// A piece of a read, at most `nacre_wire::limits::MAX_DATA` bytes long.
pub enum Piece<'a> {
    /// The bytes themselves.
    Bytes(&'a [u8]),
    /// So many bytes of a file from an offset, for the kernel to move.
    File(BorrowedFd<'a>, u64, usize),
}

/// Called with a piece of a read; `false` means that nobody wants the rest.
pub type ByteSink<'a> = &'a mut dyn FnMut(Piece<'_>) -> Result<bool, Failure>;
/// Called with an object of a listing; `false` means that nobody wants the rest.
pub type ListSink<'a> = &'a mut dyn FnMut(ListEntry) -> bool;

/// Offsets and lengths, with ranges that follow each other joined: the answer to a read does not show where one ends.
pub(crate) fn runs(ranges: &[Range]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for range in ranges {
        let length = u64::from(range.length);
        match runs.last_mut() {
            Some((start, before)) if start.checked_add(*before) == Some(range.offset) => {
                *before += length;
            }
            _ => runs.push((range.offset, length)),
        }
    }
    runs
}

/// A place that keeps named bytes. All calls may come from several threads at once.
pub trait Backend: Send + Sync {
    /// What the place is like. Cheap: nothing is tried out here but what `open` tried.
    fn facts(&self) -> Facts;

    /// Begins a new object.
    fn begin(&self, name: Name) -> Result<Box<dyn Upload + '_>, Failure>;

    /// Reads ranges in order, in pieces.
    fn read(&self, name: Name, ranges: &[Range], each: ByteSink<'_>) -> Result<(), Failure>;

    /// An object's size.
    fn stat(&self, name: Name) -> Result<Option<u64>, Failure>;

    /// Names and sizes of a class, in no order. Files that are no objects are passed over.
    fn list(&self, class: Class, each: ListSink<'_>) -> Result<(), Failure>;

    /// Removes objects; one that is not there is no error. Durable after the next `barrier`.
    fn delete(&self, names: &[Name]) -> Result<(), Failure>;

    /// Gives ranges back to the file system.
    fn punch(&self, name: Name, ranges: &[Range]) -> Result<(), Failure>;

    /// Tries out whether punching gives space back.
    fn probe_punch(&self) -> Result<bool, Failure>;

    /// Returns when everything that had returned before it was called survives a power cut.
    fn barrier(&self) -> Result<(), Failure>;

    /// Keeps a file beside the archive's objects, if its name is free. Durable after the next `barrier`.
    fn leave(&self, file: &str, text: &[u8]) -> Result<(), Failure>;

    /// Bytes that can still be written.
    fn free_space(&self) -> Result<u64, Failure>;
}

/// An object that is being written. Dropped before `finish`, it leaves nothing.
pub trait Upload: Send {
    /// Appends bytes. Fast where `bytes` is aligned to a page.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure>;

    /// Appends ranges of an older object.
    fn append_ranges(&mut self, from: Name, ranges: &[Range]) -> Result<(), Failure>;

    /// Makes the content durable and publishes it under its name, if that is free (`true`). The name itself is durable
    /// after the next `barrier`. `false`: there is an object of that name, it was not touched, and this one is gone.
    fn finish(self: Box<Self>, length: u64) -> Result<bool, Failure>;
}
