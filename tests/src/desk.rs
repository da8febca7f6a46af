//! The programs as a user has them, side by side in a folder of their own, with an archive, a key file and images beside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::{helper_program, nacre_program};

/// A folder with the programs `nacre` and `nacre-helper`, in which nothing of the machine's own settings is used.
pub struct Desk {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; 128 and the signal if it was killed.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Desk {
    /// Lays out a new folder.
    ///
    /// # Panics
    /// If that cannot be done: no test can go on without.
    pub fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// Lays out a new folder in another one.
    ///
    /// # Panics
    /// If that cannot be done.
    #[allow(clippy::expect_used, reason = "a test cannot go on without its folder")]
    pub fn new_in(above: &Path) -> Self {
        let desk = Self {
            folder: TempDir::new_in(above).expect("a temporary folder"),
        };
        link(&nacre_program(), &desk.path("nacre"))
            .expect("nacre-test-program is built with the tests");
        link(&helper_program(), &desk.path("nacre-helper"))
            .expect("nacre-test-helper is built with the tests");
        fs::create_dir(desk.path("store")).expect("a folder for the store");
        desk
    }

    /// Something in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a link that may break in the place of the helper (`nacre-test-link`, which says how to write down a cut): to the archive as the program at its end shall be told
    /// (`as-is`, `directory PATH`, `ssh HOST PATH`, `usb UUID PATH`). Without arguments the program gets those of the helper.
    ///
    /// # Panics
    /// If that cannot be done.
    #[allow(clippy::expect_used, reason = "a test cannot go on without its link")]
    pub fn link(&self, cut: &str, locator: &str, program: &Path, arguments: &[&str]) {
        let program = program.display().to_string();
        let lines = [&[cut, locator, &program], arguments].concat().join("\n");
        fs::write(self.path("link"), lines).expect("a plan for the link");
        self.put_helper(&helper_program().with_file_name("nacre-test-link"));
    }

    /// Puts another program in the place of the helper.
    ///
    /// # Panics
    /// If it is not there.
    #[allow(clippy::expect_used, reason = "a test cannot go on without its helper")]
    pub fn put_helper(&self, program: &Path) {
        let place = self.path("nacre-helper");
        fs::remove_file(&place).expect("a helper to replace");
        link(program, &place).expect("the program is built with the tests");
    }

    /// A command of `nacre` with the options that reach the desk's archive in `store/archive`.
    pub fn nacre(&self, arguments: &[&str]) -> Command {
        self.nacre_at("archive", arguments)
    }

    /// The same for another archive of the desk.
    pub fn nacre_at(&self, archive: &str, arguments: &[&str]) -> Command {
        let mut command = self.without_key_at(archive, arguments);
        command.arg(format!("--key-file={}", self.path("key").display()));
        command
    }

    /// The same without the key file.
    pub fn without_key_at(&self, archive: &str, arguments: &[&str]) -> Command {
        let store = self.path("store").join(archive);
        let mut command = Command::new(self.path("nacre"));
        command
            .args(arguments)
            .arg(format!("--dest=file:{}", store.display()))
            .arg(format!("--meta-dir={}", self.path("state").display()))
            .args(["--config=/dev/null", "--unattended"])
            .env_remove("RUST_BACKTRACE")
            .current_dir(self.folder.path());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        end(&mut self.nacre(arguments))
    }

    /// Runs a command that must succeed; its standard output.
    ///
    /// # Panics
    /// If it does not exit with 0.
    pub fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "nacre {arguments:?}: {ended:?}");
        ended.out
    }

    /// The same for an archive that has no key.
    ///
    /// # Panics
    /// If it does not exit with 0.
    pub fn done_without_key(&self, arguments: &[&str]) -> String {
        let ended = self.run_without_key(arguments);
        assert_eq!(ended.code, 0, "nacre {arguments:?}: {ended:?}");
        ended.out
    }

    /// Runs a command without the key file.
    pub fn run_without_key(&self, arguments: &[&str]) -> Ended {
        end(&mut self.without_key_at("archive", arguments))
    }

    /// Runs a command that is interrupted as soon as it has stored so many bytes.
    ///
    /// # Panics
    /// If it ends before that.
    #[allow(
        clippy::expect_used,
        reason = "a test cannot go on without its program"
    )]
    pub fn interrupted(&self, command: &mut Command, stored: u64) -> Ended {
        // Not all files of the store: one that only tries out how much room there is comes and goes.
        let packs = self.path("store/archive/pack");
        let before = bytes_in(&packs);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("a program that can be started");
        while bytes_in(&packs) < before + stored {
            let lives = matches!(child.try_wait(), Ok(None));
            assert!(lives, "it ended before it had stored {stored} bytes");
            thread::sleep(Duration::from_millis(5));
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT)
            .expect("a program that runs");
        ended(&child.wait_with_output().expect("its output"))
    }

    /// The option that sends an image of the desk as a volume.
    pub fn import(&self, volume: &str, image: &str) -> String {
        format!(
            "--import-other-from={volume}:|:{}",
            self.path(image).display()
        )
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started.
#[allow(
    clippy::expect_used,
    reason = "a test cannot go on without its program"
)]
pub fn end(command: &mut Command) -> Ended {
    ended(&command.output().expect("a program that can be started"))
}

/// The end of a command as a test wants to see it.
pub fn ended(output: &Output) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    let status = output.status;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    Ended {
        code: code.unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Bytes of all files below a folder. What comes and goes meanwhile may be missing.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// A hard link where that is possible: the program then finds its helper beside its new name.
fn link(program: &Path, name: &Path) -> io::Result<()> {
    fs::hard_link(program, name).or_else(|_| fs::copy(program, name).map(|_| ()))
}

/// Copies a folder with all that is in it, and the modes of folders.
#[allow(clippy::unwrap_used, reason = "a test cannot go on without it")]
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mode = fs::metadata(from).unwrap().permissions();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let goal = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &goal);
        } else {
            fs::copy(&path, &goal).unwrap();
        }
    }
    fs::set_permissions(to, mode).unwrap();
}
