//! What only a backup has that was cut short: it is restored, and never told as if it were whole.

use std::path::PathBuf;
use std::process::Command;

use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::lab_image::Random;
use nacre_tests::qubesd::{Release, World};

use super::machine::{Machine, sending};
use super::past::{Past, stored_as, world};

/// So much is sent in eight seconds, with the limit below.
const SIZE: usize = 64 << 20;
/// What `receive` and `verify` say too.
const WORDS: &str = "is unfinished: it holds what was sent before the run was cut short, and older content behind that, zeros where there was none";

/// Before the first backup, with a large volume that will come last.
fn unsaved() -> Past {
    let mut past = Past::unsaved(world(Release::R43));
    let mut content = vec![0; SIZE];
    Random::new(11, "work").fill(&mut content);
    let key = ("work".to_owned(), "private".to_owned());
    past.contents.insert(key, content);
    past
}

/// A backup that is interrupted in the middle of that volume. The name of its session.
fn back_up_in_part(past: &Past) -> String {
    interrupt(past, &past.files())
}

/// Sends the settings and these, until much of them is stored.
fn interrupt(past: &Past, files: &[(String, PathBuf)]) -> String {
    let mut arguments = sending(&past.desk, &past.settings, files);
    arguments.push("--limit=8M".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = past.desk.nacre(&arguments);
    let stopped = past.desk.interrupted(&mut command, 12 << 20);
    assert_eq!(stopped.code, 130, "{stopped:?}");
    let (_, name) = stopped.err.split_once("unfinished session ").unwrap();
    name.split(';').next().unwrap().to_owned()
}

/// A system with the template of `work`.
fn with_template() -> World {
    let mut world = World::new(Release::R43);
    world.add("debian-13", "TemplateVM", None, "black");
    world
}

/// Whether it is the beginning of the other, and zeros.
fn is_begun(content: &[u8], whole: &[u8]) -> bool {
    let front = content.iter().zip(whole).take_while(|(a, b)| a == b);
    let front = front.count();
    content.len() == whole.len()
        && (4 << 20..SIZE).contains(&front)
        && content[front..].iter().all(|byte| *byte == 0)
}

#[test]
fn a_qube_that_only_an_unfinished_session_has_is_restored_and_told_as_cut_short() {
    let past = unsaved();
    let session = back_up_in_part(&past);
    let machine = Machine::new(World::new(Release::R43));
    let line = format!("work: volume private: session {session} {WORDS}.");
    let plan = machine.run(&past.desk, &["restore", "--all", "--dry-run"]);
    assert_eq!(plan.code, 3, "{plan:?}");
    assert!(plan.err.contains(&line), "{}", plan.err);
    let ended = machine.run(&past.desk, &["restore", "--all"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    // Before anything is written, and at the end.
    assert_eq!(ended.err.matches(&line).count(), 2, "{}", ended.err);
    assert!(!ended.err.contains("work is restored\n"), "{}", ended.err);
    let content = machine.content("work", "private");
    assert!(is_begun(&content, past.content("work", "private")));
    // It was sent whole before that, but nothing in the archive says so.
    assert!(machine.content("vault", "private") == past.content("vault", "private"));
}

#[test]
fn browse_verify_and_receive_warn_of_an_unfinished_session() {
    let past = unsaved();
    let session = back_up_in_part(&past);
    let machine = Machine::new(with_template());
    let ended = machine.run(&past.desk, &["browse", "work", "--dry-run"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let line = format!("volume vm-work-private: session {session} {WORDS}");
    assert!(ended.err.contains(&line), "{}", ended.err);
    for command in [
        &["verify", "vm-work-private"][..],
        &["receive", "vm-work-private", "--save-to=new", "--dry-run"],
    ] {
        let ended = past.desk.run(command);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.err.contains(&line), "{}", ended.err);
    }
}

#[test]
fn a_finished_session_of_a_volume_goes_before_an_unfinished_one_that_was_not_asked_for() {
    let past = unsaved();
    let name = stored_as("work", "private");
    let older = past.content("vault", "private").to_vec();
    std::fs::write(past.desk.path("older"), &older).unwrap();
    past.desk.done(&["send", &past.desk.import(&name, "older")]);
    let session = back_up_in_part(&past);
    let machine = Machine::new(with_template());
    let ended = machine.run(&past.desk, &["restore", "work"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(!ended.err.contains("work: volume private"), "{}", ended.err);
    let said = "the last finished one up to then that has it";
    assert!(ended.err.contains(said), "{}", ended.err);
    assert!(machine.content("work", "private") == older);

    let named = format!("--session={session}");
    let ended = machine.run(&past.desk, &["restore", "work", &named, "--force"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = format!("work: volume private: session {session} {WORDS}.");
    assert!(ended.err.contains(&line), "{}", ended.err);
    assert!(is_begun(
        &machine.content("work", "private"),
        past.content("work", "private")
    ));
}

#[test]
fn what_the_first_of_two_interrupted_backups_has_is_restored_too() {
    let past = unsaved();
    let first = back_up_in_part(&past);
    let other = past.desk.path(&stored_as("work", "private"));
    let second = interrupt(&past, &[("vm-other-private".to_owned(), other)]);
    let machine = Machine::new(with_template());
    let ended = machine.run(&past.desk, &["restore", "vault"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = format!("vault: volume private: session {first} {WORDS}.");
    assert!(ended.err.contains(&line), "{second}: {}", ended.err);
    assert!(ended.out.contains(&second), "its settings: {}", ended.out);
    assert!(machine.content("vault", "private") == past.content("vault", "private"));
}

/// The files of dom0 as a backup stores them, each of 8 MiB and full of its own letter, as many as `SIZE` has room for.
fn dom0s_files(desk: &Desk, letters: &str) {
    let folder = desk.path("dom0");
    std::fs::create_dir_all(&folder).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--create", "--format=ustar", "--blocking-factor=1", "-C"]);
    tar.arg(&folder).arg("-f").arg(desk.path("dom0.tar"));
    for (number, letter) in letters.bytes().enumerate() {
        let mut content = vec![0; 8 << 20];
        Random::new(u64::from(letter), "dom0").fill(&mut content);
        std::fs::write(folder.join(number.to_string()), content).unwrap();
        tar.arg(number.to_string());
    }
    let ended = end(&mut tar);
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// `restore dom0` with what only a session that was cut short has, behind those of earlier ones.
fn restored_dom0(earlier: bool) -> (Ended, Desk, String) {
    let past = Past::unsaved(world(Release::R43));
    if earlier {
        dom0s_files(&past.desk, "abcdefgh");
        let import = past.desk.import("qubes:dom0", "dom0.tar");
        past.desk.done(&["send", &import]);
    }
    dom0s_files(&past.desk, "ABCDEFGH");
    let files = [("qubes:dom0".to_owned(), past.desk.path("dom0.tar"))];
    let session = interrupt(&past, &files);
    let to = format!("--save-to={}", past.desk.path("back").display());
    let named = format!("--session={session}");
    let ended = past.desk.run(&["restore", "dom0", &to, &named]);
    (ended, past.desk, session)
}

#[test]
fn dom0s_files_of_an_unfinished_session_may_be_mixed_and_are_never_told_as_whole() {
    let (ended, desk, session) = restored_dom0(true);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = format!("session {session} {WORDS}; so a file may be a mixture of two backups");
    assert!(ended.err.contains(&line), "{}", ended.err);
    let first = std::fs::read(desk.path("back/0")).unwrap();
    assert!(first == std::fs::read(desk.path("dom0/0")).unwrap());
    let last = std::fs::read(desk.path("back/7")).unwrap();
    assert!(last != std::fs::read(desk.path("dom0/7")).unwrap());
}

#[test]
fn where_an_unfinished_session_has_no_more_of_dom0s_files_its_end_is_told_and_no_damage() {
    let (ended, desk, session) = restored_dom0(false);
    assert_eq!(ended.code, 1, "{ended:?}");
    let said = format!("session {session} was cut short in the files of dom0: from byte ");
    assert!(ended.err.contains(&said), "{}", ended.err);
    assert!(
        !ended.err.contains("is not as nacre writes it"),
        "{}",
        ended.err
    );
    assert!(!desk.path("back").exists());
    assert!(desk.path("back.unfinished/0").exists());
}
