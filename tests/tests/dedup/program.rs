//! The same through the program.

use std::fs;

use nacre_tests::desk::Desk;

use super::content;

fn image(desk: &Desk, name: &str, letters: &str) -> Vec<u8> {
    // The program's chunks are twice as large as those of the other tests.
    let double = letters.bytes().flat_map(|letter| [letter, letter]);
    let bytes: Vec<u8> = double.flat_map(content).collect();
    fs::write(desk.path(name), &bytes).unwrap();
    bytes
}

fn send(desk: &Desk, volume: &str, more: &[&str]) -> String {
    let import = desk.import(volume, "image");
    desk.done(&[&["send", import.as_str()], more].concat())
}

fn receive(desk: &Desk, volume: &str) -> Vec<u8> {
    let goal = desk.path("restored");
    drop(fs::remove_file(&goal));
    desk.done(&["receive", volume, &format!("--save-to={}", goal.display())]);
    fs::read(goal).unwrap()
}

/// Names of all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .flat_map(|entry| {
            if entry.metadata().unwrap().is_dir() {
                walk(&entry.path())
            } else {
                vec![entry.file_name().into_string().unwrap()]
            }
        })
        .collect()
}

/// Bytes of all objects in the store.
fn stored(folder: &std::path::Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let found = entry.metadata().unwrap();
            if found.is_dir() {
                stored(&entry.path())
            } else {
                found.len()
            }
        })
        .sum()
}

#[test]
fn volumes_share_what_the_user_lets_them_share() {
    let desk = Desk::new();
    desk.done(&["arch-init"]);
    let content = image(&desk, "image", &"abcdefghij".repeat(3));
    send(&desk, "vm-shop-private", &["--dedup"]);
    let one = stored(&desk.path("store"));
    // The same qube's other volume, by its name; another qube's has a domain of its own.
    send(&desk, "appvms/shop/other.img", &["--dedup"]);
    let two = stored(&desk.path("store"));
    assert!(two < one + one / 10, "{one} {two}");
    send(&desk, "vm-home-private", &["--dedup"]);
    let three = stored(&desk.path("store"));
    assert!(three > two + one / 2, "{two} {three}");
    // Asked for, it is shared.
    send(
        &desk,
        "vm-mail-private",
        &["--dedup", "--dedup-domain=vm-*=qube home"],
    );
    let four = stored(&desk.path("store"));
    assert!(four < three + one / 10, "{three} {four}");
    let index = |desk: &Desk| {
        let names = walk(&desk.path("state"));
        names
            .iter()
            .filter(|name| name.starts_with("dedup"))
            .count()
    };
    assert_eq!(index(&desk), 17);
    desk.done(&["delete", "--clean"]);
    assert_eq!(index(&desk), 0);
    // A volume keeps its domain, and the user is told.
    let other = desk.run(&[
        "send",
        &desk.import("vm-mail-private", "image"),
        "--dedup-domain=qube shop",
    ]);
    assert!(
        other
            .err
            .contains("stays in the dedup domain \"qube home\""),
        "{other:?}"
    );
    for volume in [
        "vm-shop-private",
        "appvms/shop/other.img",
        "vm-home-private",
        "vm-mail-private",
    ] {
        assert!(receive(&desk, volume) == content, "{volume}");
    }
}

#[test]
fn what_was_sent_without_dedup_is_shared_later() {
    let desk = Desk::new();
    desk.done(&["arch-init"]);
    let content = image(&desk, "image", "abcdefghij");
    for volume in ["one", "two", "three"] {
        send(&desk, volume, &["--dedup-domain=mine"]);
    }
    let before = stored(&desk.path("store"));
    let would = desk.run(&["arch-deduplicate", "--dry-run"]);
    assert_eq!(would.code, 0);
    assert!(would.err.contains("would share 20 chunks"), "{would:?}");
    assert_eq!(stored(&desk.path("store")), before);
    let shared = desk.run(&["arch-deduplicate"]);
    assert_eq!(shared.code, 0);
    assert!(shared.err.contains("shared 20 chunks"), "{shared:?}");
    let after = stored(&desk.path("store"));
    assert!(after < before / 2, "{before} {after}");
    let again = desk.run(&["arch-deduplicate"]);
    assert!(again.err.contains("nothing is stored twice"), "{again:?}");
    for volume in ["one", "two", "three"] {
        assert!(receive(&desk, volume) == content, "{volume}");
    }
    let unknown = desk.run(&["arch-deduplicate", "four"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("no volume four"), "{unknown:?}");
}

#[test]
fn sessions_are_protected_and_tagged_later() {
    let desk = Desk::new();
    desk.done(&["arch-init"]);
    image(&desk, "image", "ab");
    send(&desk, "one", &["--tag=first"]);
    image(&desk, "image", "cd");
    send(&desk, "one", &["--tag=second"]);
    let list = || desk.done(&["list", "one", "--tag"]);
    desk.done(&["session", "protect", "^first", "--dry-run"]);
    assert!(!list().contains("(protected)"));
    desk.done(&["session", "protect", "^first"]);
    let lines: Vec<String> = list().lines().map(str::to_owned).collect();
    assert!(
        lines[1].contains("(protected)") && !lines[2].contains("(protected)"),
        "{lines:?}"
    );
    desk.done(&["session", "tag", "both,Before the change", "^first,^second"]);
    assert_eq!(list().matches("both,Before the change").count(), 2);
    desk.done(&["session", "untag", "both", "newest"]);
    assert_eq!(list().matches("both").count(), 1);
    desk.done(&["session", "unprotect", "^both"]);
    assert!(!list().contains("(protected)"));
    let nothing = desk.run(&["session", "unprotect", "^first"]);
    assert!(
        nothing.code == 0 && nothing.err.contains("nothing to change"),
        "{nothing:?}"
    );
    let unknown = desk.run(&["session", "protect", "^third"]);
    assert!(
        unknown.code == 1 && unknown.err.contains("no such session"),
        "{unknown:?}"
    );
}
