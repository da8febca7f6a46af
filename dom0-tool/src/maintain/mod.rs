//! Looking after an archive: what is damaged, what can be mended, what may go.

mod check;
mod chunk_store;
mod claims;
mod data;
mod deduplicate;
mod elsewhere;
mod findings;
mod hits;
mod objects;
mod rebuild;
mod records;
mod recount;
mod repair;
mod slice;
mod stretches;
mod survey;

pub use check::{CheckOptions, CheckWatch, From, check};
pub use deduplicate::{SharedChunks, deduplicate};
pub use elsewhere::Elsewhere;
pub use findings::{CheckReport, DataMemory, LostRange};
pub use objects::Orphans;
pub use recount::Books;
pub use repair::{RepairReport, Repaired, repair};
pub use slice::{Slice, Verified};
