//! The child process: its pipes, its stderr, its end.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::launch::{Launch, Transport};
use crate::joints::sanitise::sanitise;
use crate::joints::{StoreError, StoreErrorKind};

/// Bytes of stderr that are kept. The rest is read and dropped, so that the other side does not block.
const STDERR_KEPT: usize = 64 * 1024;
/// Longest part of stderr in an error.
const STDERR_SHOWN: usize = 600;
/// Bytes that the pipes shall hold.
const PIPE_SIZE: usize = 1 << 20;

/// A running child.
pub(super) struct ChildProcess {
    child: Mutex<Child>,
    transport: Transport,
    stderr: Arc<Mutex<Vec<u8>>>,
}

/// Our ends of the child's stdin and stdout, not blocking.
pub(super) struct Ends {
    pub to_child: File,
    pub from_child: File,
}

impl ChildProcess {
    /// Starts the program in a process group of its own, so that an abort reaches its children and Ctrl-C does not.
    pub(super) fn start(launch: &Launch) -> Result<(Self, Ends), StoreError> {
        let failed = |error: &std::io::Error| {
            let detail = format!("{}: {error}", launch.program.display());
            let detail = sanitise(detail.as_bytes(), STDERR_SHOWN);
            StoreError::new(StoreErrorKind::NotInstalled, None, detail)
        };
        let mut child = Command::new(&launch.program)
            .args(&launch.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&error))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(&std::io::ErrorKind::BrokenPipe.into()));
        };
        let ends = prepare(stdin.into())
            .and_then(|to_child| Ok((to_child, prepare(stdout.into())?)))
            .map_err(|errno| failed(&errno.into()))?;
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keeper = kept.clone();
        // Ends by itself at the end of the stream; nobody waits for it.
        std::thread::Builder::new()
            .name("store-stderr".into())
            .spawn(move || keep_stderr(File::from(OwnedFd::from(stderr)), &keeper))
            .map_err(|error| failed(&error))?;
        let process = Self {
            child: Mutex::new(child),
            transport: launch.transport,
            stderr: kept,
        };
        let ends = Ends {
            to_child: ends.0,
            from_child: ends.1,
        };
        Ok((process, ends))
    }

    /// Ends the child and whatever it started, at once.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits for the child's end, but not longer than `patience`.
    pub(super) fn wait(&self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(1);
        loop {
            let ended = self
                .child
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .try_wait();
            if let Ok(Some(status)) = ended {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Why the connection ended, as far as the child's end tells.
    pub(super) fn obituary(&self) -> StoreError {
        let status = self.wait(Duration::from_secs(2));
        let kind = kind_of_end(self.transport, status);
        let mut detail = describe_end(self.transport, status);
        // The thread that reads stderr may be a moment behind.
        std::thread::sleep(Duration::from_millis(20));
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let said = sanitise(&stderr, STDERR_SHOWN);
        if !said.is_empty() {
            detail = format!("{detail}; it said: {said}");
        }
        StoreError::new(kind, None, detail)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kind_of_end(transport: Transport, status: Option<ExitStatus>) -> StoreErrorKind {
    match (transport, status.and_then(|status| status.code())) {
        (_, Some(126)) => StoreErrorKind::Denied,
        (_, Some(127)) | (Transport::Qrexec, Some(125)) => StoreErrorKind::NotInstalled,
        _ => StoreErrorKind::Died,
    }
}

fn describe_end(transport: Transport, status: Option<ExitStatus>) -> String {
    let Some(status) = status else {
        return "it closed its output but did not end".into();
    };
    let text = match (transport, status.code()) {
        (Transport::Qrexec, Some(127)) => {
            "nacre-helper is not installed in the backup qube, or was installed since the qube was started: it has no service nacre.Store \
             (of a template that has it, `qvm-features TEMPLATE supported-rpc.nacre.Store` says 1)"
        }
        (Transport::Qrexec, Some(126)) => "qrexec policy refused the call",
        (Transport::Qrexec, Some(125)) => {
            "the backup qube does not run, or its nacre.Store service is broken"
        }
        (Transport::Qrexec, Some(255)) => "the backup qube, or its qrexec agent, ended",
        (_, Some(code)) => return format!("it ended with exit code {code}"),
        (_, None) => {
            let signal = status.signal().unwrap_or(0);
            return format!("it was killed by signal {signal}");
        }
    };
    text.into()
}

/// Large pipes save wake-ups; a refusal (quota) does no harm. Not blocking, so that a stalled child cannot hold us.
fn prepare(end: OwnedFd) -> rustix::io::Result<File> {
    let _ = rustix::pipe::fcntl_setpipe_size(&end, PIPE_SIZE);
    rustix::io::ioctl_fionbio(&end, true)?;
    Ok(File::from(end))
}

fn keep_stderr(mut stderr: File, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = STDERR_KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(buffer.get(..read.min(room)).unwrap_or(&[]));
    }
}
