//! What is done to an archive without any local volume.

mod deduplicate;

pub use deduplicate::{SharedChunks, deduplicate};
