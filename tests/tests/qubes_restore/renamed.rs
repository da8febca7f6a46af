//! Volumes that were renamed in the archive after the session that is restored: settings name them as they were called then.

use std::fs;

use nacre_tests::desk::Ended;
use nacre_tests::qubesd::Release::R43;
use nacre_tests::qubesd::World;

use super::machine::Machine;
use super::past::{Past, stored_as};

/// One session of two qubes.
fn past() -> Past {
    let mut world = World::new(R43);
    world.add("debian-13", "TemplateVM", None, "black");
    for qube in ["anon", "sys-tor"] {
        world.add(qube, "AppVM", Some("debian-13"), "red");
    }
    Past::of(world)
}

fn restored(past: &Past, arguments: &[&str]) -> (Machine, Ended) {
    let mut world = World::new(R43);
    world.add("debian-13", "TemplateVM", None, "black");
    let machine = Machine::new(world);
    let ended = machine.run(&past.desk, &[&["restore"], arguments].concat());
    (machine, ended)
}

fn rename(past: &Past, steps: &[[&str; 2]]) {
    for [old, new] in steps {
        past.desk.done(&["rename", old, new]);
    }
}

fn exchange(past: &Past) {
    let (anon, tor) = (
        stored_as("anon", "private"),
        stored_as("sys-tor", "private"),
    );
    rename(past, &[[&anon, "x"], [&tor, &anon], ["x", &tor]]);
}

/// A session of one volume, without settings.
fn send(past: &Past, volume: &str) {
    fs::write(past.desk.path("other"), [7; 9000]).unwrap();
    let import = past.desk.import(volume, "other");
    past.desk.done(&["send", "--send-unchanged", &import]);
}

#[test]
fn after_names_were_exchanged_each_qube_has_its_own_data() {
    let past = past();
    exchange(&past);
    for qubes in [["anon"].as_slice(), &["anon", "sys-tor"]] {
        let (machine, ended) = restored(&past, qubes);
        assert_eq!(ended.code, 0, "{ended:?}");
        for qube in qubes {
            assert!(machine.content(qube, "private") == past.content(qube, "private"));
        }
    }
    // A session after that has the names of today.
    past.store();
    let (machine, ended) = restored(&past, &["anon", "sys-tor"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for qube in ["anon", "sys-tor"] {
        assert!(machine.content(qube, "private") == past.content(qube, "private"));
    }
}

#[test]
fn the_content_of_a_renamed_volume_is_restored() {
    let past = past();
    let anon = stored_as("anon", "private");
    rename(&past, &[[&anon, "old"]]);
    // What has the name now is younger than the session.
    send(&past, &anon);
    let (machine, ended) = restored(&past, &["anon"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(machine.content("anon", "private") == past.content("anon", "private"));
    let (_, ended) = restored(&past, &["anon", "--dry-run", "-v"]);
    let line = "would import volume old of session";
    assert!(ended.err.contains(line), "{}", ended.err);
}

#[test]
fn a_volume_that_got_the_name_of_a_deleted_one_is_not_taken_for_it() {
    let past = past();
    let (anon, tor) = (
        stored_as("anon", "private"),
        stored_as("sys-tor", "private"),
    );
    past.desk.done(&["delete", &anon, "--force"]);
    rename(&past, &[[&tor, &anon]]);
    let (machine, ended) = restored(&past, &["anon", "sys-tor"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = "anon: volume private: the archive does not have its content; it begins empty";
    assert!(ended.err.contains(line), "{}", ended.err);
    assert!(machine.content("sys-tor", "private") == past.content("sys-tor", "private"));
    let world = machine.qubesd.world();
    assert!(world.qubes["anon"].volumes["private"].file.is_none());
}

#[test]
fn where_the_names_of_that_time_were_given_up_nothing_is_guessed() {
    let past = past();
    let session = past.desk.done(&["list", "qubes:settings", "--json"]);
    let session: serde_json::Value = serde_json::from_str(session.lines().next().unwrap()).unwrap();
    let session = session["session"].as_str().unwrap().to_owned();
    exchange(&past);
    let mut name = stored_as("sys-tor", "private");
    for number in 0..8 {
        send(&past, &name);
        let new = format!("name-{number}");
        rename(&past, &[[&name, &new]]);
        name = new;
    }
    let restored_anon = |arguments: &[&str]| {
        let (machine, ended) = restored(&past, &[arguments, &["--all", "--force"]].concat());
        assert_eq!(ended.code, 3, "{ended:?}");
        let line = format!(
            "anon: volume private: it was renamed in the archive since session {session}, and which one it was is not known any more; `nacre list` shows the volumes"
        );
        assert!(ended.err.contains(&line), "{}", ended.err);
        assert!(!ended.err.contains("empty"), "{}", ended.err);
        machine
    };
    restored_anon(&["--dry-run"]);
    let machine = restored_anon(&[]);
    assert!(machine.content("sys-tor", "private") == past.content("sys-tor", "private"));
    let world = machine.qubesd.world();
    assert!(world.qubes["anon"].volumes["private"].file.is_none());
    drop(world);
    let ended = machine.run(&past.desk, &["browse", "anon", "--dry-run"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("renamed in the archive"),
        "{}",
        ended.err
    );
}
