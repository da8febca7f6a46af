//! The confined process reaches the archive's folder and nothing else.

#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

const PLACE: &str = "NACRE_TEST_CONFINED_PLACE";

/// Runs in a process of its own, started by the other test: confinement cannot be taken off again.
#[test]
#[ignore = "started by confined_to_the_archive"]
fn child() {
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let (archive, outside) = (place.join("archive"), place.join("outside"));
    let root = File::open(&archive).unwrap();
    let early = File::open(&outside).unwrap();
    nacre_helper::confine_limits().unwrap();
    assert!(
        nacre_helper::confine_files(root.as_fd()).unwrap(),
        "Landlock"
    );
    // Landlock alone.
    assert!(File::open(&outside).is_err());
    assert!(File::open(archive.join("../outside")).is_err());
    assert!(File::open("/proc/self/status").is_err());
    assert!(fs::read_dir(&place).is_err());
    assert!(File::create(place.join("new")).is_err());
    assert!(Command::new("/bin/true").status().is_err());
    assert!(TcpListener::bind("127.0.0.1:0").is_err());
    // What a symbolic link in the archive leads to is outside as well.
    assert!(File::open(archive.join("link")).is_err());

    assert!(nacre_helper::confine_syscalls(), "seccomp");
    assert!(UdpSocket::bind("127.0.0.1:0").is_err());
    assert!(UnixDatagram::unbound().is_err());
    assert!(std::thread::Builder::new().spawn(|| ()).is_err());
    assert!(rustix::process::chdir("/").is_err());
    assert!(rustix::fs::fchmod(&root, rustix::fs::Mode::RWXU).is_err());
    // What was open stays open: stdin and stdout, for the helper.
    assert!(early.metadata().is_ok());
    works_as_a_store(&archive);
    fs::write(archive.join("passed"), b"").unwrap();
}

/// Everything that the backend does to files.
fn works_as_a_store(archive: &Path) {
    use rustix::fs::{FallocateFlags, FlockOperation, RenameFlags};
    let folder = File::open(archive).unwrap();
    // The standard library calls mkdir and unlink, which the backend does not.
    rustix::fs::mkdirat(&folder, "pack", rustix::fs::Mode::RWXU).unwrap();
    fs::write(archive.join("one"), [1; 8192]).unwrap();
    let one = File::options()
        .write(true)
        .open(archive.join("one"))
        .unwrap();
    rustix::fs::flock(&one, FlockOperation::LockExclusive).unwrap();
    one.sync_all().unwrap();
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&one, hole, 0, 4096).unwrap();
    rustix::fs::renameat_with(&folder, "one", &folder, "two", RenameFlags::NOREPLACE).unwrap();
    let empty = rustix::fs::AtFlags::empty();
    rustix::fs::linkat(&folder, "two", &folder, "three", empty).unwrap();
    let (two, four) = (
        File::open(archive.join("two")),
        File::create(archive.join("four")),
    );
    rustix::fs::copy_file_range(two.unwrap(), None, four.unwrap(), None, 8192).unwrap();
    rustix::fs::unlinkat(&folder, "two", empty).unwrap();
    assert_eq!(fs::read_dir(archive).unwrap().count(), 4);
    folder.sync_all().unwrap();
    rustix::fs::syncfs(&folder).unwrap();
    rustix::fs::fstatvfs(&folder).unwrap();
}

#[test]
fn confined_to_the_archive() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("archive")).unwrap();
    fs::write(place.path().join("outside"), b"secret").unwrap();
    std::os::unix::fs::symlink("../outside", place.path().join("archive/link")).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(PLACE, place.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(place.path().join("archive/passed").exists(), "{said}");
}
