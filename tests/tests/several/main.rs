//! Named targets, several targets in one run, and what `nacre status` says of them afterwards.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

mod catching_up;
mod healing;
mod named;
mod retrying;
mod room;
mod status;
