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
