//! Exit codes: 1 to 20 are ours, qrexec uses 120 to 127 and 255.

/// How the helper ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// After `Bye`.
    Done,
    /// Wrong command line.
    Usage,
    /// The client broke the protocol.
    Protocol,
    /// `Hello` was refused; the reason was sent as an error.
    Refused,
    /// The input ended without `Bye`: unfinished objects were dropped.
    Cut,
    /// Input or output failed.
    Broken,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 1,
            Self::Protocol => 2,
            Self::Refused => 3,
            Self::Cut => 4,
            Self::Broken => 5,
        }
    }
}
