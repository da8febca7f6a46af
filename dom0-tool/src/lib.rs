//! The program `nacre` as a library: joints, store client, sources, backup, restore, command line.

pub mod admin;
pub mod app;
pub mod archive;
pub mod backup;
pub mod backup_qube;
pub mod cli;
pub mod clock;
pub mod config;
pub mod entry;
pub mod joints;
pub mod maintain;
pub mod qubes;
pub mod report;
pub mod restore;
pub mod source;
pub mod state;
pub mod store;
pub mod unlock;
