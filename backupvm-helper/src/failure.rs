//! Why a request could not be carried out, as it is told to the client.

use nacre_wire::ErrorCode;
use rustix::io::Errno;

/// A request's failure: the code tells cases apart, the text is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The case.
    pub code: ErrorCode,
    /// One line. The client sanitises it and names the object.
    pub text: String,
}

impl Failure {
    /// A failure that is not the kernel's.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// What the kernel said to `doing`.
    pub fn kernel(doing: &str, errno: Errno) -> Self {
        let code = match errno {
            Errno::NOENT => ErrorCode::NotFound,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => ErrorCode::NoSpace,
            Errno::ROFS => ErrorCode::ReadOnly,
            Errno::ACCESS | Errno::PERM => ErrorCode::Refused,
            Errno::OPNOTSUPP | Errno::NOSYS => ErrorCode::Unsupported,
            _ => ErrorCode::Io,
        };
        Self::new(code, format!("{doing}: {errno}"))
    }
}

/// Turns a kernel error into a failure that says what was being done.
pub(crate) trait While<T> {
    fn doing(self, what: &str) -> Result<T, Failure>;
}

impl<T> While<T> for Result<T, Errno> {
    fn doing(self, what: &str) -> Result<T, Failure> {
        self.map_err(|errno| Failure::kernel(what, errno))
    }
}
