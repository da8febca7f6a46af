//! The doubles of the joints, for every test that crosses a crate.

mod helper;
pub mod lab_image;
mod memory_store;
mod skip;

pub use helper::{helper_program, open_helper};
pub use memory_store::MemoryStore;
pub use skip::{SKIP_LOG, skip};
