//! A commit is read before it is written. What a reader refuses, because it is larger than the format allows, would take the whole archive with it.

use nacre_core::error::FormatError;
use nacre_core::head::Head;
use nacre_core::pack::PackRecord;
use nacre_core::session::Session;

use crate::archive::{Error, Result};

/// Whether a reader takes all of it.
pub fn check_readable<'a>(
    head: &Head,
    mut sessions: impl Iterator<Item = &'a Session>,
    mut packs: impl Iterator<Item = &'a PackRecord>,
) -> Result<()> {
    Head::parse(&head.encode())
        .and_then(|_| {
            sessions.try_for_each(|session| Session::parse(&session.encode()).map(|_| ()))
        })
        .and_then(|()| packs.try_for_each(|pack| PackRecord::parse(&pack.encode()).map(|_| ())))
        .map_err(unreadable)
}

fn unreadable(error: FormatError) -> Error {
    Error::refused(
        format!("nothing was written, because it could not be read again: {error}"),
        "This should not happen: please report it.",
    )
}
