//! Secrets: the passphrase from a person, a command or a pipe; key files; the key that is remembered for minutes.

mod cache;
mod command;
mod key_file;
mod prompt;

pub use cache::{CacheError, KeyCache};
pub use key_file::{KeyFileError, create_key_file, read_key_file};
pub use prompt::Prompt;

/// Bytes that a new passphrase has at least.
const SHORTEST: usize = 10;
/// Bytes that a passphrase has at most.
const LONGEST: usize = 4096;
