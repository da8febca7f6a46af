//! Going on in the same run after a broken connection (`--retry`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::archive::{Error, Result};
use crate::joints::{Monitor, StoreError};
use crate::report::text;

/// The first pause; each further one in a row is twice as long …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What ssh says where trying again would only lock the user out. Its exit code does not tell this from a host that is down.
const REFUSALS: [&str; 4] = [
    "Permission denied",
    "Host key verification failed",
    "IDENTIFICATION HAS CHANGED",
    "Too many authentication failures",
];

/// How often, and after what pauses, a connection is made anew.
pub struct Tries {
    most: u32,
    left: u32,
    pause: Duration,
    monitor: Arc<dyn Monitor>,
    stop: Arc<AtomicBool>,
}

impl Tries {
    /// So many in a row.
    pub fn new(most: u32, monitor: Arc<dyn Monitor>, stop: Arc<AtomicBool>) -> Self {
        Self {
            most,
            left: most,
            pause: FIRST_PAUSE,
            monitor,
            stop,
        }
    }

    /// Whether there are none.
    pub fn none(&self) -> bool {
        self.most == 0
    }

    /// Something was committed, or read: who goes on is not trying in vain.
    pub fn progressed(&mut self) {
        self.left = self.most;
        self.pause = FIRST_PAUSE;
    }

    /// Does something until it works, or fails in a way that does not pass.
    pub fn until<T>(&mut self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(error) => self.wait(error)?,
            }
        }
    }

    /// Waits before another try. The error comes back if there is none to be had.
    pub fn wait(&mut self, error: Error) -> Result<()> {
        if self.left == 0 || !may_pass(&error) {
            return Err(error);
        }
        self.left -= 1;
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        let left = self.left as usize;
        self.monitor.warning(&format!(
            "{error}; trying again in {} s ({} left)",
            pause.as_secs(),
            text::count(left, "try", "tries")
        ));
        self.sleep(pause)
    }

    fn sleep(&self, pause: Duration) -> Result<()> {
        let mut rest = pause;
        while !rest.is_zero() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let some = rest.min(Duration::from_millis(100));
            std::thread::sleep(some);
            rest -= some;
        }
        Ok(())
    }
}

/// Whether the same thing may work a little later. Neither damage nor a refusal is of that kind.
fn may_pass(error: &Error) -> bool {
    let Error::Store(StoreError { kind, detail, .. }) = error else {
        return false;
    };
    kind.is_broken_link() && !REFUSALS.iter().any(|words| detail.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::joints::StoreErrorKind;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let error = |kind, detail: &str| Error::Store(StoreError::new(kind, None, detail));
        for (kind, detail, passes) in [
            (StoreErrorKind::Died, "it ended with exit code 255", true),
            (StoreErrorKind::TimedOut, "nothing came for 121 s", true),
            (StoreErrorKind::Unreachable, "No route to host", true),
            (
                StoreErrorKind::Unreachable,
                "u@h: Permission denied (publickey).",
                false,
            ),
            (StoreErrorKind::Died, "Host key verification failed.", false),
            (StoreErrorKind::Denied, "", false),
            (StoreErrorKind::NoSpace, "", false),
            (StoreErrorKind::NotFound, "", false),
            (StoreErrorKind::Protocol, "", false),
            (StoreErrorKind::NoArchive, "", false),
        ] {
            assert_eq!(may_pass(&error(kind, detail)), passes, "{kind:?} {detail}");
        }
        assert!(!may_pass(&Error::Interrupted));
    }
}
