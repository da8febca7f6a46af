//! What `session` means.

use super::{Meaning, common};
use crate::cli::error::{BadValue, UsageError};
use crate::cli::low;
use crate::cli::request::{Common, Request, SessionAction, SessionChange};

const ACTIONS: &str = "give protect, unprotect, tag ID or untag ID, and then the sessions";

pub fn session(low: low::Session) -> Meaning {
    let common = Common {
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    let mut words = low.words.iter().map(String::as_str);
    let action = match words.next() {
        Some("protect") => SessionAction::Protect,
        Some("unprotect") => SessionAction::Unprotect,
        Some("tag") => SessionAction::Tag(value(words.next().unwrap_or_default())?),
        Some("untag") => SessionAction::Untag(value(words.next().unwrap_or_default())?),
        Some(other) => {
            let what = format!("a session cannot be told to {other:?}");
            return Err(UsageError::new(what, ACTIONS));
        }
        None => return Err(UsageError::new("it is not said what to do", ACTIONS)),
    };
    let sessions: Vec<_> = words.map(value).collect::<Result<_, _>>()?;
    if sessions.is_empty() {
        return Err(UsageError::new(
            "no session is named",
            "give YYYYMMDD-HHMMSS, ^TAG, newest, or a range FIRST,LAST",
        ));
    }
    Ok((common, Request::Session(SessionChange { action, sessions })))
}

/// A word as what it must be.
fn value<T: std::str::FromStr<Err = BadValue>>(word: &str) -> Result<T, UsageError> {
    word.parse().map_err(|error: BadValue| {
        UsageError::new(format!("{word:?} is not right"), error.to_string())
    })
}
