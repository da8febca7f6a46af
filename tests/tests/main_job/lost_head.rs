//! A power cut may lose the last head; it comes back only if nothing of its commit is missing, and no epoch is used twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use nacre_tests::desk::{Desk, copy_folder};

use super::{assert_says, desk_with_session, make_image, objects, receive, send};

/// The newest head of the archive.
fn newest_head(desk: &Desk) -> PathBuf {
    objects(&desk.path("store/archive/head")).pop().unwrap()
}

fn packs(desk: &Desk) -> BTreeSet<PathBuf> {
    objects(&desk.path("store/archive/pack"))
        .into_iter()
        .collect()
}

#[test]
fn the_last_head_comes_back_if_its_packs_are_there() {
    let (desk, _) = desk_with_session();
    let second = make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    let head = newest_head(&desk);
    fs::remove_file(&head).unwrap();
    assert!(receive(&desk, None) == second);
    assert_eq!(newest_head(&desk), head);
}

#[test]
fn the_last_head_does_not_come_back_without_each_of_its_packs() {
    let (desk, first) = desk_with_session();
    let before = packs(&desk);
    make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    let head = newest_head(&desk);
    let new: Vec<PathBuf> = packs(&desk).difference(&before).cloned().collect();
    assert_eq!(new.len(), 2, "a data pack and an index pack: {new:?}");
    fs::remove_file(&head).unwrap();
    for pack in &new {
        let away = desk.path("away");
        fs::rename(pack, &away).unwrap();
        assert_says(&desk.run(&["list"]), 5, &["--force-allow-rollback"]);
        assert!(!head.exists(), "{}", pack.display());
        fs::rename(&away, pack).unwrap();
    }
    for pack in &new {
        fs::remove_file(pack).unwrap();
    }
    desk.done(&["list", "--force-allow-rollback"]);
    assert!(receive(&desk, None) == first);
}

#[test]
fn an_epoch_that_was_lost_is_not_used_again() {
    let (desk, _) = desk_with_session();
    copy_folder(&desk.path("store"), &desk.path("old"));
    make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    let lost = newest_head(&desk);
    fs::remove_dir_all(desk.path("store")).unwrap();
    fs::rename(desk.path("old"), desk.path("store")).unwrap();
    desk.done(&["list", "--force-allow-rollback"]);
    desk.done(&["list"]);
    let third = make_image(&desk, "vol.img", 3);
    send(&desk, "three");
    assert!(newest_head(&desk) > lost);
    assert!(receive(&desk, None) == third);
}

/// Another machine wrote it, and this one has not seen it: it cannot know what that head said, but that there was one.
#[test]
fn a_newest_head_that_cannot_be_read_is_told_and_nothing_is_built_on_the_one_before_it() {
    let (desk, first) = desk_with_session();
    let second = make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    let head = newest_head(&desk);
    let mut bytes = fs::read(&head).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&head).unwrap();
    fs::write(&head, &bytes).unwrap();
    let before = packs(&desk);
    fs::rename(desk.path("state"), desk.path("wrote-it")).unwrap();

    let told = ["the newest state of the archive cannot be read (head/"];
    assert_says(&desk.run(&["list"]), 0, &told);
    assert!(receive(&desk, None) == first);
    assert_says(&desk.run(&["arch-check"]), 4, &told);
    let import = desk.import("vol", "vol.img");
    for refused in [
        &["send", &import][..],
        &["arch-check", "--clean"],
        &["rename", "vol", "v"],
    ] {
        assert_says(&desk.run(refused), 5, &["--force-allow-rollback", told[0]]);
    }
    assert!(
        packs(&desk) == before,
        "nothing of the newer state is taken for a leftover"
    );

    // Who wrote it knows what it said.
    fs::rename(desk.path("state"), desk.path("another")).unwrap();
    fs::rename(desk.path("wrote-it"), desk.path("state")).unwrap();
    assert!(receive(&desk, None) == second);
    desk.done(&["arch-check", "--repair"]);
    fs::rename(desk.path("state"), desk.path("wrote-it")).unwrap();
    fs::rename(desk.path("another"), desk.path("state")).unwrap();
    let list = desk.run(&["list"]);
    assert!(
        list.code == 0 && !list.err.contains("cannot be read"),
        "{list:?}"
    );
    assert!(receive(&desk, None) == second);
}

#[test]
fn who_has_no_better_copy_goes_on_from_the_state_before_one_that_cannot_be_read() {
    let (desk, _) = desk_with_session();
    make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    let lost = newest_head(&desk);
    fs::write(&lost, [7; 3000]).unwrap();
    fs::remove_dir_all(desk.path("state")).unwrap();
    let third = make_image(&desk, "vol.img", 3);
    let import = desk.import("vol", "vol.img");
    assert_eq!(desk.run(&["send", &import]).code, 5);
    desk.done(&["send", &import, "--force-allow-rollback"]);
    assert!(newest_head(&desk) > lost);
    let list = desk.run(&["list"]);
    assert!(
        list.code == 0 && !list.err.contains("cannot be read"),
        "{list:?}"
    );
    assert!(receive(&desk, None) == third);
}

/// A folder that was begun and not made is no archive, and none can be made there: both say so, and what to do.
#[test]
fn what_an_arch_init_left_that_was_cut_short_is_told() {
    let (desk, _) = desk_with_session();
    fs::remove_dir_all(desk.path("state")).unwrap();
    for part in ["head", "pack"] {
        for object in objects(&desk.path("store/archive").join(part)) {
            fs::remove_file(object).unwrap();
        }
    }
    for command in ["list", "arch-init"] {
        let ended = desk.run(&[command]);
        assert_says(&ended, 1, &["was cut short", "Remove the folder `header`"]);
    }
    fs::remove_dir_all(desk.path("store/archive/header")).unwrap();
    fs::remove_file(desk.path("key")).unwrap();
    desk.done(&["arch-init"]);
}
