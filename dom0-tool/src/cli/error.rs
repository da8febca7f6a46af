//! What is wrong with what was typed or configured.

use std::fmt;

/// A usage error: what is wrong and where, and what to do instead. Exit code 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    /// One clause of what is wrong.
    pub what: String,
    /// One clause of what to do.
    pub remedy: String,
}

impl UsageError {
    /// Makes an error of its two clauses.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for UsageError {}

/// Why a command line ends before a command begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Early {
    /// Help or version was asked for: print on standard output, exit code 0.
    Show(String),
    /// Nothing was asked for: print on standard error, exit code 2.
    Help(String),
    /// The command line is wrong, told by the parser in its own form: print on standard error, exit code 2.
    Parser(String),
    /// The command line or the ini is wrong: print on standard error, exit code 2.
    Usage(UsageError),
}

impl From<UsageError> for Early {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

/// A value that is not of the form its option wants. The parser names option and value; this is the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue(pub String);

impl BadValue {
    /// Makes an error of one clause.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadValue {}
