//! `arch-check --repair` takes what one archive has lost from another target that has the same volume.

use std::fs;
use std::path::PathBuf;

use nacre_tests::desk::Ended;

use crate::room::{Room, image};

/// The packs of a target's archive, the largest first: those hold data.
fn packs(room: &Room, target: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(room.store(target).join("pack")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let mut packs: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    packs
}

/// All sessions of the volume at a target, the oldest first, as they are restored.
fn all_restored(room: &Room, target: &str) -> Vec<Vec<u8>> {
    let dest = format!("--dest={target}");
    let listed = room.done(&["list", "vm", "--json", &dest]);
    let path = room.desk.path("restored");
    let save_to = format!("--save-to={}", path.display());
    let mut all = Vec::new();
    for line in listed.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let session = format!("--session={}", line["session"].as_str().unwrap());
        room.done(&["receive", "vm", &save_to, &dest, &session, "--force"]);
        all.push(fs::read(&path).unwrap());
    }
    all
}

/// Sends two states of the image, of which the first is nowhere else afterwards, and takes all data packs of `one` away.
fn two_states_and_a_loss(room: &Room) -> [Vec<u8>; 2] {
    let states = [image(1), image(2)];
    for state in &states {
        fs::write(room.desk.path("image"), state).unwrap();
        for target in ["--dest=one", "--dest=two"] {
            assert_eq!(room.send_image(&[target]).code, 0);
        }
    }
    for pack in packs(room, "one").into_iter().take(2) {
        fs::remove_file(pack).unwrap();
    }
    assert_eq!(room.run(&["arch-check", "--dest=one"]).code, 4);
    // The volume is not what either session has any more, and is not asked for either.
    fs::write(room.desk.path("image"), image(3)).unwrap();
    states
}

fn repair(room: &Room, rest: &[&str]) -> Ended {
    room.run(&[&["arch-check", "--repair", "--dest=one"], rest].concat())
}

#[test]
fn what_one_target_lost_is_healed_from_the_other() {
    let room = Room::made("");
    let states = two_states_and_a_loss(&room);
    // 900 000 bytes are seven chunks; the two states have none in common.
    let dry = repair(&room, &["--dry-run"]);
    assert_eq!(dry.code, 4, "{dry:?}");
    assert!(
        dry.err
            .contains("14 chunks of volume vm would come from the target two"),
        "{dry:?}"
    );
    assert_eq!(room.run(&["arch-check", "--dest=one"]).code, 4);
    let done = repair(&room, &["--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let from = r#""healed_from":[{"chunks":14,"from":"the target two","volume":"vm"}]"#;
    assert!(done.out.contains(from), "{done:?}");
    assert!(done.out.contains(r#""chunks_marked":0"#), "{done:?}");
    room.done(&["arch-check", "--data", "--dest=one"]);
    assert!(all_restored(&room, "one") == states);
    // The other was only read.
    room.done(&["arch-check", "--data", "--dest=two"]);
    // There is nothing left to do, and nobody is asked for it.
    let again = repair(&room, &[]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(!again.err.contains("target two"), "{again:?}");
}

#[test]
fn the_other_archive_may_have_chunks_of_another_size() {
    for factor in ["1", "3"] {
        let room = Room::new("");
        room.done(&["arch-init", "--dest=one"]);
        let factor = format!("--chunk-factor={factor}");
        room.done(&["arch-init", "--dest=two", &factor]);
        let states = two_states_and_a_loss(&room);
        let done = repair(&room, &[]);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(all_restored(&room, "one") == states, "{factor}");
    }
}

#[test]
fn a_target_that_is_away_or_damaged_too_costs_a_word_and_nothing_else() {
    let room = Room::made("");
    let states = two_states_and_a_loss(&room);
    let away = room.desk.path("away");
    fs::rename(room.store("two"), &away).unwrap();
    let ended = repair(&room, &["--dry-run"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let told = "warning: the target two cannot be asked for lost content: no archive there";
    assert_eq!(ended.err.matches(told).count(), 1, "{ended:?}");
    assert!(ended.err.contains("14 chunks would be marked as lost"));
    // It comes back with the first state lost: the second is healed, the first marked.
    fs::rename(&away, room.store("two")).unwrap();
    let mut lost = packs(&room, "two");
    lost.truncate(2);
    let oldest = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    fs::remove_file(lost.into_iter().min_by_key(oldest).unwrap()).unwrap();
    let ended = repair(&room, &["--json"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(
        ended.out.contains(r#""chunks_healed":7,"chunks_marked":7"#)
            || ended.out.contains(r#""chunks_healed":7"#)
                && ended.out.contains(r#""chunks_marked":7"#),
        "{ended:?}"
    );
    assert!(room.restored("one", "vm") == states[1]);
}

#[test]
fn a_place_that_the_ini_does_not_name_heals_when_it_is_given() {
    let room = Room::made("");
    let states = two_states_and_a_loss(&room);
    let moved = room.desk.path("moved");
    fs::rename(room.store("two"), &moved).unwrap();
    let from = format!("--heal-from=file:{}", moved.display());
    // Its key is the one that stands for all, which the target `one` does not use.
    let ended = repair(&room, &[&from]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(
        ended.err.contains("does not open this archive"),
        "{ended:?}"
    );
    // By the ini's word for it the place has its own key; what was typed is about the target that is repaired.
    let ini = room.desk.path("nacre.ini");
    let text = fs::read_to_string(&ini).unwrap();
    let key = format!("key-file = {}\n", room.desk.path("key").display());
    let section = format!("[target moved]\ndest = file:{}\n{key}", moved.display());
    fs::write(&ini, text.replacen(&key, "", 1) + &section).unwrap();
    let own = format!("--key-file={}", room.desk.path("key-of-one").display());
    let done = repair(&room, &["--heal-from=moved", &own]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.err
            .contains("14 chunks of volume vm come from the target moved"),
        "{done:?}"
    );
    assert!(all_restored(&room, "one") == states);
}
