//! The doubles of the joints, for every test that crosses a crate.

pub mod conformance;
mod faulty_store;
mod helper;
pub mod lab_image;
mod memory_store;
pub mod mounts;
mod recording_store;
mod skip;

pub use faulty_store::FaultyStore;
pub use helper::{helper_program, open_helper, open_helper_with};
pub use memory_store::MemoryStore;
pub use recording_store::{Call, Latency, Record, RecordingStore};
pub use skip::{SKIP_LOG, skip};
