//! Archives of every version that was ever released are read for ever: tests/archives, made by tests/archives/make.

#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::emergency::python;
use nacre_tests::skip;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("archives")
}

/// The archives by name: `v1-everything`.
fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap().flatten();
    let name = |file: fs::DirEntry| {
        let name = file.file_name().into_string().unwrap();
        name.strip_suffix(".tar").map(str::to_owned)
    };
    let mut names: Vec<String> = files.filter_map(name).collect();
    names.sort();
    assert!(names.len() >= 3, "{names:?}");
    names
}

/// A desk with a copy of an archive as its own.
fn unpacked(name: &str) -> Desk {
    let desk = Desk::new();
    let store = desk.path("store/archive");
    fs::create_dir_all(&store).unwrap();
    let tar = Command::new("tar")
        .arg("-xf")
        .arg(folder().join(format!("{name}.tar")))
        .arg("-C")
        .arg(&store)
        .status();
    assert!(tar.unwrap().success());
    let key = folder().join(format!("{name}.key"));
    if key.exists() {
        fs::copy(key, desk.path("key")).unwrap();
        set_private(&desk.path("key"));
    }
    desk
}

fn set_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn run(desk: &Desk, arguments: &[&str]) -> Ended {
    if desk.path("key").exists() {
        desk.run(arguments)
    } else {
        desk.run_without_key(arguments)
    }
}

fn done(desk: &Desk, arguments: &[&str]) {
    let ended = run(desk, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
}

/// Volume, session and the content's SHA-256.
fn versions(name: &str) -> Vec<[String; 3]> {
    let list = fs::read_to_string(folder().join(format!("{name}.list"))).unwrap();
    let words = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        words.try_into().unwrap()
    };
    list.lines().map(words).collect()
}

fn sha256(path: &Path) -> String {
    let ended = end(Command::new("sha256sum").arg(path));
    ended.out.split(' ').next().unwrap().to_owned()
}

#[test]
fn every_version_of_every_volume_is_restored_as_it_was() {
    for name in names() {
        let desk = unpacked(&name);
        for [volume, session, sum] in versions(&name) {
            let back = desk.path("back.img");
            let goal = format!("--save-to={}", back.display());
            let session_option = format!("--session={session}");
            done(
                &desk,
                &["receive", &volume, &session_option, &goal, "--force"],
            );
            assert_eq!(sha256(&back), sum, "{name}: {volume} {session}");
        }
        done(&desk, &["verify", "--all"]);
        done(&desk, &["arch-check", "--data"]);
    }
}

#[test]
fn old_archives_are_sent_to_pruned_and_sound_afterwards() {
    for name in names() {
        let desk = unpacked(&name);
        fs::write(desk.path("new.img"), vec![7; 100_000]).unwrap();
        done(&desk, &["send", &desk.import("new", "new.img"), "--dedup"]);
        let versions = versions(&name);
        let [volume, ..] = &versions[0];
        // Whether there is anything to forget is the archive's business; that nothing breaks is ours.
        done(&desk, &["prune", volume, "--keep-last=1", "--force"]);
        done(&desk, &["arch-check", "--data"]);
        let [volume, session, sum] = versions.last().unwrap();
        let goal = format!("--save-to={}", desk.path("back.img").display());
        let session = format!("--session={session}");
        done(&desk, &["receive", volume, &session, &goal]);
        assert_eq!(&sha256(&desk.path("back.img")), sum, "{name}: {volume}");
    }
}

#[test]
fn the_emergency_exit_reads_them_too() {
    let Some(python) = python() else {
        skip!(
            "the_emergency_exit_reads_them_too",
            "no Python with pynacl, zstandard, blake3 and argon2-cffi"
        );
    };
    for name in names() {
        let desk = unpacked(&name);
        for [volume, session, sum] in versions(&name) {
            let back = desk.path("back.img");
            let mut command = Command::new(&python);
            command
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("emergency_restore.py"))
                .arg(desk.path("store/archive"));
            if desk.path("key").exists() {
                command.arg(format!("--key-file={}", desk.path("key").display()));
            }
            command.args(["restore", &volume]).arg(&back);
            command.arg(format!("--session={session}"));
            let ended = end(&mut command);
            assert_eq!(ended.code, 0, "{name}: {ended:?}");
            assert_eq!(sha256(&back), sum, "{name}: {volume} {session}");
            let _ = fs::remove_file(&back);
        }
    }
}

#[test]
fn archives_kept_here_are_small() {
    for name in names() {
        let size = fs::metadata(folder().join(format!("{name}.tar")))
            .unwrap()
            .len();
        assert!(size <= 200 << 10, "{name}: {size}");
    }
}
