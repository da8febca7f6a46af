//! The rules of the house, checked: who may use whom, where unsafe code may stand, how long a file may be.
//!
//! A failure here is no bug in behaviour: it says that a boundary was crossed which the design draws. Either the
//! change is wrong, or the table is: then the table changes in the same commit, with the reason.
#![allow(
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod crates;
mod files;
mod modules;
mod reasons;
mod reliability;
mod tokens;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the root").to_owned()
}

/// Standard output of a command run in the root; panics with its standard error if it fails.
fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("output in UTF-8")
}

/// The cargo that runs this test.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// All files of the project, relative to the root: what git tracks, or (in a tree without git) everything but `target`.
fn project_files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output();
    if let Ok(output) = listed
        && output.status.success()
        && !output.stdout.is_empty()
    {
        return output
            .stdout
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
            .filter(|path| root().join(path).is_file())
            .collect();
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found
        .into_iter()
        .filter_map(|path| path.strip_prefix(root()).ok().map(Path::to_owned))
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                walk(&path, found);
            }
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// All Rust files of the project below a folder of it, with their text.
fn rust_files(below: &str) -> Vec<(PathBuf, String)> {
    project_files()
        .into_iter()
        .filter(|path| path.starts_with(below) && path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).expect("Rust text in UTF-8");
            (path, text)
        })
        .collect()
}

/// Fails with all findings at once, one a line.
fn nothing_found(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
