//! `prune` through the program: what it says, what it leaves, what becomes free.

use std::fs;

use nacre_tests::desk::Desk;

use super::{desk_with_archive, make_image};

/// A desk with a volume `v` of three sessions that have nothing in common.
fn three_sessions() -> Desk {
    let desk = desk_with_archive();
    for round in 0..3 {
        make_image(&desk, "image", round);
        desk.done(&["send", &desk.import("v", "image")]);
    }
    desk
}

fn stored(desk: &Desk) -> u64 {
    fn size(folder: &std::path::Path) -> u64 {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| {
                if entry.file_type().unwrap().is_dir() {
                    size(&entry.path())
                } else {
                    entry.metadata().unwrap().len()
                }
            })
            .sum()
    }
    size(&desk.path("store"))
}

#[test]
fn prune_says_what_goes_and_why_and_frees_it() {
    let desk = three_sessions();
    let before = stored(&desk);
    let dry = desk.run(&["prune", "v", "--keep-last=1", "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!(
        dry.out.lines().filter(|line| line.contains("goes")).count(),
        2,
        "{dry:?}"
    );
    assert!(dry.err.contains("would forget 2 sessions"), "{dry:?}");
    assert_eq!(stored(&desk), before);
    let done = desk.run(&["prune", "v", "--keep-last=1"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("no rule wants it"), "{done:?}");
    assert!(done.out.contains("the volume's last"), "{done:?}");
    assert!(done.err.contains("given back"), "{done:?}");
    assert!(
        stored(&desk) < before / 2,
        "{before} before, {} after",
        stored(&desk)
    );
    assert_eq!(desk.done(&["list", "v"]).lines().count(), 2);
    desk.done(&["verify", "v"]);
    desk.done(&[
        "receive",
        "v",
        &format!("--save-to={}", desk.path("back").display()),
    ]);
    assert!(fs::read(desk.path("back")).unwrap() == fs::read(desk.path("image")).unwrap());
}

#[test]
fn sessions_are_named_by_range_and_the_last_one_stays_whatever_is_asked() {
    let desk = three_sessions();
    let list = desk.done(&["list", "v"]);
    let names: Vec<&str> = list
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .collect();
    let kept = format!("--keep={}", names[1]);
    let range = format!("--session={},newest", names[0]);
    let done = desk.run(&["prune", "--all", &range, &kept, "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let goes = done
        .out
        .lines()
        .filter(|line| line.contains("\"goes\":true"));
    assert!(goes.eq(done.out.lines().take(1)), "{done:?}");
    let left = desk.done(&["list", "v"]);
    assert!(!left.contains(names[0]) && left.contains(names[1]) && left.contains(names[2]));
    let unknown = desk.run(&["prune", "v", "--session=20010101-000000"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    let before = format!("--session={}", names[2]);
    desk.done(&["prune", "v", &before, "--all-before"]);
    assert_eq!(desk.done(&["list", "v"]).lines().count(), 2);
    desk.done(&["verify", "v"]);
}

#[test]
fn a_deleted_volume_gives_its_room_back() {
    let desk = three_sessions();
    let before = stored(&desk);
    desk.done(&["delete", "v", "--force"]);
    // The header and two small commits are left.
    assert!(
        stored(&desk) < before / 20,
        "{before} before, {} after",
        stored(&desk)
    );
}

/// Runs a command on the evening of one day or the morning after the next, by the clock on the wall.
fn on_day(desk: &Desk, zone: &str, arguments: &[&str]) -> nacre_tests::desk::Ended {
    let ended = nacre_tests::desk::end(desk.nacre(arguments).env("TZ", zone));
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

#[test]
fn a_send_thins_out_old_sessions_before_it_if_it_is_told_to() {
    let desk = desk_with_archive();
    let (yesterday, today) = ("AAA12", "BBB-14");
    let import = desk.import("v", "image");
    for round in 0..3 {
        make_image(&desk, "image", round);
        on_day(&desk, yesterday, &["send", &import]);
    }
    make_image(&desk, "image", 3);
    let days = "--apdays=0:0:1:1";
    // There is room enough.
    let ended = on_day(&desk, today, &["send", &import, "--autoprune=on", days]);
    assert!(!ended.err.contains("autoprune"), "{ended:?}");
    assert_eq!(desk.done(&["list", "v"]).lines().count(), 5);
    make_image(&desk, "image", 4);
    let dry = ["send", &import, "--autoprune=full", days, "--dry-run"];
    let ended = on_day(&desk, today, &dry);
    assert!(
        ended.err.contains("would forget 2 old sessions"),
        "{ended:?}"
    );
    assert_eq!(desk.done(&["list", "v"]).lines().count(), 5);
    let ended = on_day(&desk, today, &["send", &import, "--autoprune=full", days]);
    assert!(ended.err.contains("forgot 2 old sessions"), "{ended:?}");
    assert_eq!(desk.done(&["list", "v"]).lines().count(), 4);
    desk.done(&["verify", "v"]);
}

/// Writes an ini beside the desk's archive; the option that reads it.
fn ini(desk: &Desk, text: &str) -> String {
    let path = desk.path("nacre.ini");
    fs::write(&path, text).unwrap();
    format!("--config={}", path.display())
}

/// A command that reads an ini.
fn with_ini(desk: &Desk, arguments: &[&str], ini: &str) -> nacre_tests::desk::Ended {
    let mut command = std::process::Command::new(desk.path("nacre"));
    command
        .args(arguments)
        .arg(format!(
            "--dest=file:{}",
            desk.path("store/archive").display()
        ))
        .arg(format!("--meta-dir={}", desk.path("state").display()))
        .arg(format!("--key-file={}", desk.path("key").display()))
        .args(["--unattended", ini]);
    nacre_tests::desk::end(&mut command)
}

fn versions(desk: &Desk, volume: &str) -> usize {
    desk.done(&["list", volume]).lines().count() - 1
}

#[test]
fn the_ini_says_what_is_kept_of_which_volume_and_what_is_typed_comes_first() {
    let desk = desk_with_archive();
    for round in 0..4 {
        make_image(&desk, "image", round);
        for volume in ["vm-work-private", "vm-home-private", "photos", "vault"] {
            desk.done(&["send", &desk.import(volume, "image")]);
        }
    }
    let text = "[var-global-default]\nkeep-last = 4\n[retention]\nvm-work-* = keep-last 2\nvault = keep-all\nvm-* =\n  keep-last 3\n  keep-yearly 1\n";
    let file = ini(&desk, text);
    // A session that is named goes, and nothing else does: no rule of the ini stands against it or adds to it.
    let list = desk.done(&["list", "photos"]);
    let oldest = list.lines().nth(1).and_then(|line| line.split(' ').next());
    let named = format!("--session={}", oldest.unwrap());
    let done = with_ini(&desk, &["prune", "photos", &named], &file);
    assert_eq!(done.code, 0, "{done:?}");
    let counts = |desk: &Desk| {
        ["vm-work-private", "vm-home-private", "photos", "vault"].map(|v| versions(desk, v))
    };
    assert_eq!(counts(&desk), [4, 4, 3, 4]);
    // Rules that are typed take the section's place.
    let typed = ["prune", "vm-work-private", "--keep-last=3"];
    assert_eq!(with_ini(&desk, &typed, &file).code, 0);
    assert_eq!(counts(&desk), [3, 4, 3, 4]);
    // Without any the first line that fits counts; the ini's options do for what none fits.
    let dry = with_ini(&desk, &["prune", "-a", "--dry-run"], &file);
    assert!(dry.err.contains("would forget 2 sessions"), "{dry:?}");
    let done = with_ini(&desk, &["prune", "-a"], &file);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(counts(&desk), [2, 3, 3, 4]);
    // Before a send the same rules hold, and --apdays for the others.
    let file = ini(&desk, &text.replace("keep-last 2", "keep-last 1"));
    make_image(&desk, "image", 9);
    let import = desk.import("photos", "image");
    let done = with_ini(&desk, &["send", &import, "--autoprune=full"], &file);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(counts(&desk), [1, 3, 4, 4]);
    for volume in ["vm-work-private", "vm-home-private", "photos", "vault"] {
        desk.done(&["verify", volume]);
    }
}
