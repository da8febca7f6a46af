//! Packs: rows of sealed items with a directory at the end (doc/FORMAT.md, section 5).

mod directory;
mod index;
mod record;
mod writer;

pub use directory::{Directory, DirectoryEntry, DirectoryItem, Origin, TRAILER_BODY, Trailer};
pub use index::{FinishedIndex, IndexPack};
pub use record::{PackKind, PackRecord, PackState, Part};
pub use writer::{PackEnd, PackWriter, TRAILER};
