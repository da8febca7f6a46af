//! Asking the person: for secrets, and for a yes.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that are wiped when they are dropped: a passphrase, a key.
pub type Secret = Zeroizing<Vec<u8>>;

/// What a passphrase is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// To unlock an archive; `place` is the target as the user gave it.
    Unlock {
        /// Where the archive is.
        place: &'a str,
    },
    /// To unlock an archive with its recovery code, which is shown as it is typed: 56 symbols that nobody types blindly.
    Recovery {
        /// Where the archive is.
        place: &'a str,
    },
    /// To protect something new: asked twice where a person types it, and checked for length.
    Create {
        /// Where the archive will be.
        place: &'a str,
    },
}

/// Where questions to the person go.
pub trait KeyPrompt: Send + Sync {
    /// Asks for a passphrase. Called again after a wrong one only if `may_retry` says so.
    fn ask(&self, purpose: Purpose<'_>) -> Result<Secret, PromptError>;

    /// Whether asking again can give another answer: true only where a person types.
    fn may_retry(&self) -> bool;

    /// Asks a question that is answered by yes or no. Without a person to ask, the error says so.
    fn confirm(&self, question: &str) -> Result<bool, PromptError>;

    /// Asks for a line of ordinary text (a tag), shown as it is typed; `None` for an empty line.
    fn line(&self, question: &str) -> Result<Option<String>, PromptError>;

    /// Tells the person something that belongs to the question.
    fn notice(&self, text: &str);
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptError {
    /// There is no terminal, or `--unattended` was given.
    NobodyToAsk {
        /// What was to be asked, as a noun phrase.
        what: String,
        /// What the user can do instead.
        remedy: String,
    },
    /// The person broke off, or the input ended.
    Abandoned,
    /// The two entries of a new passphrase differ.
    Differs,
    /// A new passphrase is too short.
    TooShort {
        /// Bytes that are asked for at least.
        least: usize,
    },
    /// The passphrase is longer than what is accepted.
    TooLong {
        /// Bytes accepted at most.
        most: usize,
    },
    /// The command of `--passcmd` failed; says how.
    Command(String),
    /// Reading or writing the terminal failed; says how.
    Terminal(String),
}

impl fmt::Display for PromptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyToAsk { what, remedy } => {
                write!(f, "there is nobody to ask for {what}; {remedy}")
            }
            Self::Abandoned => f.write_str("no answer was given; run the command again"),
            Self::Differs => f.write_str(
                "the two passphrases differ; run the command again and type the same one twice",
            ),
            Self::TooShort { least } => write!(
                f,
                "the passphrase is too short; use at least {least} bytes, better several random words"
            ),
            Self::TooLong { most } => {
                write!(
                    f,
                    "the passphrase is longer than {most} bytes; use a shorter one or a key file"
                )
            }
            Self::Command(detail) => write!(
                f,
                "the command of --passcmd gave no passphrase ({detail}); try it alone in a shell"
            ),
            Self::Terminal(detail) => write!(
                f,
                "the terminal cannot be used ({detail}); give --passcmd or --key-file instead"
            ),
        }
    }
}

impl std::error::Error for PromptError {}
