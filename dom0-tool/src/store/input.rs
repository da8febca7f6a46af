//! Bytes from the child, with an eye on the clock.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::Connection;

/// The child's stdout. Reading ends with an error of kind `TimedOut` when the other side has been silent for too long
/// while somebody waits.
pub(super) struct Input {
    from_child: File,
    connection: Arc<Connection>,
    tick: Timespec,
}

impl Input {
    pub(super) fn new(from_child: File, connection: Arc<Connection>) -> Self {
        let tick = tick(connection.patience.silence);
        Self {
            from_child,
            connection,
            tick,
        }
    }
}

/// How long to sleep between two looks at the clock.
pub(super) fn tick(silence: Duration) -> Timespec {
    let tick = (silence / 4).clamp(Duration::from_millis(10), Duration::from_secs(1));
    Timespec {
        tv_sec: i64::try_from(tick.as_secs()).unwrap_or(1),
        tv_nsec: i64::from(tick.subsec_nanos()),
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.from_child.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(read) => {
                    self.connection.mark_heard();
                    return Ok(read);
                }
                Err(error) => return Err(error),
            }
            let mut ends = [PollFd::new(&self.from_child, PollFlags::IN)];
            match poll(&mut ends, Some(&self.tick)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            // The reason is entered here, while it is true: a moment later somebody may begin to wait anew.
            if let Err(error) = self.connection.check_silence() {
                self.connection.fail(error);
            }
            if self.connection.lock().failed.is_some() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}
