//! Block devices as source and goal, bad sectors, full disks. All of it needs root and loop devices.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nacre_tests::mounts::{FileSystem, Mounted};
use nacre_tests::skip;

use super::{CHUNK, assert_says, desk_with_archive, desk_with_session, make_image, objects};

/// A loop device over a file.
struct Loop(PathBuf);

impl Loop {
    fn over(file: &Path) -> Result<Self, String> {
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let name = String::from_utf8_lossy(&output.stdout);
        Ok(Self(PathBuf::from(name.trim())))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup")
            .arg("--detach")
            .arg(&self.0)
            .status();
    }
}

fn file_of(path: &Path, size: usize, byte: u8) {
    fs::write(path, vec![byte; size]).unwrap();
}

#[test]
fn a_block_device_goes_in_and_comes_back_on_another() {
    let desk = desk_with_archive();
    let mut content = make_image(&desk, "disk", 1);
    content.truncate(40 * CHUNK);
    fs::write(desk.path("disk"), &content).unwrap();
    file_of(&desk.path("goal"), content.len() + CHUNK, 0xee);
    file_of(&desk.path("small"), content.len() - CHUNK, 0xee);
    let loops = ["disk", "goal", "small"].map(|name| Loop::over(&desk.path(name)));
    let [Ok(disk), Ok(goal), Ok(small)] = &loops else {
        skip!(
            "a_block_device_goes_in_and_comes_back_on_another",
            "no loop devices (root is needed)"
        );
    };
    desk.done(&[
        "send",
        &format!("--import-other-from=vol:|:{}", disk.0.display()),
    ]);
    for option in ["--sparse", "--sparse-write", "--verbose"] {
        let to = format!("--save-to={}", goal.0.display());
        desk.done(&["receive", "vol", &to, "--force", option]);
        let restored = fs::read(&goal.0).unwrap();
        assert!(restored[..content.len()] == content, "{option}");
    }
    let to = format!("--save-to={}", small.0.display());
    assert_says(
        &desk.run(&["receive", "vol", &to, "--force"]),
        1,
        &["too small"],
    );
    assert!(fs::read(&small.0).unwrap().iter().all(|byte| *byte == 0xee));
}

#[test]
fn an_unreadable_sector_is_named_and_the_other_volume_is_sent() {
    let desk = desk_with_archive();
    let content = make_image(&desk, "other.img", 2);
    file_of(&desk.path("disk"), 40 * CHUNK, 7);
    let Ok(disk) = Loop::over(&desk.path("disk")) else {
        skip!(
            "an_unreadable_sector_is_named_and_the_other_volume_is_sent",
            "no loop devices (root is needed)"
        );
    };
    // The device keeps its size; what is not in the file any more cannot be read.
    let file = fs::File::options()
        .write(true)
        .open(desk.path("disk"))
        .unwrap();
    file.set_len((24 * CHUNK) as u64).unwrap();
    let bad = format!("--import-other-from=bad:|:{}", disk.0.display());
    let ended = desk.run(&["send", &bad, &desk.import("other", "other.img")]);
    assert_says(&ended, 3, &["bad", "at byte "]);
    let to = format!("--save-to={}", desk.path("out").display());
    desk.done(&["receive", "other", &to]);
    assert!(fs::read(desk.path("out")).unwrap() == content);
    assert!(desk.done(&["list", "bad"]).contains("unfinished"));
    assert!(!desk.done(&["list", "other"]).contains("unfinished"));
}

#[test]
fn a_full_disk_at_restore_is_said_and_leaves_nothing_behind() {
    let (desk, _) = desk_with_session();
    let Ok(mounted) = Mounted::new(FileSystem::Tmpfs, 1) else {
        skip!(
            "a_full_disk_at_restore_is_said_and_leaves_nothing_behind",
            "a tmpfs cannot be mounted (root is needed)"
        );
    };
    let goal = mounted.path().join("restored");
    let to = format!("--save-to={}", goal.display());
    assert_says(&desk.run(&["receive", "vol", &to]), 1, &["space"]);
    assert!(objects(&mounted.path()).is_empty());
}

#[test]
fn a_volume_above_the_largest_size_is_refused_and_the_other_is_sent() {
    let (desk, _) = desk_with_session();
    let Ok(mounted) = Mounted::new(FileSystem::Tmpfs, 1) else {
        skip!(
            "a_volume_above_the_largest_size_is_refused_and_the_other_is_sent",
            "a tmpfs cannot be mounted (root is needed)"
        );
    };
    // Few file systems have files of this size.
    let image = mounted.path().join("huge.img");
    let huge = fs::File::create(&image).unwrap();
    huge.set_len((1 << 50) + 1).unwrap();
    let import = format!("--import-other-from=huge:|:{}", image.display());
    make_image(&desk, "other.img", 2);
    let ended = desk.run(&["send", &import, &desk.import("other", "other.img")]);
    assert_says(&ended, 3, &["huge", "larger than 1 PiB"]);
    let ended = desk.run(&["send", &import]);
    assert_says(&ended, 1, &["huge", "larger than 1 PiB"]);
    desk.done(&["verify", "--all"]);
    desk.done(&["list", "other"]);
    assert!(desk.done(&["list", "huge"]).contains("no such session"));
    // One byte less is allowed, and its hole costs nothing.
    huge.set_len(1 << 50).unwrap();
    desk.done(&["send", &import]);
    desk.done(&["verify", "huge"]);
}
