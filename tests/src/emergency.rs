//! Runs tests/emergency_restore.py, the reader of archives that was written from doc/FORMAT.md alone.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::desk::Desk;

/// A Python that has the packages: that of the machine, or the one that tests/run sets up.
pub fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let own = root.join("target/venv/bin/python3");
    let can = |python: &PathBuf| {
        let check = ["-c", "import nacl.bindings, zstandard, blake3, argon2"];
        let output = Command::new(python).args(check).output();
        output.is_ok_and(|output| output.status.success())
    };
    [own, PathBuf::from("python3")].into_iter().find(can)
}

/// Runs it on the desk's archive, with the desk's key file.
pub fn restorer(desk: &Desk, python: &Path, arguments: &[&str]) -> io::Result<Output> {
    Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("emergency_restore.py"))
        .arg(desk.path("store/archive"))
        .arg(format!("--key-file={}", desk.path("key").display()))
        .args(arguments)
        .output()
}
