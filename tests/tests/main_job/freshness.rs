//! A store cannot pass off an old state, or another archive, as this one.

use std::fs;

use nacre_tests::desk::Desk;

use super::{assert_says, copy_folder, desk_with_session, make_image, objects, receive, send};

#[test]
fn a_store_that_went_back_in_time_is_refused() {
    let (desk, first) = desk_with_session();
    copy_folder(&desk.path("store"), &desk.path("old"));
    make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    fs::remove_dir_all(desk.path("store")).unwrap();
    fs::rename(desk.path("old"), desk.path("store")).unwrap();

    for command in [
        &["list"][..],
        &["verify", "vol"],
        &["send", &desk.import("vol", "vol.img")],
    ] {
        assert_says(&desk.run(command), 5, &["--force-allow-rollback"]);
    }
    desk.done(&["list", "--force-allow-rollback"]);
    // From then on the older state is what this machine remembers.
    assert!(receive(&desk, None) == first);
}

/// Removes what the remedy in an error message names, as a user would.
fn forget(message: &str) {
    let (_, rest) = message.split_once("remove ").unwrap();
    let (named, _) = rest.split_once(" to make").unwrap();
    let mut named = named.split(" and the folder ");
    fs::remove_file(named.next().unwrap()).unwrap();
    if let Some(folder) = named.next() {
        let _ = fs::remove_dir_all(folder);
    }
}

#[test]
fn another_archive_at_the_same_place_is_refused_until_the_old_one_is_forgotten() {
    let (desk, _) = desk_with_session();
    let ended = nacre_tests::desk::end(&mut desk.nacre_at("other", &["arch-init"]));
    assert_eq!(ended.code, 0, "{ended:?}");
    fs::rename(desk.path("store/archive"), desk.path("store/away")).unwrap();
    fs::rename(desk.path("store/other"), desk.path("store/archive")).unwrap();
    for option in ["--verbose", "--force-allow-rollback"] {
        let ended = desk.run(&["list", option]);
        assert_says(&ended, 5, &["not the archive", "state/targets/"]);
    }
    forget(&desk.run(&["list"]).err);
    desk.done(&["list"]);
}

#[test]
fn an_archive_that_lost_its_encryption_is_refused_whatever_is_forced() {
    let (desk, _) = desk_with_session();
    fs::rename(desk.path("store/archive"), desk.path("store/away")).unwrap();
    fs::rename(desk.path("state"), desk.path("known")).unwrap();
    desk.done_without_key(&["arch-init", "--encrypt=off"]);
    let (old, new) = (pinned(&desk, "known"), pinned(&desk, "state"));
    fs::remove_dir_all(desk.path("state")).unwrap();
    fs::rename(desk.path("known"), desk.path("state")).unwrap();
    assert_says(
        &desk.run(&["list", "--force-allow-rollback"]),
        5,
        &["identity"],
    );
    // The store makes it claim the identity of the old one.
    for header in objects(&desk.path("store/archive/header")) {
        let mut bytes = fs::read(&header).unwrap();
        let at = bytes.windows(16).position(|window| window == new).unwrap();
        bytes[at..at + 16].copy_from_slice(&old);
        fs::write(&header, bytes).unwrap();
    }
    for option in ["--verbose", "--force-allow-rollback"] {
        assert_says(&desk.run(&["list", option]), 5, &["not encrypted"]);
    }
    // The target's memory alone is not all that stands in the way.
    fs::remove_dir_all(desk.path("state/targets")).unwrap();
    assert_says(
        &desk.run(&["list", "--force-allow-rollback"]),
        5,
        &["not encrypted"],
    );
}

/// The identity of the archive that is remembered for the desk's target.
fn pinned(desk: &Desk, state: &str) -> [u8; 16] {
    let pins = objects(&desk.path(state).join("targets"));
    let lines = pins.iter().map(|path| fs::read_to_string(path).unwrap());
    let line = lines.into_iter().find(|line| !line.is_empty()).unwrap();
    let byte = |at: usize| u8::from_str_radix(&line[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}

#[test]
fn an_archive_moved_to_a_machine_that_never_saw_it_opens() {
    let (desk, content) = desk_with_session();
    fs::remove_dir_all(desk.path("state")).unwrap();
    assert!(receive(&desk, None) == content);
}
