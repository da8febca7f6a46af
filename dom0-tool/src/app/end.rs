//! How a command ends: exit code and sentence.

use crate::archive::{Error, Severity};
use crate::cli::Exit;
use crate::entry;

/// An error, ready to be told.
pub struct Told {
    /// One sentence of what and where, and one of what to do.
    pub text: String,
    /// The exit code.
    pub exit: Exit,
}

impl Told {
    /// Puts an error into words.
    pub fn failed(error: &Error) -> Self {
        Self {
            text: sentence(error),
            exit: exit_of(error),
        }
    }

    /// Prints it where nothing better is set up yet.
    pub fn print_plain(&self) -> Exit {
        entry::fail(&self.text, self.exit)
    }
}

/// What went wrong, and what to do about it.
pub fn sentence(error: &Error) -> String {
    let remedy = error.remedy();
    if remedy.is_empty() {
        format!("{error}.")
    } else {
        format!("{error}. {remedy}")
    }
}

/// The exit code of a command that ended with this error.
pub fn exit_of(error: &Error) -> Exit {
    match error.severity() {
        Severity::Failed => Exit::Nothing,
        Severity::Integrity => Exit::Integrity,
        Severity::Freshness => Exit::Freshness,
        Severity::Interrupted => Exit::Interrupted,
    }
}
