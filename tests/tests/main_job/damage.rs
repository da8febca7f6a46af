//! What the store does to its objects is noticed and named, and the rest comes back.

use std::fs;
use std::path::PathBuf;

use nacre_tests::desk::Desk;

use super::{CHUNK, assert_says, desk_with_session, objects};

/// The largest object: the data pack.
fn data_pack(desk: &Desk) -> PathBuf {
    let by_size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    objects(&desk.path("store"))
        .into_iter()
        .max_by_key(by_size)
        .unwrap()
}

fn damage(desk: &Desk) {
    let pack = data_pack(desk);
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
}

#[test]
fn altered_data_is_named_by_volume_session_and_range() {
    let (desk, _) = desk_with_session();
    damage(&desk);
    assert_says(&desk.run(&["verify", "vol"]), 4, &["vol"]);
}

#[test]
fn missing_data_is_noticed_by_verify() {
    let (desk, _) = desk_with_session();
    fs::remove_file(data_pack(&desk)).unwrap();
    assert_says(&desk.run(&["verify", "vol"]), 4, &["vol"]);
}

#[test]
fn a_damaged_volume_does_not_replace_what_was_there() {
    let (desk, _) = desk_with_session();
    damage(&desk);
    let goal = desk.path("goal.img");
    fs::write(&goal, b"old").unwrap();
    let to = format!("--save-to={}", goal.display());
    assert_says(&desk.run(&["receive", "vol", "--force", &to]), 4, &["vol"]);
    assert_eq!(fs::read(&goal).unwrap(), b"old");
}

#[test]
fn all_but_the_damaged_chunk_comes_back_when_asked_for() {
    let (desk, content) = desk_with_session();
    damage(&desk);
    let goal = desk.path("goal.img");
    let to = format!("--save-to={}", goal.display());
    assert_says(
        &desk.run(&["receive", "vol", &to, "--skip-corrupt-chunks"]),
        4,
        &["vol"],
    );
    let restored = fs::read(&goal).unwrap();
    assert_eq!(restored.len(), content.len());
    let pairs = restored.chunks(CHUNK).zip(content.chunks(CHUNK));
    assert_eq!(
        pairs.filter(|(a, b)| a != b).count(),
        1,
        "one chunk is lost"
    );
}

#[test]
fn exchanged_objects_are_noticed() {
    let (desk, _) = desk_with_session();
    let packs: Vec<PathBuf> = objects(&desk.path("store/archive/pack"));
    assert!(packs.len() >= 2);
    let (one, other) = (fs::read(&packs[0]).unwrap(), fs::read(&packs[1]).unwrap());
    fs::write(&packs[0], other).unwrap();
    fs::write(&packs[1], one).unwrap();
    let ended = desk.run(&["verify", "vol"]);
    assert_says(&ended, 4, &[]);
}
