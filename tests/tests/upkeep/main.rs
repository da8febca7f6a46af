//! `arch-check` and its repair, against a model of what is hit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod bench;
mod claims;
mod cut_short;
mod doubt;
mod full;
mod matrix;
mod program;
mod property;
mod unsound;
mod writers;
