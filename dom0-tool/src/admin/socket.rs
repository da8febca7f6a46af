//! One call: `METHOD+ARG dom0 name DEST\0PAYLOAD`, half-closed, then the answer to its end.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::joints::qubes::{RegistryError, RegistryErrorKind};
use crate::joints::sanitise::sanitise;

/// Where qubesd takes the calls of the Admin API.
pub const EXTERNAL_SOCKET: &str = "/var/run/qubesd.sock";
/// Where qubesd takes calls that only dom0's own programs make (volume import).
pub const INTERNAL_SOCKET: &str = "/var/run/qubesd.internal.sock";

/// Most bytes of an answer. All properties of a qube are some kilobytes.
const LARGEST_ANSWER: u64 = 16 << 20;
/// Header and payload together: qubesd answers nothing to more.
const LARGEST_CALL: usize = 65_536;
/// Longest part of a message that is shown.
const SHOWN: usize = 600;
/// A start may take a minute and more.
const PATIENCE: Duration = Duration::from_secs(180);
/// The part of it that is waited for an answer when the one before did not come: five seconds.
const AFTER_SILENCE: u32 = 36;

/// One socket of qubesd.
#[derive(Clone, Debug)]
pub struct Socket {
    path: PathBuf,
    patience: Duration,
    /// Whether the last call was not answered, by this socket or one that was made of it.
    silent: Arc<AtomicBool>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `admin.vm.Start`
    pub method: &'a str,
    /// Behind the `+`; may be empty.
    pub argument: &'a str,
    /// The qube it is about, or `dom0`.
    pub target: &'a str,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Call<'_> {
    /// An error about this call.
    pub fn error(&self, kind: RegistryErrorKind, detail: impl Into<String>) -> RegistryError {
        let call = format!("{} of {}", self.method, self.target);
        RegistryError {
            kind,
            call: sanitise(call.as_bytes(), SHOWN),
            detail: detail.into(),
        }
    }

    /// An answer that says something else than it may.
    pub fn nonsense(&self, what: &str) -> RegistryError {
        self.error(
            RegistryErrorKind::Protocol,
            sanitise(what.as_bytes(), SHOWN),
        )
    }

    /// The bytes that are sent. Names with a blank or a NUL would become another call.
    fn encode(&self) -> Result<Vec<u8>, RegistryError> {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain(self.method) || !plain(self.argument) || !plain(self.target) {
            return Err(self.error(
                RegistryErrorKind::BadValue,
                "a name has a character that no name may have",
            ));
        }
        let Self {
            method,
            argument,
            target,
            ..
        } = self;
        let mut bytes = format!("{method}+{argument} dom0 name {target}\0").into_bytes();
        bytes.extend_from_slice(self.payload);
        if bytes.len() > LARGEST_CALL {
            return Err(self.error(
                RegistryErrorKind::BadValue,
                format!("{} bytes are more than qubesd takes", self.payload.len()),
            ));
        }
        Ok(bytes)
    }
}

impl Socket {
    /// A socket at `path`.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            patience: PATIENCE,
            silent: Arc::default(),
        }
    }

    /// The same, less patient.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes a call; the content of the answer.
    pub fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, RegistryError> {
        let request = call.encode()?;
        let answer = self.exchange(&request);
        let silent = answer.as_ref().is_err_and(is_silence);
        // Relaxed: nothing else is known by it.
        self.silent.store(silent, Ordering::Relaxed);
        let answer = answer.map_err(|error| self.in_words(call, &error))?;
        if answer.len() as u64 > LARGEST_ANSWER {
            return Err(call.nonsense("an answer of more than 16 MiB"));
        }
        understand(call, answer)
    }

    fn exchange(&self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.path)?;
        let patience = if self.silent.load(Ordering::Relaxed) {
            self.patience / AFTER_SILENCE
        } else {
            self.patience
        };
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(request)?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.take(LARGEST_ANSWER + 1).read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn in_words(&self, call: &Call<'_>, error: &std::io::Error) -> RegistryError {
        if is_silence(error) {
            return call.error(RegistryErrorKind::TimedOut, "");
        }
        call.error(
            RegistryErrorKind::Unreachable,
            format!("{}: {error}", self.path.display()),
        )
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// `0\0` content; `2\0` exception; nothing at all: refused.
pub(super) fn understand(call: &Call<'_>, mut answer: Vec<u8>) -> Result<Vec<u8>, RegistryError> {
    match answer.get(..2) {
        Some(b"0\0") => Ok(answer.split_off(2)),
        Some(b"2\0") => Err(exception(call, &answer)),
        _ if answer.is_empty() => Err(call.error(RegistryErrorKind::Refused, "")),
        _ => Err(call.nonsense("it begins with neither 0 nor 2")),
    }
}

/// `2\0TYPE\0TRACEBACK\0MESSAGE\0`
fn exception(call: &Call<'_>, answer: &[u8]) -> RegistryError {
    let mut fields = answer.split(|byte| *byte == 0).skip(1);
    let name = fields.next().unwrap_or_default();
    let message = fields.nth(1).unwrap_or_default();
    let kind = match name {
        b"QubesVMNotFoundError" => RegistryErrorKind::NoQube,
        b"QubesNoSuchPropertyError"
        | b"QubesFeatureNotFoundError"
        | b"QubesTagNotFoundError"
        | b"QubesLabelNotFoundError" => RegistryErrorKind::NoSuchThing,
        b"QubesValueError" | b"QubesPropertyValueError" => RegistryErrorKind::BadValue,
        b"QubesVMNotHaltedError" => RegistryErrorKind::NotHalted,
        b"QubesVMNotRunningError" | b"QubesVMNotStartedError" => RegistryErrorKind::NotRunning,
        b"QubesVMInUseError" | b"QubesPoolInUseError" => RegistryErrorKind::InUse,
        b"ProtocolError" | b"PermissionDenied" => RegistryErrorKind::Refused,
        _ => RegistryErrorKind::Other,
    };
    let shown = if message.is_empty() { name } else { message };
    call.error(kind, sanitise(shown, SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(argument: &'a str, payload: &'a [u8]) -> Call<'a> {
        Call {
            method: "admin.vm.property.Set",
            argument,
            target: "work",
            payload,
        }
    }

    #[test]
    fn a_call_looks_as_qubesd_wants_it() {
        let bytes = call("memory", b"800").encode();
        let wanted = b"admin.vm.property.Set+memory dom0 name work\x00800";
        assert_eq!(bytes.as_deref(), Ok(&wanted[..]));
        let bytes = call("", b"").encode();
        let wanted = b"admin.vm.property.Set+ dom0 name work\0";
        assert_eq!(bytes.as_deref(), Ok(&wanted[..]));
    }

    #[test]
    fn no_name_can_make_another_call_of_it() {
        for bad in ["a b", "a\0b", "a\nb", "ü"] {
            let error = call(bad, b"").encode().map_err(|error| error.kind);
            assert_eq!(error, Err(RegistryErrorKind::BadValue), "{bad:?}");
        }
        let large = vec![b'x'; LARGEST_CALL];
        assert!(call("notes", &large).encode().is_err());
    }

    #[test]
    fn exceptions_become_errors_with_the_apis_own_message() {
        let answer =
            b"2\0QubesNoSuchPropertyError\0\0Invalid property 'nosuch' of work\x1b[2J\0".to_vec();
        let error = understand(&call("nosuch", b""), answer).unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::NoSuchThing);
        assert_eq!(error.detail, "Invalid property 'nosuch' of work\u{fffd}[2J");
    }

    #[test]
    fn every_start_of_an_answer_is_told_apart() {
        let kind =
            |answer: &[u8]| understand(&call("", b""), answer.to_vec()).map_err(|error| error.kind);
        assert_eq!(kind(b"0\0abc"), Ok(b"abc".to_vec()));
        assert_eq!(kind(b"0\0"), Ok(Vec::new()));
        assert_eq!(kind(b""), Err(RegistryErrorKind::Refused));
        for bad in [&b"0"[..], b"1\0event", b"3\0", b"\0\0"] {
            assert_eq!(kind(bad), Err(RegistryErrorKind::Protocol));
        }
        assert_eq!(kind(b"2\0"), Err(RegistryErrorKind::Other));
    }
}
