//! Targets by their names in the ini.

use std::fs;

use crate::room::{Room, image};

#[test]
fn a_name_stands_for_its_place_and_its_options() {
    let room = Room::made("");
    // Each has its own key, as the ini says.
    assert!(room.desk.path("key-of-one").is_file() && room.desk.path("key").is_file());
    assert_eq!(room.send_image(&["--dest=one"]).code, 0);
    assert!(room.done(&["list", "--dest=one"]).contains("vm"));
    assert!(room.restored("one", "vm") == image(1));
    assert!(!room.done(&["list", "--dest=two"]).contains("vm"));
    // What is typed comes before what the section says.
    let other = format!("--key-file={}", room.desk.path("key").display());
    let ended = room.run(&["list", "--dest=one", &other]);
    assert_eq!(ended.code, 1, "{ended:?}");
    // The place itself has no name, and no key of its own.
    let place = format!("--dest=file:{}", room.store("one").display());
    assert_eq!(room.run(&["list", &place]).code, 1);
}

#[test]
fn a_run_sends_to_each_target_and_one_that_fails_does_not_hold_up_the_other() {
    let room = Room::made("dest =\n    one\n    two");
    assert_eq!(room.send_image(&[]).code, 0);
    for target in ["one", "two"] {
        assert!(room.restored(target, "vm") == image(1), "{target}");
    }
    // The first is gone: the second gets its session all the same.
    let away = room.desk.path("away");
    fs::rename(room.store("one"), &away).unwrap();
    fs::write(room.desk.path("image"), image(2)).unwrap();
    let ended = room.send_image(&[]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.err.contains("error: one: no archive there"),
        "{ended:?}"
    );
    assert!(
        ended
            .err
            .contains("1 of 2 are done; not, or not wholly: one."),
        "{ended:?}"
    );
    assert!(room.restored("two", "vm") == image(2));
    let failed = room.status("target", &[]);
    assert_eq!(failed[0]["target"], "one");
    assert_eq!(failed[0]["failure"]["command"], "send");
    assert_eq!(failed[1]["failure"], serde_json::Value::Null);
    // It comes back: the same command catches up there, and has nothing to do at the other.
    fs::rename(&away, room.store("one")).unwrap();
    let ended = room.send_image(&["--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let summaries: Vec<serde_json::Value> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] == "summary")
        .collect();
    assert_eq!(
        (&summaries[0]["target"], &summaries[1]["target"]),
        (&"one".into(), &"two".into())
    );
    assert_eq!(summaries[0]["volumes"][0]["outcome"], "done");
    assert_eq!(summaries[1]["volumes"][0]["outcome"], "unchanged");
    assert!(room.restored("one", "vm") == image(2));
    assert_eq!(
        room.status("target", &[])[0]["failure"],
        serde_json::Value::Null
    );
    // Nobody there: then nothing was done.
    for target in ["one", "two"] {
        fs::rename(room.store(target), room.desk.path(target)).unwrap();
    }
    assert_eq!(room.send_image(&[]).code, 1);
}

#[test]
fn prune_goes_through_all_targets_and_other_commands_ask_for_one() {
    let room = Room::made("dest =\n    one\n    two");
    for seed in 1..=3 {
        fs::write(room.desk.path("image"), image(seed)).unwrap();
        assert_eq!(room.send_image(&[]).code, 0);
    }
    room.done(&["prune", "--all", "--keep-last=1"]);
    for target in ["one", "two"] {
        let sessions = room.done(&["list", "vm", "--json", &format!("--dest={target}")]);
        assert_eq!(sessions.lines().count(), 1, "{sessions}");
    }
    let ended = room.run(&["verify", "--all"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.err.contains("give --dest with one of one, two"),
        "{ended:?}"
    );
}
