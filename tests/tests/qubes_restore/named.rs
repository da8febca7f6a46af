//! A session that the user named: what it has comes from it.

use nacre_tests::qubesd::{Release, World};

use super::machine::{Machine, store};
use super::past::Past;

#[test]
fn what_a_named_session_has_comes_from_it_and_only_the_rest_from_older_ones() {
    let mut past = Past::new(Release::R43);
    let key = |volume: &str| ("build".to_owned(), volume.to_owned());
    let mut saved = vec![past.contents.clone()];
    for _ in 0..2 {
        for volume in ["root", "private"] {
            past.contents.get_mut(&key(volume)).unwrap()[10] += 1;
        }
        past.store();
        saved.push(past.contents.clone());
    }
    let listed = past.desk.done(&["list", "vm-build-private"]);
    let sessions = listed.lines().skip(1);
    let sessions: Vec<&str> = sessions.filter_map(|line| line.split(' ').next()).collect();
    let [first, second, _] = sessions[..] else {
        panic!("{listed}");
    };
    let session = format!("--session={second}");
    past.desk
        .done(&["prune", "vm-build-root", &session, "--force"]);

    let machine = Machine::new(World::new(Release::R43));
    let ended = machine.run(&past.desk, &["restore", "build", &session]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for (volume, number) in [("private", 1), ("root", 0)] {
        let wanted = &saved[number][&key(volume)];
        assert!(machine.content("build", volume) == *wanted, "{volume}");
    }
    let line = format!(
        "its root volume is of session {first}, the last finished one up to then that has it"
    );
    assert!(ended.err.contains(&line), "{}", ended.err);
    assert!(!ended.err.contains("its private volume"), "{}", ended.err);
}

#[test]
fn of_the_newest_session_without_one_of_its_volumes_a_qube_comes_whole_from_an_older_one() {
    let past = Past::new(Release::R43);
    let listed = past.desk.done(&["list", "vm-build-root"]);
    let older = listed
        .lines()
        .nth(1)
        .and_then(|line| line.split(' ').next());
    let older = older.unwrap();
    let mut files = past.files();
    files.retain(|(name, _)| name != "vm-build-root");
    store(&past.desk, &past.settings, &files);
    let machine = Machine::new(World::new(Release::R43));
    let ended = machine.run(&past.desk, &["restore", "build"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for volume in ["root", "private"] {
        let line = format!(
            "its {volume} volume is of session {older}, the last finished one up to then that has all its volumes"
        );
        assert!(ended.err.contains(&line), "{}", ended.err);
    }
}
