//! The emergency exit: tests/emergency_restore.py, written from doc/FORMAT.md alone, restores what `nacre` stored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nacre_tests::desk::{Desk, end};
use nacre_tests::emergency::{python, restorer};
use nacre_tests::{helper_program, skip};

use super::{CHUNK, data_pack, desk_with_session, make_image, write_sparse};

/// The copy that every archive gets when it is made.
fn copy_beside(desk: &Desk) -> PathBuf {
    let entries = fs::read_dir(desk.path("store/archive")).unwrap().flatten();
    let mut names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let name = names.find(|name| name.starts_with("emergency_restore."));
    desk.path("store/archive").join(name.expect("a copy"))
}

#[test]
fn the_sheet_tells_the_script_beside_the_archive_from_another() {
    let (desk, _) = desk_with_session();
    let copy = copy_beside(&desk);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("emergency_restore.py");
    assert!(fs::read(&copy).unwrap() == fs::read(&ours).unwrap());
    // An archive of before had none.
    fs::remove_file(&copy).unwrap();
    let sheet = desk.done(&["key", "recovery", "--untested"]);
    assert!(fs::read(&copy).unwrap() == fs::read(&ours).unwrap());
    let said = Command::new("sha256sum").arg(&copy).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let (digest, _) = said.split_once(' ').unwrap();
    let name = copy.file_name().unwrap().to_str().unwrap();
    for wanted in [
        digest,
        &format!("A copy lies beside the archive: {name}\n"),
        "/usr/share/nacre/emergency_restore.py",
    ] {
        assert!(sheet.contains(wanted), "{wanted}: {sheet}");
    }
    // Where somebody put another in its place it stays, and the sheet's digest is still that of the right one.
    fs::write(&copy, "import os\n").unwrap();
    let sheet = desk.done(&["key", "recovery", "--untested"]);
    assert!(sheet.contains(digest) && fs::read(&copy).unwrap() == b"import os\n");
}

/// Puts a helper in the place of the real one that answers a request by what an older one says to it: that it does not know it.
fn older_helper(desk: &Desk, request: &str) {
    let real = helper_program();
    let plan = format!("error-8\n{request}\n1\n{}\n", real.display());
    fs::write(desk.path("strike"), plan).unwrap();
    desk.put_helper(&real.with_file_name("nacre-hostile-helper"));
}

#[test]
fn with_a_helper_that_cannot_keep_the_script_the_archive_is_made_all_the_same() {
    let desk = Desk::new();
    let content = make_image(&desk, "vol.img", 3);
    older_helper(&desk, "LeaveRestorer");
    let made = desk.run(&["arch-init"]);
    assert_eq!(made.code, 0, "{made:?}");
    let warning =
        "warning: the script that restores without nacre could not be put beside the archive";
    let remedy = "copy /usr/share/nacre/emergency_restore.py to it";
    assert!(
        made.err.contains(warning) && made.err.contains(remedy),
        "{made:?}"
    );
    // Nor does a sheet name a copy that is not there.
    older_helper(&desk, "LeaveRestorer");
    let sheet = desk.run(&["key", "recovery", "--untested"]);
    assert_eq!(sheet.code, 0, "{sheet:?}");
    assert!(
        sheet.err.contains(warning) && !sheet.out.contains("A copy lies beside"),
        "{sheet:?}"
    );
    desk.done(&["send", &desk.import("vol", "vol.img")]);
    let goal = format!("--save-to={}", desk.path("back.img").display());
    desk.done(&["receive", "vol", &goal]);
    assert!(fs::read(desk.path("back.img")).unwrap() == content);
}

/// A volume restored with a key of any kind.
fn restored_with(desk: &Desk, python: &Path, key: &str, session: &str) -> Option<Vec<u8>> {
    let goal = desk.path("emergency.img");
    let _ = fs::remove_file(&goal);
    let output = Command::new(python)
        .arg(copy_beside(desk))
        .arg(desk.path("store/archive"))
        .args([key, "restore", "vol"])
        .arg(&goal)
        .arg(format!("--session={session}"))
        .output()
        .unwrap();
    output.status.success().then(|| fs::read(goal).unwrap())
}

#[test]
fn every_kind_of_key_opens_the_emergency_exit_also_after_the_master_changed() {
    let Some(python) = python() else {
        skip!(
            "every_kind_of_key_opens_the_emergency_exit_also_after_the_master_changed",
            "no Python with pynacl, zstandard, blake3 and argon2-cffi"
        );
    };
    let (desk, first) = desk_with_session();
    fs::write(desk.path("words"), "several random words\n").unwrap();
    let words = format!("cat {}", desk.path("words").display());
    desk.done(&["key", "add", &format!("--new-passcmd={words}")]);
    let old_code = super::keys::recovery_code(&desk);
    let keep = format!("--keep-passcmd={words}");
    desk.done(&["key", "rotate-master", &keep, "--force"]);
    let code = super::keys::recovery_code(&desk);
    let second = make_image(&desk, "vol.img", 2);
    super::send(&desk, "two");
    let sessions = super::names::session_names(&desk.done(&["list", "vol", "--json"]));
    let keys = [
        format!("--key-file={}", desk.path("key").display()),
        format!("--passphrase-file={}", desk.path("words").display()),
        format!("--recovery={}", code.to_lowercase()),
    ];
    for key in &keys {
        for (session, content) in [(&sessions[0], &first), (&sessions[1], &second)] {
            let back = restored_with(&desk, &python, key, session);
            assert!(back.as_ref() == Some(content), "{key}");
        }
    }
    let dropped = format!("--recovery={old_code}");
    assert!(restored_with(&desk, &python, &dropped, &sessions[0]).is_none());
}

fn restored(desk: &Desk, python: &Path, volume: &str, session: &str) -> Vec<u8> {
    let goal = desk.path("emergency.img");
    let option = format!("--session={session}");
    let goal_name = goal.to_str().unwrap();
    let output = restorer(desk, python, &["restore", volume, goal_name, &option]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    fs::read(goal).unwrap()
}

#[test]
fn every_kind_of_archive_is_restored_without_nacre() {
    let Some(python) = python() else {
        skip!(
            "every_kind_of_archive_is_restored_without_nacre",
            "no Python with pynacl, zstandard, blake3 and argon2-cffi"
        );
    };
    let kinds: [&[&str]; 5] = [
        &["--hashtype=blake3"],
        &["--hashtype=hmac-sha256", "--chunk-factor=1"],
        &["--encrypt=off", "--chunk-factor=3"],
        &["--chunk-factor=6", "--compression=none"],
        &["--encrypt=off", "--hashtype=hmac-sha256"],
    ];
    for kind in kinds {
        let desk = Desk::new();
        let open = !kind.contains(&"--encrypt=off");
        let run = |arguments: &[&str]| {
            if open {
                desk.done(arguments)
            } else {
                desk.done_without_key(arguments)
            }
        };
        run(&[&["arch-init"], kind].concat());
        let first = make_image(&desk, "vol.img", 1);
        write_sparse(&desk.path("tiny.img"), &[9]);
        run(&[
            "send",
            &desk.import("vol", "vol.img"),
            &desk.import("tiny", "tiny.img"),
        ]);
        let mut second = first.clone();
        second[5 * CHUNK] ^= 1;
        second.truncate(37 * CHUNK + 1);
        write_sparse(&desk.path("vol.img"), &second);
        run(&["send", &desk.import("vol", "vol.img")]);

        let sessions = super::names::session_names(&run(&["list", "vol", "--json"]));
        assert_eq!(sessions.len(), 2);
        let listed = restorer(&desk, &python, &["list"]).unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for word in [&sessions[0], &sessions[1], "vol", "tiny"] {
            assert!(listed.contains(word), "no {word} in {listed}");
        }
        let whole = [(&sessions[0], &first), (&sessions[1], &second)];
        for (session, content) in whole {
            let back = restored(&desk, &python, "vol", session);
            assert!(back == *content, "{kind:?}");
        }
        assert_eq!(restored(&desk, &python, "tiny", &sessions[0]), [9]);
    }
}

#[test]
fn what_sharing_renaming_and_pruning_leave_is_restored_without_nacre() {
    let Some(python) = python() else {
        skip!(
            "what_sharing_renaming_and_pruning_leave_is_restored_without_nacre",
            "no Python with pynacl, zstandard, blake3 and argon2-cffi"
        );
    };
    let desk = super::desk_with_archive();
    let nothing = vec![0; 9 * CHUNK + 5];
    write_sparse(&desk.path("zeros.img"), &nothing);
    let mut contents = Vec::new();
    for seed in 1..=3 {
        contents.push(make_image(&desk, "vol.img", seed));
        desk.done(&[
            "send",
            "--dedup",
            "--dedup-domain=both",
            "--send-unchanged",
            &desk.import("vol", "vol.img"),
            &desk.import("twin", "vol.img"),
            &desk.import("zeros", "zeros.img"),
        ]);
    }
    desk.done(&["rename", "twin", "other"]);
    desk.done(&["prune", "--all", "--keep-last=2", "--force"]);
    let sessions = super::names::session_names(&desk.done(&["list", "vol", "--json"]));
    assert_eq!(sessions.len(), 2);
    for (session, content) in sessions.iter().zip(&contents[1..]) {
        for volume in ["vol", "other"] {
            let back = restored(&desk, &python, volume, session);
            assert!(back == *content, "{volume} of {session}");
        }
        assert!(restored(&desk, &python, "zeros", session) == nothing);
    }
}

#[test]
fn the_emergency_exit_notices_damage_and_wrong_keys() {
    let Some(python) = python() else {
        skip!(
            "the_emergency_exit_notices_damage_and_wrong_keys",
            "no Python with pynacl, zstandard, blake3 and argon2-cffi"
        );
    };
    let (desk, _) = desk_with_session();
    let pack = data_pack(&desk);
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let goal = desk.path("out.img");
    let goal = goal.to_str().unwrap();
    let output = restorer(&desk, &python, &["restore", "vol", goal]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("are lost"), "{said}");

    fs::remove_file(desk.path("key")).unwrap();
    let other = end(&mut desk.nacre_at("other", &["arch-init"]));
    assert_eq!(other.code, 0, "{other:?}");
    let output = restorer(&desk, &python, &["list"]).unwrap();
    assert!(!output.status.success());
}
