//! A store cannot pass off an old state, or another archive, as this one.

use std::fs;

use super::{assert_says, copy_folder, desk_with_session, make_image, receive, send};

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
fn another_archive_at_the_same_place_is_refused() {
    let (desk, _) = desk_with_session();
    let ended = nacre_tests::desk::end(&mut desk.nacre_at("other", &["arch-init"]));
    assert_eq!(ended.code, 0, "{ended:?}");
    fs::rename(desk.path("store/archive"), desk.path("store/away")).unwrap();
    fs::rename(desk.path("store/other"), desk.path("store/archive")).unwrap();
    let ended = desk.run(&["list"]);
    assert!(matches!(ended.code, 1 | 5), "{ended:?}");
}

#[test]
fn an_archive_moved_to_a_machine_that_never_saw_it_opens() {
    let (desk, content) = desk_with_session();
    fs::remove_dir_all(desk.path("state")).unwrap();
    assert!(receive(&desk, None) == content);
}
