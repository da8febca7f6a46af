//! Wrong keys, wrong places, wrong names: one clear sentence, the right exit code, and nothing lost.

use std::fs;

use nacre_tests::desk::{Desk, end};

use super::{assert_says, desk_with_archive, desk_with_session, objects, receive};

#[test]
fn a_wrong_key_file_is_said_and_harms_nothing() {
    let (desk, content) = desk_with_session();
    let right = fs::read(desk.path("key")).unwrap();
    let mut wrong = right.clone();
    let digit = wrong.iter().rposition(u8::is_ascii_hexdigit).unwrap();
    wrong[digit] = if wrong[digit] == b'0' { b'1' } else { b'0' };
    fs::write(desk.path("key"), wrong).unwrap();
    assert_says(&desk.run(&["list"]), 1, &["key"]);
    fs::write(desk.path("key"), right).unwrap();
    assert!(receive(&desk, None) == content);
}

#[test]
fn a_missing_folder_is_said() {
    let desk = Desk::new();
    assert_says(&desk.run(&["list"]), 1, &["archive"]);
    let ended = end(&mut desk.nacre_at("no/such/folder", &["arch-init"]));
    assert_says(&ended, 1, &["no/such"]);
}

#[test]
fn a_folder_that_is_no_archive_is_said_and_left_alone() {
    let desk = desk_with_archive();
    let foreign = desk.path("store/foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter.txt"), "dear reader").unwrap();
    let ended = end(&mut desk.nacre_at("foreign", &["list"]));
    assert_says(&ended, 1, &["foreign"]);
    assert_eq!(objects(&foreign), [foreign.join("letter.txt")]);
}

#[test]
fn a_second_archive_is_not_made_over_the_first() {
    let (desk, content) = desk_with_session();
    assert_says(&desk.run(&["arch-init"]), 1, &["archive"]);
    assert!(receive(&desk, None) == content);
}

#[test]
fn names_that_exist_nowhere_are_errors() {
    let (desk, _) = desk_with_session();
    for command in ["receive", "verify", "list", "delete"] {
        let to = format!("--save-to={}", desk.path("x").display());
        let mut arguments = vec![command, "nobody"];
        match command {
            "receive" => arguments.push(&to),
            "delete" => arguments.push("--force"),
            _ => {}
        }
        assert_says(&desk.run(&arguments), 1, &["nobody"]);
    }
    // Without snapshots, nothing but an import says what to read.
    assert_says(&desk.run(&["send", "nobody"]), 2, &["--import-other-from"]);
}

#[test]
fn an_image_that_is_not_there_is_said_and_the_other_volume_is_sent() {
    let (desk, _) = desk_with_session();
    super::make_image(&desk, "other.img", 2);
    let there = desk.import("other", "other.img");
    let missing = desk.import("vol", "nowhere.img");
    let ended = desk.run(&["send", &missing, &there]);
    assert_says(&ended, 3, &["nowhere.img"]);
    desk.done(&["verify", "other"]);
}

#[test]
fn a_session_that_is_not_there_is_said() {
    let (desk, _) = desk_with_session();
    let to = format!("--save-to={}", desk.path("x").display());
    for session in ["20010101-000000", "^nosuchtag"] {
        let option = format!("--session={session}");
        assert_says(&desk.run(&["verify", "vol", &option]), 1, &["no session"]);
        let ended = desk.run(&["receive", "vol", &to, &option]);
        assert_says(&ended, 1, &["no session"]);
        assert!(!desk.path("x").exists());
    }
}

#[test]
fn a_passphrase_opens_its_archive_and_a_wrong_one_is_said() {
    let desk = Desk::new();
    let right = "--passcmd=printf correct-horse";
    desk.done_without_key(&["arch-init", right]);
    let content = super::make_image(&desk, "vol.img", 3);
    let import = desk.import("vol", "vol.img");
    desk.done_without_key(&["send", &import, right, "--authmin=0"]);
    let to = format!("--save-to={}", desk.path("out.img").display());
    desk.done_without_key(&["receive", "vol", &to, right, "--authmin=0"]);
    assert!(fs::read(desk.path("out.img")).unwrap() == content);

    let wrong = ["list", "--passcmd=printf wrong", "--authmin=0"];
    let ended = desk.run_without_key(&wrong);
    assert_says(&ended, 1, &["the passphrase does not open this archive"]);
    let failing = ["list", "--passcmd=false", "--authmin=0"];
    assert_says(&desk.run_without_key(&failing), 1, &["passcmd"]);
    // Nobody is there to be asked.
    assert_says(
        &desk.run_without_key(&["list", "--authmin=0"]),
        1,
        &["passphrase"],
    );
}

#[test]
fn an_import_that_is_not_among_the_names_is_left_out_with_a_word() {
    let (desk, _) = desk_with_session();
    super::make_image(&desk, "other.img", 2);
    let imports = [("vol", "vol.img"), ("other", "other.img")];
    let [vol, other] = imports.map(|(volume, image)| desk.import(volume, image));
    let ended = desk.run(&["send", "vol", &vol, &other]);
    assert_says(&ended, 0, &["Volume other is not sent"]);
    assert_says(&desk.run(&["list", "other"]), 1, &["other"]);
    // Who leaves it out on purpose knows.
    let ended = desk.run(&["send", "vol", &vol, &other, "--volex=other"]);
    assert!(!ended.err.contains("is not sent"), "{ended:?}");
    let ended = desk.run(&["send", &vol, &other]);
    assert!(!ended.err.contains("is not sent"), "{ended:?}");
    desk.done(&["list", "other"]);
}
