//! Volumes of local storage and several targets: one point in time for all, and nothing lost where one was away.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use nacre_tests::mounts::{FileSystem, Mounted};
use nacre_tests::skip;
use serde_json::Value;

use crate::room::{Room, image};

/// What a send counted at each target.
fn sent(room: &Room, rest: &[&str], code: i32) -> Vec<Value> {
    let ended = room.run(&[&["send", "vm.img", "--json"], rest].concat());
    assert_eq!(ended.code, code, "{ended:?}");
    let lines = ended
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|event: &Value| event["event"] == "summary")
        .collect()
}

fn write(disk: &Mounted, at: u64, bytes: &[u8]) {
    let file = File::options()
        .write(true)
        .open(disk.path().join("vm.img"))
        .unwrap();
    file.write_all_at(bytes, at).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_target_that_was_away_gets_all_that_changed_since_and_only_that() {
    let test = "a_target_that_was_away_gets_all_that_changed_since_and_only_that";
    let disk = match Mounted::new(FileSystem::Xfs, 600) {
        Ok(disk) => disk,
        Err(why) => skip!(test, "{why}"),
    };
    let big: Vec<u8> = (1..=10).flat_map(image).collect();
    fs::write(disk.path().join("vm.img"), &big).unwrap();
    let local = format!("local = {}", disk.path().display());
    let room = Room::made(&format!("{local}\ndest =\n    one\n    two"));
    sent(&room, &[], 0);
    let away = room.desk.path("away");
    fs::rename(room.store("one"), &away).unwrap();
    // Two changes while `one` is away, and a look at what changed between and after them.
    write(&disk, 1_000_000, b"first change");
    let summaries = sent(&room, &[], 3);
    assert_eq!(summaries.len(), 1);
    room.done(&["monitor"]);
    write(&disk, 5_000_000, b"second change");
    room.done(&["monitor"]);
    // So much is known to be outstanding without asking anybody, and so much is when it is measured.
    let outstanding = |rest: &[&str]| {
        let volumes = room.status("volume", rest);
        let of = |target: &str| {
            volumes
                .iter()
                .find(|v| v["target"] == target)
                .unwrap()
                .clone()
        };
        (of("one"), of("two"))
    };
    let (one, two) = outstanding(&[]);
    assert_eq!(
        (&one["outstanding"], &two["outstanding"]),
        (&8192.into(), &4096.into())
    );
    write(&disk, 7_000_000, b"third change");
    let (one, two) = outstanding(&["--measure"]);
    assert_eq!(
        (&one["outstanding"], &two["outstanding"]),
        (&12288.into(), &8192.into())
    );
    assert_eq!(one["outstanding_exact"], true);
    fs::rename(&away, room.store("one")).unwrap();
    let summaries = sent(&room, &[], 0);
    let scanned = |at: usize| summaries[at]["counts"]["scanned"].as_u64().unwrap();
    // Three chunks of 128 KiB at the one, two at the other: nothing else was even looked at.
    assert_eq!((scanned(0), scanned(1)), (3 << 17, 2 << 17));
    let expected = fs::read(disk.path().join("vm.img")).unwrap();
    for target in ["one", "two"] {
        assert!(room.restored(target, "vm.img") == expected, "{target}");
    }
    // Nothing is held but one snapshot for each archive.
    let mut kept = 0;
    let mut folders = vec![disk.path().join(".nacre-snapshots")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                kept += 1;
            }
        }
    }
    assert_eq!(kept, 2);
}

#[test]
fn all_targets_get_the_same_point_in_time() {
    let test = "all_targets_get_the_same_point_in_time";
    let disk = match Mounted::new(FileSystem::Xfs, 600) {
        Ok(disk) => disk,
        Err(why) => skip!(test, "{why}"),
    };
    fs::write(disk.path().join("vm.img"), image(1)).unwrap();
    let local = format!("local = {}", disk.path().display());
    let room = Room::made(&format!("{local}\ndest =\n    one\n    two"));
    // The volume changes all the time; a passphrase command of the second target's would be a good moment.
    let path = disk.path().join("vm.img");
    let command = format!(
        "printf changed | dd of={} bs=1 seek=300000 conv=notrunc status=none; echo a rather long passphrase",
        path.display()
    );
    let ini = fs::read_to_string(room.desk.path("nacre.ini")).unwrap();
    let key = format!("key-file = {}\n", room.desk.path("key").display());
    // `two` is opened by a passphrase from now on, and what gives it writes to the volume.
    let changed = ini.replacen(&key, "", 1) + &format!("passcmd = {command}\n");
    fs::remove_dir_all(room.store("two")).unwrap();
    fs::remove_dir_all(room.desk.path("state")).unwrap();
    fs::write(room.desk.path("nacre.ini"), changed).unwrap();
    room.done(&["arch-init", "--dest=two"]);
    let before = fs::read(&path).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all_at(b"CHANGED", 300_000)
        .unwrap();
    let mut upper = before;
    upper[300_000..300_007].copy_from_slice(b"CHANGED");
    sent(&room, &["--authmin=0"], 0);
    // It did write, between the two.
    assert!(fs::read(&path).unwrap() != upper);
    for target in ["one", "two"] {
        assert!(room.restored(target, "vm.img") == upper, "{target}");
    }
}
