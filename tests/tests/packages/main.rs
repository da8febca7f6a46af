//! The packages: what lies where with which mode and mark, that they install, run, upgrade and go again, and that they come out the same twice.
//!
//! The programs in them are those of the tests, stripped; static ones are `rpm/build`'s own business, which `rpm/compare` checks.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "a test fails by panicking"
)]

mod completions;
mod files;
mod installed;
#[path = "../../../dom0-tool/examples/nacre-manual.rs"]
#[allow(dead_code, reason = "its `main` is for packagers")]
mod manual;
mod service;
mod spec;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use nacre_tests::{helper_program, nacre_program};
use tempfile::TempDir;

/// What the tests need; each is a package of Debian's, but for the two that `rpm/tools` installs.
const TOOLS: &[&str] = &[
    "rpm",
    "rpmbuild",
    "dpkg-deb",
    "strip",
    "cargo-generate-rpm",
    "cargo-deb",
];

/// The project.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the root").to_owned()
}

/// Where `rpm/tools` puts its programs: beside what cargo builds.
fn tools() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let target = test.ancestors().nth(3).expect("the build's folder");
    target.join("tools/bin")
}

/// PATH with those programs.
fn path() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    std::env::join_paths([tools()].into_iter().chain(folders)).expect("a PATH")
}

fn is_there(program: &str) -> bool {
    std::env::split_paths(&path()).any(|folder| folder.join(program).is_file())
}

/// A command that finds those programs and shows its output only when it fails.
fn command(program: &str) -> Command {
    let ours = root().join(program);
    let mut command = if program.contains('/') {
        Command::new(ours)
    } else {
        Command::new(program)
    };
    command
        .env("PATH", path())
        .env("LC_ALL", "C.UTF-8")
        .current_dir(root());
    command
}

/// Standard output of a command that must succeed.
fn done(command: &mut Command) -> String {
    let output = command.output().expect("a program that can be started");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The three packages, and what they were made from.
struct Packages {
    folder: TempDir,
}

impl Packages {
    fn built(&self) -> PathBuf {
        self.folder.path().join("built")
    }

    /// Packs what is in `built`.
    fn pack(&self, name: &str) -> PathBuf {
        let out = self.folder.path().join(name);
        let epoch = "1700000000";
        done(
            command("rpm/build")
                .env("SOURCE_DATE_EPOCH", epoch)
                .env(
                    "CARGO_TARGET_DIR",
                    tools().parent().unwrap().parent().unwrap(),
                )
                .arg("--fast")
                .args(["--built".as_ref(), self.built().as_os_str()])
                .args(["--out".as_ref(), out.as_os_str()]),
        );
        out
    }

    fn file(&self, out: &str, start: &str, end: &str) -> PathBuf {
        let found = files_in(&self.folder.path().join(out));
        let is_it = |path: &&PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(start) && name.ends_with(end)
        };
        found.iter().find(is_it).expect("the package").clone()
    }

    fn dom0(&self) -> PathBuf {
        self.file("first", "nacre-dom0", ".rpm")
    }

    fn helper(&self) -> PathBuf {
        self.file("first", "nacre-helper", ".rpm")
    }

    fn deb(&self) -> PathBuf {
        self.file("first", "nacre-helper", ".deb")
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// Made once for all tests; or what is missing for it.
static PACKAGES: LazyLock<Result<Packages, String>> = LazyLock::new(|| {
    let missing: Vec<&str> = TOOLS
        .iter()
        .copied()
        .filter(|tool| !is_there(tool))
        .collect();
    if !missing.is_empty() {
        return Err(format!("not on this machine: {}", missing.join(", ")));
    }
    let packages = Packages {
        folder: TempDir::new().expect("a folder"),
    };
    let built = packages.built();
    fs::create_dir(&built).expect("a folder");
    for (program, name) in [
        (nacre_program(), "nacre"),
        (helper_program(), "nacre-helper"),
    ] {
        done(command("strip").args([
            "-o".as_ref(),
            built.join(name).as_os_str(),
            program.as_os_str(),
        ]));
    }
    manual::write(&built.join("manual")).expect("a manual");
    packages.pack("first");
    Ok(packages)
});

/// The packages, or the end of the test that wants them.
macro_rules! packages {
    ($name:expr) => {
        match crate::PACKAGES.as_ref() {
            Ok(packages) => packages,
            Err(missing) => nacre_tests::skip!($name, "{missing}"),
        }
    };
}
pub(crate) use packages;

#[test]
fn the_same_files_give_the_same_bytes_at_another_time() {
    let packages = packages!("the_same_files_give_the_same_bytes_at_another_time");
    // Other times on all that is packed, and another place.
    let moved = TempDir::new().unwrap();
    done(
        command("cp")
            .arg("-r")
            .arg(packages.built())
            .arg(moved.path()),
    );
    done(command("find").arg(moved.path()).args([
        "-exec",
        "touch",
        "--date=@1650000000",
        "{}",
        "+",
    ]));
    let again = moved.path().join("again");
    done(
        command("rpm/build")
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .arg("--fast")
            .env("TZ", "Asia/Tokyo")
            .env(
                "CARGO_TARGET_DIR",
                tools().parent().unwrap().parent().unwrap(),
            )
            .args(["--built".as_ref(), moved.path().join("built").as_os_str()])
            .args(["--out".as_ref(), again.as_os_str()]),
    );
    let first = files_in(&packages.folder.path().join("first"));
    assert_eq!(first.len(), 3, "{first:?}");
    for file in first {
        let other = again.join(file.file_name().unwrap());
        assert!(
            fs::read(&file).unwrap() == fs::read(&other).unwrap(),
            "{}",
            file.display()
        );
    }
}
