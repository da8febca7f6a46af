//! The doubles of the joints, for every test that crosses a crate.

pub mod conformance;
pub mod desk;
pub mod emergency;
mod faulty_store;
mod helper;
pub mod lab_image;
mod lab_kernel;
mod memory_archive;
mod memory_pool;
mod memory_state;
mod memory_store;
pub mod mounts;
mod program;
pub mod qubes_machine;
pub mod qubes_world;
pub mod qubesd;
mod recording_monitor;
mod recording_store;
mod simulated_clock;
mod skip;
pub mod sshd;

pub use faulty_store::FaultyStore;
pub use helper::{helper_program, open_helper, open_helper_with};
pub use lab_kernel::{INSIDE as INSIDE_LAB_KERNEL, LabKernel};
pub use memory_archive::{MemoryArchive, MemoryGoal};
pub use memory_pool::{MemoryPool, MemorySnapshot};
pub use memory_state::{LastWrite, MemoryState};
pub use memory_store::MemoryStore;
pub use program::nacre_program;
pub use recording_monitor::{RecordingMonitor, Said};
pub use recording_store::{Call, Latency, Record, RecordingStore};
pub use simulated_clock::SimulatedClock;
pub use skip::{SKIP_LOG, skip};
