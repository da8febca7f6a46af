//! The ways from this machine to a place, one constructor for each kind of target.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nacre_wire::Locator;

use super::launch::{Launch, Patience, Transport, find_helper, real_path};
use crate::joints::{StoreError, StoreErrorKind};

/// Valid on all releases since 4.1; the link in /usr/bin came later.
const QREXEC_CLIENT: &str = "/usr/lib/qubes/qrexec-client";
/// The service in the backup qube (qubes-rpc/nacre.Store).
const SERVICE: &str = "nacre.Store";
/// What `qrexec-client` is told beside whom to call: it waits so many seconds for a qube that is just starting.
const QREXEC_OPTIONS: [&str; 2] = ["-w", "60"];

/// The programs that lead to other places, and how long to wait there.
///
/// Every constructor gives a `Launch` for `store::open`. Names of qubes and hosts must have passed the command line's
/// checks: a qube's name is here part of an argument, and nothing else is; hosts, UUIDs and paths travel in the hello and
/// are checked again by the helper.
#[derive(Clone, Debug)]
pub struct Route {
    /// The helper's program; `None`: where it usually is.
    pub helper: Option<PathBuf>,
    /// `qrexec-client`.
    pub qrexec_client: PathBuf,
    /// Its options, in place of the usual ones (`--opt-qubes`).
    pub qrexec_options: Vec<OsString>,
    /// Arguments for ssh of this machine (`--opt-ssh`). They stand before ours, and ssh takes the first value that it finds.
    pub ssh_options: Vec<OsString>,
    /// When to give up.
    pub patience: Patience,
    /// Bytes to send in a second, at most (`--limit`).
    pub limit: Option<NonZeroU64>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            helper: None,
            qrexec_client: find_qrexec_client(),
            qrexec_options: QREXEC_OPTIONS.map(OsString::from).into(),
            ssh_options: Vec::new(),
            patience: Patience::default(),
            limit: None,
        }
    }
}

impl Route {
    /// `file:/path`: a folder of this machine. With `create`, it (not its parents) is made if it is not there.
    pub fn directory(&self, path: &Path, create: bool) -> Result<Launch, StoreError> {
        let absolute = real_path(path)
            .map_err(|error| StoreError::new(StoreErrorKind::NoArchive, None, error.to_string()))?;
        let path = absolute.as_os_str().as_bytes().to_vec();
        self.local(["--base", "/"], Locator::Directory { path }, create)
    }

    /// `ssh://host[/path]`: our own helper calls ssh. `host` is `[user@]host[:port]`.
    pub fn ssh(&self, host: &str, path: Option<&str>, create: bool) -> Result<Launch, StoreError> {
        let mut arguments = vec![OsString::from("--ssh")];
        for option in &self.ssh_options {
            arguments.extend(["--ssh-option".into(), option.clone()]);
        }
        self.local(arguments, ssh_locator(host, path), create)
    }

    /// `qubes://qube[/path]`: a folder in a running qube.
    pub fn qube(&self, qube: &str, path: Option<&str>, create: bool) -> Launch {
        let locator = Locator::Directory { path: bytes(path) };
        self.service(qube, locator, create)
    }

    /// `qubes-ssh://qube:host[/path]`: an ssh host that a running qube reaches, with the qube's own keys and options.
    pub fn qube_ssh(&self, qube: &str, host: &str, path: Option<&str>, create: bool) -> Launch {
        self.service(qube, ssh_locator(host, path), create)
    }

    /// `qubes-usb://qube/UUID[/path]`: a disk that is attached to a running qube. The client's `close` must succeed before
    /// the disk is detached: only then is it unmounted.
    pub fn qube_usb(&self, qube: &str, uuid: &str, path: Option<&str>, create: bool) -> Launch {
        // From dom0 any user may be named; the helper needs root to mount, and drops it before it serves.
        self.service_as(qube, "root", "usb", usb_locator(uuid, path), create)
    }

    /// `usb:UUID[/path]`: a disk of this machine. Needs root.
    pub fn usb(&self, uuid: &str, path: Option<&str>, create: bool) -> Result<Launch, StoreError> {
        self.local(["--usb"], usb_locator(uuid, path), create)
    }

    fn local<A: Into<OsString>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        locator: Locator,
        create: bool,
    ) -> Result<Launch, StoreError> {
        let program = match &self.helper {
            Some(helper) => helper.clone(),
            None => find_helper()?,
        };
        let serve = std::iter::once("serve".into());
        Ok(Launch {
            program,
            arguments: serve.chain(arguments.into_iter().map(Into::into)).collect(),
            transport: Transport::Local,
            locator,
            create,
            patience: self.patience,
            limit: self.limit,
        })
    }

    fn service(&self, qube: &str, locator: Locator, create: bool) -> Launch {
        self.service_as(qube, "DEFAULT", "", locator, create)
    }

    fn service_as(
        &self,
        qube: &str,
        user: &str,
        argument: &str,
        locator: Locator,
        create: bool,
    ) -> Launch {
        let mut arguments = self.qrexec_options.clone();
        let call = format!("{user}:QUBESRPC {SERVICE}+{argument} dom0");
        arguments.extend(["-d".into(), qube.into(), call.into()]);
        Launch {
            program: self.qrexec_client.clone(),
            arguments,
            transport: Transport::Qrexec,
            locator,
            create,
            patience: self.patience,
            limit: self.limit,
        }
    }
}

/// Where it always was, else in PATH.
fn find_qrexec_client() -> PathBuf {
    let usual = Path::new(QREXEC_CLIENT);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let mut found = folders.map(|folder| folder.join("qrexec-client"));
    let other = if usual.is_file() {
        None
    } else {
        found.find(|program| program.is_file())
    };
    other.unwrap_or_else(|| usual.to_owned())
}

fn bytes(path: Option<&str>) -> Vec<u8> {
    path.unwrap_or_default().as_bytes().to_vec()
}

fn ssh_locator(host: &str, path: Option<&str>) -> Locator {
    Locator::Ssh {
        host: host.as_bytes().to_vec(),
        path: bytes(path),
    }
}

fn usb_locator(uuid: &str, path: Option<&str>) -> Locator {
    Locator::Usb {
        uuid: uuid.as_bytes().to_vec(),
        path: bytes(path),
    }
}
