//! What crosses the border between nacre and nacre-helper: frames, requests, replies, limits.
//!
//! Nothing here reads or writes; both ends hand in bytes and get values, or the reason why the bytes are none. Every
//! number is checked against its limit before memory is taken for it. doc/PROTOCOL.md says the same in prose.
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

mod bytes;
mod code;
mod frame;
mod hello;
pub mod limits;
mod name;
mod reply;
mod request;

pub use bytes::Malformed;
pub use code::ErrorCode;
pub use frame::{FrameHeader, Kind, encode_frame};
pub use hello::{
    Facts, HelloReply, HelloRequest, Locator, MAGIC, VERSION_HIGHEST, VERSION_LOWEST, negotiate,
};
pub use name::{Class, Name};
pub use reply::{ListEntry, Reply};
pub use request::{Range, Request};
