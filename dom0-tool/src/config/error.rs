//! What is wrong with an ini: the file, the line, and what to do.

use std::fmt;
use std::path::PathBuf;

/// An error about the ini.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        why: String,
    },
    /// The file is larger than any ini.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes that are read at most.
        largest: u64,
    },
    /// A line is not understood.
    Line {
        /// `FILE:LINE`.
        place: String,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, why } => write!(
                f,
                "the ini {} cannot be read ({why}); correct the name or its rights",
                path.display()
            ),
            Self::TooLarge { path, largest } => write!(
                f,
                "the ini {} has more than {largest} bytes; give another file with --config",
                path.display()
            ),
            Self::Line {
                place,
                what,
                remedy,
            } => write!(f, "{place}: {what}; {remedy}"),
        }
    }
}

impl std::error::Error for ConfigError {}
