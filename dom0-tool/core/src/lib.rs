//! The archive of Nacre as arithmetic on bytes.
//!
//! Format, sealing, index trees, packs, heads and keys; no IO, no clock, no threads, no unsafe code. Whatever comes from
//! outside (randomness, time, objects of the store) is handed in by the caller. doc/FORMAT.md says the same in prose.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

pub mod aead;
pub mod bytes;
pub mod compress;
pub mod counters;
pub mod entropy;
pub mod error;
pub mod freshness;
pub mod hash;
pub mod head;
pub mod header;
pub mod ids;
pub mod keys;
pub mod lists;
pub mod liveness;
#[cfg(test)]
mod mutation;
pub mod node;
pub mod object_name;
pub mod pack;
pub mod place;
pub mod ranges;
pub mod retention;
pub mod seal;
pub mod session;
pub mod session_name;
pub mod settings;
pub mod tree;
