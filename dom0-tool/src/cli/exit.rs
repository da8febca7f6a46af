//! How the program ends.

use std::process::ExitCode;

/// Exit codes. Scripts rely on them; none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All done.
    Done = 0,
    /// Nothing done, for a reason that was told.
    Nothing = 1,
    /// The command line or the ini was not understood; nothing done.
    Usage = 2,
    /// Part done; what was not is named.
    Part = 3,
    /// The archive, or what was read of it, is not what was stored.
    Integrity = 4,
    /// The store shows an older state than this machine remembers.
    Freshness = 5,
    /// Stopped by Ctrl-C or a signal; what was committed is kept.
    Interrupted = 130,
}

impl Exit {
    /// The code of two things done in one run: the graver one stays.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.gravity() >= other.gravity() {
            self
        } else {
            other
        }
    }

    /// A freshness or integrity failure must not be hidden by a lesser one, nor by an interruption.
    fn gravity(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Part => 1,
            Self::Nothing => 2,
            Self::Usage => 3,
            Self::Interrupted => 4,
            Self::Integrity => 5,
            Self::Freshness => 6,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graver_end_is_not_hidden_by_a_lesser_one() {
        assert_eq!(Exit::Done.and(Exit::Part), Exit::Part);
        assert_eq!(Exit::Integrity.and(Exit::Interrupted), Exit::Integrity);
        assert_eq!(Exit::Nothing.and(Exit::Freshness), Exit::Freshness);
    }
}
