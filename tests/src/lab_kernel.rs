//! Tests inside a real kernel of their own: `tests/lab-kernel` boots it, this starts a test binary in it.
//!
//! A suite is a test binary (`tests/tests/NAME/main.rs`) in which the tests proper are ignored, because they need the lab kernel, and one
//! ordinary test boots it once and runs all of them there:
//!
//! ```ignore
//! #[test]
//! fn thin_pools_in_a_real_kernel() {
//!     LabKernel::new().disk("2G").run_ignored_tests("thin_pools_in_a_real_kernel");
//! }
//!
//! #[test]
//! #[ignore = "started by thin_pools_in_a_real_kernel"]
//! fn a_snapshot_is_read_only() { … }
//! ```
//!
//! Processes are slow inside (a fork takes some 20 ms) and there is one CPU; the tests run one after another and share the disks. Where a
//! package is missing the suite is skipped by name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set inside the lab kernel.
pub const INSIDE: &str = "NACRE_LAB_KERNEL";

/// What the lab kernel is given.
#[derive(Debug, Default)]
pub struct LabKernel {
    arguments: Vec<String>,
    programs: Vec<&'static str>,
    chosen: Vec<String>,
}

impl LabKernel {
    /// One without disks, with 2 GiB of memory and half an hour.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sparse disk of that size (`2G`): the first is `/dev/ubda`.
    #[must_use]
    pub fn disk(self, size: &str) -> Self {
        self.with("-s", size)
    }

    /// Makes a folder of this machine really writable inside.
    #[must_use]
    pub fn writable(self, folder: &Path) -> Self {
        let folder = folder.display().to_string();
        self.with("-w", &folder)
    }

    /// Stops it after so many seconds.
    #[must_use]
    pub fn seconds(self, limit: u32) -> Self {
        let limit = limit.to_string();
        self.with("-t", &limit)
    }

    /// Memory inside (`512M`).
    #[must_use]
    pub fn memory(self, size: &str) -> Self {
        self.with("-m", size)
    }

    /// A program that the tests inside need (`lvm`); without it the suite is skipped.
    #[must_use]
    pub fn needs(mut self, program: &'static str) -> Self {
        self.programs.push(program);
        self
    }

    /// Only tests with one of these words in their name: a suite that takes long has two kernels, which run at the same time.
    #[must_use]
    pub fn tests(mut self, words: &[&str]) -> Self {
        self.chosen
            .extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// All tests but those with one of these words in their name.
    #[must_use]
    pub fn other_tests(mut self, words: &[&str]) -> Self {
        self.chosen
            .extend(words.iter().map(|word| format!("--skip={word}")));
        self
    }

    fn with(mut self, option: &str, value: &str) -> Self {
        self.arguments.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// The command that runs another inside, or why this machine cannot.
    pub fn command(&self, program: &Path) -> Result<Command, String> {
        let lacks = |program: &&&str| !is_installed(program);
        let kernel = ["linux.uml", "modprobe"];
        if let Some(missing) = kernel.iter().chain(&self.programs).find(lacks) {
            return Err(format!("{missing} is not installed"));
        }
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("lab-kernel"));
        command.args(&self.arguments).arg("--").arg(program);
        Ok(command)
    }

    /// Runs the ignored tests of the calling test binary inside, all in one boot, or skips `suite` by name. `NACRE_LAB_TESTS` chooses among them,
    /// like an argument of `cargo test`.
    ///
    /// # Panics
    /// If a test inside fails, none ran, or the kernel did not come up; with everything that was said inside.
    #[allow(clippy::panic, reason = "how a test fails")]
    pub fn run_ignored_tests(&self, suite: &str) {
        let binary = std::env::current_exe();
        let Ok(mut command) = binary
            .map_err(|error| error.to_string())
            .and_then(|binary| self.command(&binary))
            .map_err(|why| crate::skip(suite, &why))
        else {
            return;
        };
        command.args(["--ignored", "--test-threads=1"]);
        let chosen = std::env::var("NACRE_LAB_TESTS");
        match &chosen {
            Ok(words) => command.arg(words),
            Err(_) => command.args(&self.chosen),
        };
        let output = match command.stdin(Stdio::null()).output() {
            Ok(output) => output,
            Err(error) => panic!("{command:?}: {error}"),
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(126) {
            return crate::skip(suite, complained.trim());
        }
        print!("inside the lab kernel:{said}");
        let ran = said.contains("test result: ok.") && !said.contains(" 0 passed");
        assert!(output.status.success() && ran, "{said}\n{complained}");
    }
}

/// Whether a program is there, also where only root looks.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|folder| folder.join(program).is_file())
}
