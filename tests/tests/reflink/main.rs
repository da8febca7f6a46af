//! Local storage on file systems that clone files: real Btrfs and XFS on loop devices.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

mod links;
