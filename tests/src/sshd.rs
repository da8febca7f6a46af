//! A real sshd on loopback, with keys and a configuration of its own.

use std::ffi::OsString;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::helper_program;

/// What can be reached behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offers {
    /// `nacre-helper`, and SFTP.
    Helper,
    /// SFTP alone.
    Sftp,
    /// Neither.
    Nothing,
    /// SFTP alone, and every other command is answered by a line of text, as hosting services do.
    ForcedSftp,
    /// SFTP alone, by a server that does not know these requests (names of `sftp-server -Q requests`, with commas between).
    SftpWithout(&'static str),
    /// SFTP alone, by a server that breaks a promise (`nacre-test-sftp` says which there are) and does not know these requests.
    BrokenSftp(&'static str, &'static str),
}

/// All that OpenSSH's server adds to version 3 and nacre-helper makes use of.
pub const EXTENSIONS: &str = "hardlink,fsync,limits,statvfs,copy-data";

/// A running server. Dropping it ends it.
pub struct Sshd {
    place: tempfile::TempDir,
    child: Child,
    port: u16,
    login: Option<Child>,
}

impl Sshd {
    /// Starts one. Why not, where this machine cannot.
    pub fn start(offers: Offers) -> Result<Self, String> {
        const PROGRAM: &str = "/usr/sbin/sshd";
        if !Path::new(PROGRAM).exists() {
            return Err(format!("{PROGRAM} is not installed"));
        }
        if !rustix::process::geteuid().is_root() {
            return Err("sshd needs root to let somebody in".into());
        }
        let text = |error: std::io::Error| error.to_string();
        fs::create_dir_all("/run/sshd").map_err(text)?;
        let place = tempfile::tempdir().map_err(text)?;
        let folder = place.path();
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            let status = keygen.arg(folder.join(key)).status().map_err(text)?;
            if !status.success() {
                return Err("ssh-keygen failed".into());
            }
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.map_err(text)?.port();
        write_configuration(folder, port, offers).map_err(text)?;
        let log = fs::File::create(folder.join("log")).map_err(text)?;
        let child = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(folder.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(text)?;
        let server = Self {
            place,
            child,
            port,
            login: None,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err("sshd does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Whom to call: `user@host:port`.
    pub fn host(&self) -> String {
        format!("root@127.0.0.1:{}", self.port)
    }

    /// Options for ssh that let it in.
    pub fn options(&self) -> Vec<OsString> {
        let configuration = self.place.path().join("ssh_config");
        let mut options = vec!["-F".into(), configuration.into()];
        if self.login.is_some() {
            options.push(self.control());
        }
        options
    }

    /// Logs in once, for all who call with `options` after this: each has a session of its own, but a login, which takes most of a second, is
    /// spared. For those to whom it does not matter how they came in.
    pub fn share_login(&mut self) -> Result<(), String> {
        let mut command = Command::new("ssh");
        command.args(self.options()).arg(self.control());
        command.args(["-oControlMaster=yes", "-oBatchMode=yes", "-N", "-p"]);
        command.arg(self.port.to_string()).arg("root@127.0.0.1");
        let quiet = command.stdin(Stdio::null()).stderr(Stdio::null());
        self.login = Some(quiet.spawn().map_err(|error| error.to_string())?);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.place.path().join("control").exists() {
            if Instant::now() > deadline {
                return Err("nobody could log in".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn control(&self) -> OsString {
        let mut option = OsString::from("-oControlPath=");
        option.push(self.place.path().join("control"));
        option
    }

    /// The server's process; those of its sessions descend from it.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// A folder that goes away with the server.
    pub fn folder(&self) -> PathBuf {
        self.place.path().join("data")
    }

    /// Ends the server and every connection, as if the host were switched off.
    pub fn cut(&mut self) {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            if let Some(pid) = child.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if let Some(login) = &mut self.login {
            let _ = login.kill();
            let _ = login.wait();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_configuration(folder: &Path, port: u16, offers: Offers) -> std::io::Result<()> {
    fs::create_dir(folder.join("data"))?;
    fs::create_dir(folder.join("bin"))?;
    if offers == Offers::Helper {
        std::os::unix::fs::symlink(helper_program(), folder.join("bin/nacre-helper"))?;
    }
    fs::copy(folder.join("user.pub"), folder.join("authorized"))?;
    let at = folder.display();
    let subsystem = match offers {
        Offers::Nothing => String::new(),
        Offers::ForcedSftp => "Subsystem sftp internal-sftp\nForceCommand internal-sftp\n".into(),
        Offers::SftpWithout(requests) => {
            format!("Subsystem sftp /usr/lib/openssh/sftp-server -P {requests}\n")
        }
        Offers::BrokenSftp(how, requests) => {
            let server = helper_program().with_file_name("nacre-test-sftp");
            let without = if requests.is_empty() { "" } else { "-P " };
            format!(
                "Subsystem sftp {} {how} {without}{requests}\n",
                server.display()
            )
        }
        _ => "Subsystem sftp /usr/lib/openssh/sftp-server\n".into(),
    };
    // Another home folder, so that what a developer's shell does at a login is not part of the test: it may take long, and may take locks
    // that stay for ever where it is killed.
    let server = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized\nPidFile none\n\
         UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
         MaxStartups 200\nMaxSessions 200\nSetEnv PATH={at}/bin:/usr/bin:/bin HOME={at}\n{subsystem}"
    );
    fs::write(folder.join("sshd_config"), server)?;
    let key = fs::read_to_string(folder.join("host.pub"))?;
    fs::write(folder.join("known"), format!("[127.0.0.1]:{port} {key}"))?;
    let client = format!(
        "IdentityFile {at}/user\nIdentitiesOnly yes\nUserKnownHostsFile {at}/known\nStrictHostKeyChecking yes\n"
    );
    fs::write(folder.join("ssh_config"), client)
}
