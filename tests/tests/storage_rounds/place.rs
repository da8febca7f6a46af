//! Local storage as its users, and whoever meddles with snapshots, see it.

use std::ops::Range;

use nacre_tests::desk::Desk;

/// One storage with both volumes. Everything panics if it fails; what is written is on the disk when it returns, unless it says otherwise.
pub trait Place {
    /// A folder for programs and archives.
    fn desk(&self) -> Desk;
    /// What `--local` calls it.
    fn local(&self) -> String;
    /// The volumes, as they are called here and in archives.
    fn volumes(&self) -> [&'static str; 2];
    /// A name under which volumes are restored that the archives do not know.
    fn alias(&self) -> &'static str;
    /// Sizes are multiples of it.
    fn grain(&self) -> u64;
    /// Whether a volume is there; the alias at times is not.
    fn exists(&self, volume: &str) -> bool;
    fn resize(&self, volume: &str, size: u64);
    fn write(&self, volume: &str, at: u64, bytes: &[u8]);
    /// Whole sectors of 512 bytes, not beyond the end.
    fn discard(&self, volume: &str, range: Range<u64>);
    fn content(&self, volume: &str) -> Vec<u8>;
    /// The volume gets a new one in its place, as Qubes does when a qube stops: a copy-on-write copy of it.
    fn replace(&self, volume: &str);
    fn remove(&self, volume: &str);
    /// Snapshots of nacre, of both archives, sorted by name.
    fn snapshots(&self) -> Vec<String>;
    /// What else nacre left here: half-restored volumes, locks.
    fn left_overs(&self) -> Vec<String>;
    fn lose(&self, snapshot: &str);
    /// Each gets the other's name.
    fn swap(&self, one: &str, other: &str);
    fn rename(&self, snapshot: &str, name: &str);
    /// Writes to a snapshot, which its user should not do.
    fn scribble(&self, snapshot: &str, at: u64, bytes: &[u8]);
    /// The snapshot goes, and another one of the volume as it is now gets its name.
    fn make_anew(&self, snapshot: &str, volume: &str);
}
