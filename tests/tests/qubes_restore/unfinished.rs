//! What only a backup has that was cut short: it is restored, and never told as if it were whole.

use std::path::PathBuf;

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
