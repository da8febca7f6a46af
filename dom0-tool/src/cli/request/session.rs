//! Sessions that are changed later.

use crate::cli::session::{SessionSelector, Tag, TagId};

/// Change what a session says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionChange {
    /// What is done.
    pub action: SessionAction,
    /// To which sessions. Not empty.
    pub sessions: Vec<SessionSelector>,
}

/// What is done to sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionAction {
    /// No rule prunes them any more.
    Protect,
    /// Rules may prune them again.
    Unprotect,
    /// They get a tag, or another description of one.
    Tag(Tag),
    /// They lose a tag.
    Untag(TagId),
}
