//! Backup qubes as dom0 sees them: a stand-in for `qrexec-client` and the project's own service script.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nacre::store::Route;

use crate::helper_program;
use crate::sshd::Sshd;

/// A machine with one running qube, `vault`. Goes away when dropped.
pub struct QubesWorld {
    place: tempfile::TempDir,
}

impl QubesWorld {
    /// Makes it. Services are separated by namespaces, for which root is needed.
    pub fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("namespaces need root".into());
        }
        let world = Self {
            place: tempfile::tempdir().map_err(|error| error.to_string())?,
        };
        world.make().map_err(|error| error.to_string())?;
        Ok(world)
    }

    fn make(&self) -> io::Result<()> {
        let qube = self.qube();
        fs::create_dir_all(qube.join("home"))?;
        fs::create_dir_all(qube.join("qubes-rpc"))?;
        let client = helper_program().with_file_name("nacre-test-qrexec-client");
        let root = self.place.path();
        let script = format!(
            "#!/bin/sh\nexec '{}' '{}' \"$@\"\n",
            client.display(),
            root.display()
        );
        write_script(&self.client(), &script)?;
        // The service as it is installed, with the places of this machine.
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qubes-rpc/nacre.Store");
        let service = fs::read_to_string(source)?
            .replace(
                "/usr/lib/qubes/nacre-helper",
                &helper_program().display().to_string(),
            )
            .replace(
                "--base /home",
                &format!("--base {}", qube.join("home").display()),
            );
        write_script(&self.service(), &service)
    }

    /// The qube's folder.
    pub fn qube(&self) -> PathBuf {
        self.place.path().join("vault")
    }

    /// The service's script.
    pub fn service(&self) -> PathBuf {
        self.qube().join("qubes-rpc/nacre.Store")
    }

    /// Lets the qube out to an ssh host, with a login of its own there.
    ///
    /// # Errors
    /// If the service cannot be rewritten.
    pub fn log_in_at(&self, host: &Sshd) -> io::Result<()> {
        fs::write(self.qube().join("online"), "")?;
        let mut serve = "serve --ssh".to_owned();
        for option in host.options() {
            serve = format!("{serve} --ssh-option {}", option.display());
        }
        let script = fs::read_to_string(self.service())?;
        write_script(&self.service(), &script.replace("serve --ssh", &serve))
    }

    fn client(&self) -> PathBuf {
        self.place.path().join("qrexec-client")
    }

    /// How dom0 reaches it.
    pub fn route(&self) -> Route {
        Route {
            qrexec_client: self.client(),
            ..Route::default()
        }
    }
}

/// Writes a program, by a process of its own: where this one had the file open for writing, a child that another thread forks at that moment
/// would have it open too, and to run it would fail with "text file busy".
pub fn write_script(path: &Path, text: &str) -> io::Result<()> {
    let mut install = Command::new("install");
    install.args(["-m", "755", "/dev/stdin"]).arg(path);
    let mut child = install.stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes())?;
    }
    match child.wait()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("install: {status}"))),
    }
}
