//! Packs: rows of sealed items with a directory at the end (doc/FORMAT.md, section 5).

mod choose;
mod dead;
mod directory;
mod index;
mod rebuild;
mod record;
mod relocate;
mod writer;

pub use choose::{MovePolicy, choose_moves};
pub use dead::{Retired, kill, retire};
pub use directory::{Directory, DirectoryEntry, DirectoryItem, Origin, TRAILER_BODY, Trailer};
pub use index::{FinishedIndex, IndexPack};
pub use rebuild::{FoundPack, find_roots, rebuild_packs, salvage_volume};
pub use record::{PackKind, PackRecord, PackState, Part};
pub use relocate::{CopyRange, Relocated, Relocation};
pub use writer::{PackEnd, PackWriter, TRAILER};

#[cfg(test)]
mod tests;
