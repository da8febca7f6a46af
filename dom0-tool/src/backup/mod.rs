//! `send`: from volumes to sessions.

mod basis;
mod draft;
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

pub use report::{SendReport, VolumeOutcome, VolumeReport};
pub use run::{SendOptions, Surroundings, send};
pub use zero::is_zero;
