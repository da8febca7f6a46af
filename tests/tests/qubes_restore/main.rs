//! Qubes out of an archive, through the real program and a double of qubesd.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod browse;
mod careful;
mod cut_short;
mod elsewhere;
mod every_setting;
mod fresh;
mod in_place;
mod machine;
mod named;
mod no_network;
mod parts;
mod past;
mod refusals;
mod renamed;
mod round_trip;
mod single;
mod unfinished;
