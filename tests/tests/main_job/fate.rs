//! Full disks and killed processes: what was committed stays, and the next run goes on.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use nacre_tests::desk::Desk;
use nacre_tests::skip;

use super::{assert_says, desk_with_session, make_image, receive, send};

#[test]
fn a_send_that_was_killed_harms_nothing_and_the_next_one_succeeds() {
    let (desk, first) = desk_with_session();
    for (round, wait) in [0, 5, 20, 40, 80, 160].into_iter().enumerate() {
        let content = make_image(&desk, "vol.img", 100 + round as u64);
        let mut child = desk
            .nacre(&["send", &desk.import("vol", "vol.img")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(receive(&desk, Some("one")) == first, "after {wait} ms");
        desk.done(&["send", &desk.import("vol", "vol.img")]);
        assert!(receive(&desk, None) == content, "after {wait} ms");
    }
    desk.done(&["verify", "--all"]);
}

#[test]
fn a_full_disk_is_said_and_nothing_committed_is_lost() {
    let (desk, content) = desk_with_session();
    let Some(_mounted) = small_file_system(&desk) else {
        skip!(
            "a_full_disk_is_said_and_nothing_committed_is_lost",
            "a tmpfs cannot be mounted here (root is needed)"
        );
    };
    make_image(&desk, "vol.img", 9);
    let ended = desk.run(&["send", &desk.import("vol", "vol.img")]);
    assert_says(&ended, 1, &["space"]);
    assert!(receive(&desk, Some("one")) == content);
    desk.done(&["verify", "--all"]);
}

/// Moves the store to a file system with room for little more.
fn small_file_system(desk: &Desk) -> Option<Mounted> {
    let store = desk.path("store");
    let used = super::store_bytes(desk);
    fs::rename(&store, desk.path("aside")).unwrap();
    fs::create_dir(&store).unwrap();
    let size = format!("size={}k", used / 1024 + 700);
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
        .arg(&store)
        .stderr(Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return None;
    }
    nacre_tests::desk::copy_folder(&desk.path("aside"), &store);
    Some(Mounted(store))
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn two_sends_at_once_do_not_disturb_each_other() {
    let (desk, _) = desk_with_session();
    make_image(&desk, "vol.img", 5);
    make_image(&desk, "other.img", 6);
    let start = |volume: &str, image: &str| {
        desk.nacre(&["send", &desk.import(volume, image)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (mut one, mut other) = (start("vol", "vol.img"), start("other", "other.img"));
    let codes = [one.wait().unwrap().code(), other.wait().unwrap().code()];
    assert!(codes.contains(&Some(0)), "one of them is done: {codes:?}");
    assert!(
        codes.iter().all(|code| matches!(code, Some(0 | 1))),
        "{codes:?}"
    );
    send(&desk, "after");
    desk.done(&["verify", "--all"]);
}
