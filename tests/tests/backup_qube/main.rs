//! The whole program with a qube that is brought up and put away: over the protocol of qubesd and the stand-in for `qrexec-client`, with
//! the real helper, on both releases.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

mod disks;
mod power;
mod scene;
