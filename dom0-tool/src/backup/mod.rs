//! `send`: from volumes to sessions.

mod basis;
mod draft;
mod ending;
mod failure;
mod feed;
mod packer;
mod patcher;
mod pipeline;
mod report;
mod run;
mod sender;
mod worker;
mod zero;

pub use ending::Try;
pub use report::{SendReport, VolumeOutcome, VolumeReport};
pub use run::{SendOptions, Surroundings, send, send_again};
pub use zero::is_zero;
