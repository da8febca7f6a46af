//! A store cannot pass off an old state, or another archive, as this one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nacre_tests::desk::{Desk, copy_folder};

use super::{assert_says, desk_with_session, make_image, objects, receive, send};

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

#[test]
fn another_archive_at_the_same_place_is_refused_until_the_old_one_is_forgotten() {
    let (desk, _) = desk_with_session();
    let ended = nacre_tests::desk::end(&mut desk.nacre_at("other", &["arch-init"]));
    assert_eq!(ended.code, 0, "{ended:?}");
    fs::rename(desk.path("store/archive"), desk.path("store/away")).unwrap();
    fs::rename(desk.path("store/other"), desk.path("store/archive")).unwrap();
    for option in ["--verbose", "--force-allow-rollback"] {
        let ended = desk.run(&["list", option]);
        assert_says(&ended, 5, &["not the archive", "`nacre delete --forget`"]);
    }
    let state = everything(&desk.path("state"));
    let store = everything(&desk.path("store"));
    let asked = desk.run(&["delete", "--forget"]);
    assert_says(&asked, 2, &["--force"]);
    let dry = desk.run(&["delete", "--forget", "--dry-run"]);
    assert_says(
        &dry,
        0,
        &["seen epoch 2", "cannot tell any more", "would forget"],
    );
    assert_eq!(everything(&desk.path("state")), state);
    desk.done(&["delete", "--forget", "--force"]);
    assert!(desk.done(&["list"]).lines().count() < 2);
    // What is forgotten is not damaged, nor even looked at.
    assert_eq!(everything(&desk.path("store")), store);
}

/// All files below a folder but locks, with what is in them.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = objects(folder).into_iter();
    files
        .filter(|path| !path.ends_with("lock"))
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

#[test]
fn a_forgotten_archive_is_new_to_this_machine_and_to_the_heads_of_others() {
    let (desk, content) = desk_with_session();
    let other = |arguments: &[&str]| {
        let ended = nacre_tests::desk::end(&mut desk.nacre_at("other", arguments));
        assert_eq!(ended.code, 0, "{ended:?}");
        ended
    };
    other(&["arch-init"]);
    let unknown =
        nacre_tests::desk::end(&mut desk.nacre_at("nowhere", &["delete", "--forget", "--force"]));
    assert_says(&unknown, 1, &["remembers no archive at file:"]);
    let folders = || {
        let names = fs::read_dir(desk.path("state")).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        names.map(name).filter(|name| name.len() == 32).count()
    };
    assert_eq!(folders(), 2);
    let done = desk.run(&["delete", "--forget", "--force"]);
    assert_says(&done, 0, &["cannot tell any more", "forgotten"]);
    assert_eq!(folders(), 1);
    // The head of the other one bears witness of it; that is not heard, and the next head says no more of it.
    other(&["add", "one"]);
    other(&["add", "two"]);
    assert_eq!(folders(), 1);
    let first = desk.run(&["list"]);
    assert_says(&first, 0, &["has not seen this archive before"]);
    assert!(receive(&desk, None) == content);
    assert_eq!(folders(), 2);
    desk.done(&["add", "three"]);
    other(&["list"]);
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

/// The whole state of dom0 and of the store, as it can be put back later.
fn keep(desk: &Desk, folder: &str, name: &str) {
    copy_folder(&desk.path(folder), &desk.path(name));
}

fn put_back(desk: &Desk, folder: &str, name: &str) {
    fs::remove_dir_all(desk.path(folder)).unwrap();
    copy_folder(&desk.path(name), &desk.path(folder));
    // Folders of dom0's memory are private.
    private(&desk.path(folder));
}

fn private(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            private(&path);
        }
    }
}

#[test]
fn a_fork_of_the_store_is_refused() {
    let (desk, _) = desk_with_session();
    keep(&desk, "store", "twin");
    make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    keep(&desk, "state", "known");
    keep(&desk, "store", "mine");
    // Another machine goes on from the older copy, further than this one did.
    put_back(&desk, "store", "twin");
    fs::remove_dir_all(desk.path("state")).unwrap();
    for (seed, tag) in [(3, "three"), (4, "four")] {
        make_image(&desk, "vol.img", seed);
        send(&desk, tag);
    }
    put_back(&desk, "state", "known");
    let import = desk.import("vol", "vol.img");
    for command in [&["list"][..], &["verify", "vol"], &["send", &import]] {
        let words = ["does not descend", "--force-allow-rollback"];
        assert_says(&desk.run(command), 5, &words);
    }
    desk.done(&["list", "--force-allow-rollback"]);
    desk.done(&["verify", "vol"]);
    // Having chosen this one, the machine refuses the other.
    put_back(&desk, "store", "mine");
    assert_says(&desk.run(&["list"]), 5, &["--force-allow-rollback"]);
}

#[test]
fn a_copied_archive_gets_an_identity_of_its_own() {
    let (desk, first) = desk_with_session();
    copy_folder(&desk.path("store/archive"), &desk.path("store/copy"));
    make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    // The copy is older than what this machine remembers of the archive.
    let at_copy =
        |arguments: &[&str]| nacre_tests::desk::end(&mut desk.nacre_at("copy", arguments));
    assert_says(&at_copy(&["list"]), 5, &["--force-allow-rollback"]);
    let plan = at_copy(&["key", "change-uuid", "--force-allow-rollback", "--dry-run"]);
    assert_eq!(plan.code, 0, "{plan:?}");
    assert_says(&at_copy(&["list"]), 5, &["--force-allow-rollback"]);
    let ended = at_copy(&["key", "change-uuid", "--force-allow-rollback"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    // Both go on, each on its own, and neither disturbs the other.
    let goal = desk.path("copied.img");
    let to = format!("--save-to={}", goal.display());
    assert_eq!(at_copy(&["receive", "vol", &to]).code, 0);
    assert!(fs::read(&goal).unwrap() == first);
    let third = make_image(&desk, "vol.img", 3);
    let import = desk.import("vol", "vol.img");
    assert_eq!(at_copy(&["send", &import]).code, 0);
    send(&desk, "three");
    assert!(receive(&desk, None) == third);
    assert_eq!(at_copy(&["verify", "vol"]).code, 0);
}

#[test]
fn an_old_header_played_back_is_refused() {
    let (desk, _) = desk_with_session();
    let second = format!("--new-key-file={}", desk.path("second").display());
    desk.done(&["key", "add", &second]);
    copy_folder(&desk.path("store/archive/header"), &desk.path("old-header"));
    desk.done(&["key", "remove", "2", "--force"]);
    fs::remove_dir_all(desk.path("store/archive/header")).unwrap();
    copy_folder(&desk.path("old-header"), &desk.path("store/archive/header"));
    fs::rename(desk.path("key"), desk.path("first")).unwrap();
    fs::rename(desk.path("second"), desk.path("key")).unwrap();
    let words = ["old header", "--force-allow-rollback"];
    assert_says(&desk.run(&["list"]), 5, &words);
    // A machine that never saw the archive sees it by the head.
    keep(&desk, "state", "known");
    fs::remove_dir_all(desk.path("state")).unwrap();
    assert_says(&desk.run(&["list"]), 5, &words);
    put_back(&desk, "state", "known");
    desk.done(&["list", "--force-allow-rollback"]);
}

#[test]
fn another_archive_bears_witness_when_this_machine_has_forgotten() {
    let (desk, _) = desk_with_session();
    let at = |archive: &str, arguments: &[&str]| {
        nacre_tests::desk::end(&mut desk.nacre_at(archive, arguments))
    };
    assert_eq!(at("other", &["arch-init"]).code, 0);
    copy_folder(&desk.path("store/archive"), &desk.path("old"));
    let image = make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    // The other archive's next head says what this machine saw of the first.
    assert_eq!(at("other", &["add", "x"]).code, 0);
    fs::rename(desk.path("store/archive"), desk.path("new")).unwrap();
    copy_folder(&desk.path("old"), &desk.path("store/archive"));
    fs::remove_dir_all(desk.path("state")).unwrap();

    // Without the witness nothing can be noticed, and that is said.
    let blind = at("archive", &["list"]);
    assert_eq!(blind.code, 0, "{blind:?}");
    let said = format!("{}{}", blind.out, blind.err);
    assert!(said.contains("has not seen this archive before"), "{said}");
    // The witness is heard when the other archive is opened, and then the rollback shows.
    assert_eq!(at("other", &["list"]).code, 0);
    let words = ["another archive has seen", "--force-allow-rollback"];
    assert_says(&at("archive", &["list"]), 5, &words);
    assert_says(&at("archive", &["verify", "vol"]), 5, &words);
    // The newer one is taken without a word.
    fs::rename(desk.path("store/archive"), desk.path("away")).unwrap();
    fs::rename(desk.path("new"), desk.path("store/archive")).unwrap();
    assert_eq!(at("archive", &["list"]).code, 0);
    assert!(receive(&desk, None) == image);
}

#[test]
fn a_rollback_that_was_accepted_is_not_told_of_again_and_again() {
    let (desk, first) = desk_with_session();
    let at = |archive: &str, arguments: &[&str]| {
        nacre_tests::desk::end(&mut desk.nacre_at(archive, arguments))
    };
    assert_eq!(at("other", &["arch-init"]).code, 0);
    copy_folder(&desk.path("store/archive"), &desk.path("old"));
    make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    assert_eq!(at("other", &["add", "x"]).code, 0);
    fs::remove_dir_all(desk.path("store/archive")).unwrap();
    fs::rename(desk.path("old"), desk.path("store/archive")).unwrap();
    fs::remove_dir_all(desk.path("state")).unwrap();
    assert_eq!(at("other", &["list"]).code, 0);
    assert_says(&at("archive", &["list"]), 5, &["--force-allow-rollback"]);
    assert_eq!(at("archive", &["list", "--force-allow-rollback"]).code, 0);
    for _ in 0..2 {
        assert_eq!(at("other", &["list"]).code, 0);
        assert_eq!(at("archive", &["list"]).code, 0);
    }
    assert!(receive(&desk, None) == first);
    let third = make_image(&desk, "vol.img", 3);
    send(&desk, "three");
    assert_eq!(at("other", &["add", "y"]).code, 0);
    assert!(receive(&desk, None) == third);
}
