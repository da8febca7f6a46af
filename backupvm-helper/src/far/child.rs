//! The running ssh: its pipes, what it says on stderr, its end.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nacre_wire::ErrorCode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::host::{Host, Service};
use crate::args::Options;
use crate::failure::{Failure, While};

/// How long a host may take from the call to its first answer: ssh's own limits and a slow login. Where there is no helper a second login, for
/// SFTP, follows the first, and the client of both waits for two minutes.
const HELLO_PATIENCE: Duration = Duration::from_secs(55);
/// Bytes of stderr that are kept: the first, where ssh says what is wrong.
const STDERR_KEPT: usize = 4096;
/// Characters of it that are shown; the client shows 300 of an error.
const WORDS_SHOWN: usize = 200;
/// How long ssh may take to end once its pipes are closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// ssh, before anything was agreed with whatever it reached.
pub(crate) struct SshChild {
    child: Child,
    pub(crate) to: File,
    from: File,
    stderr: File,
    said: Vec<u8>,
    deadline: Instant,
}

impl SshChild {
    /// Starts ssh.
    pub(crate) fn start(host: &Host, service: Service, options: &Options) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            let code = ErrorCode::Unsupported;
            Failure::new(code, format!("cannot start ssh here: {error}"))
        };
        let spawned = host.command(service, &options.ssh_options).spawn();
        let mut child = spawned.map_err(failed)?;
        let (Some(to), Some(from), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        let file = |end: OwnedFd| {
            let _ = rustix::pipe::fcntl_setpipe_size(&end, 1 << 20);
            File::from(end)
        };
        Ok(Self {
            child,
            to: file(to.into()),
            from: file(from.into()),
            stderr: file(stderr.into()),
            said: Vec::new(),
            deadline: Instant::now() + HELLO_PATIENCE,
        })
    }

    /// Writes to the host. That it does not listen is seen when its answer does not come.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.to.write_all(bytes);
    }

    /// The host's next bytes, exactly so many; `None` at the end of its output. Keeps what ssh says meanwhile.
    pub(crate) fn read(&mut self, length: usize) -> Result<Option<Vec<u8>>, Failure> {
        let mut bytes = vec![0; length];
        let mut at = 0;
        while at < length {
            self.wait_for_output()?;
            match self.from.read(bytes.get_mut(at..).unwrap_or(&mut [])) {
                Ok(0) | Err(_) => return Ok(None),
                Ok(read) => at += read,
            }
        }
        Ok(Some(bytes))
    }

    /// Waits until there is something to be read, or the end of it.
    fn wait_for_output(&mut self) -> Result<(), Failure> {
        let mut silent = false;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let (output, stderr) = (self.from.as_fd(), self.stderr.as_fd());
            let mut ends = [
                PollFd::from_borrowed_fd(output, PollFlags::IN),
                PollFd::from_borrowed_fd(stderr, PollFlags::IN),
            ];
            let watched = if silent { 1 } else { 2 };
            let ready = poll(ends.get_mut(..watched).unwrap_or(&mut []), timeout.as_ref());
            match ready {
                Ok(0) => {
                    let text = self.with_words("the ssh host does not answer");
                    return Err(Failure::new(ErrorCode::Unreachable, text));
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).doing("wait for ssh"),
            }
            let [output, stderr] = ends.map(|end| !end.revents().is_empty());
            if stderr && !silent {
                silent = !keep_some(&mut self.stderr, &mut self.said);
            }
            if output {
                return Ok(());
            }
        }
    }

    /// How ssh ended, and what it said, once its output has ended or is of no use.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        drop((self.to, self.from));
        let status = wait(&mut self.child);
        // Without this a background process of the host's, which holds its stderr, would hold us.
        let _ = rustix::io::ioctl_fionbio(&self.stderr, true);
        while keep_some(&mut self.stderr, &mut self.said) {}
        (status.and_then(|status| status.code()), words(&self.said))
    }

    fn with_words(&self, text: &str) -> String {
        match words(&self.said) {
            said if said.is_empty() => text.to_owned(),
            said => format!("{text}; ssh said: {said}"),
        }
    }

    /// Divides it into the pipes and what remains, with a thread that listens to stderr from now on.
    pub(crate) fn run(self) -> Result<(File, File, RunningSsh), Failure> {
        let said = Arc::new(Mutex::new(self.said));
        let (mut stderr, keeper) = (self.stderr, said.clone());
        std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(move || {
                let mut some = Vec::new();
                while keep_some(&mut stderr, &mut some) {
                    let mut said = keeper.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = STDERR_KEPT.saturating_sub(said.len());
                    said.extend(some.drain(..).take(room));
                }
            })
            .map_err(|error| Failure::new(ErrorCode::Io, format!("start a thread: {error}")))?;
        let running = RunningSsh {
            child: Mutex::new(self.child),
            said,
        };
        Ok((self.to, self.from, running))
    }
}

/// ssh at work.
pub(crate) struct RunningSsh {
    child: Mutex<Child>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl RunningSsh {
    /// How ssh ended, and what it said. To be called once its output has ended.
    pub(crate) fn end(&self) -> (Option<i32>, String) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let status = wait(&mut child);
        // The thread that reads stderr may be a moment behind.
        std::thread::sleep(Duration::from_millis(20));
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        (status.and_then(|status| status.code()), words(&said))
    }
}

/// Waits a little for ssh's end. Confined, we may not send it signals; it ends with its pipes.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + FAREWELL;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads once and keeps what there is room for. `false` at the end.
fn keep_some(stderr: &mut File, said: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 1024];
    match stderr.read(&mut buffer) {
        Ok(read @ 1..) => {
            let room = STDERR_KEPT.saturating_sub(said.len());
            said.extend_from_slice(buffer.get(..read.min(room)).unwrap_or(&[]));
            true
        }
        _ => false,
    }
}

/// What ssh said, on one line and without the last full stop: a sentence goes on behind it. The client makes it harmless.
fn words(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let words: Vec<_> = text.split_whitespace().collect();
    let words: Vec<char> = words.join(" ").trim_end_matches('.').chars().collect();
    // ssh says last what made it give up; a banner comes before.
    let start = words.len().saturating_sub(WORDS_SHOWN);
    words.get(start..).unwrap_or(&[]).iter().collect()
}
