//! What the store does to its objects is noticed and named, and the rest comes back.

use std::fs;
use std::path::PathBuf;

use nacre_tests::desk::Desk;

use super::names::session_names;
use super::{CHUNK, assert_says, data_pack, desk_with_session, make_image, objects, receive};

fn damage(desk: &Desk) {
    let pack = data_pack(desk);
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
}

/// Lost ranges as the messages name them, checked to be of this volume and session.
fn lost_ranges(message: &str, volume: &str, session: &str) -> Vec<(usize, usize)> {
    let start = format!("volume {volume}, session {session}: bytes ");
    let ranges = message.lines().filter_map(|line| {
        let (_, rest) = line.split_once(&start)?;
        let (range, _) = rest.split_once(" are lost")?;
        let (from, to) = range.split_once("..")?;
        Some((from.parse().unwrap(), to.parse().unwrap()))
    });
    ranges.collect()
}

#[test]
fn altered_data_is_named_by_volume_session_and_range() {
    let (desk, content) = desk_with_session();
    let session = session_names(&desk.done(&["list", "vol", "--json"])).remove(0);
    damage(&desk);
    let ended = desk.run(&["verify", "vol"]);
    assert_says(&ended, 4, &["vol"]);
    let ranges = lost_ranges(&ended.err, "vol", &session);
    let [(from, to)] = ranges[..] else {
        panic!("{ended:?}");
    };
    assert_eq!((from % CHUNK, to), (0, from + CHUNK));

    // And that is the very range which does not come back.
    let goal = desk.path("goal.img");
    let to = format!("--save-to={}", goal.display());
    let ended = desk.run(&["receive", "vol", &to, "--skip-corrupt-chunks"]);
    assert_eq!(lost_ranges(&ended.err, "vol", &session), ranges);
    let restored = fs::read(&goal).unwrap();
    for (at, (a, b)) in restored
        .chunks(CHUNK)
        .zip(content.chunks(CHUNK))
        .enumerate()
    {
        assert_eq!(a == b, at * CHUNK != from, "chunk {at}");
    }
}

/// Sends another volume, and returns its content and the packs that only it needs.
fn second_volume(desk: &Desk) -> (Vec<u8>, Vec<PathBuf>) {
    let packs = desk.path("store/archive/pack");
    let before = objects(&packs);
    let content = make_image(desk, "other.img", 2);
    desk.done(&["send", &desk.import("other", "other.img")]);
    let mut new = objects(&packs);
    new.retain(|path| !before.contains(path));
    new.sort_by_key(|path| fs::metadata(path).unwrap().len());
    (content, new)
}

#[test]
fn a_lost_or_truncated_data_pack_costs_its_own_volume_only() {
    for truncate in [false, true] {
        let (desk, content) = desk_with_session();
        let (_, packs) = second_volume(&desk);
        let pack = packs.last().unwrap();
        if truncate {
            let half = fs::read(pack).unwrap();
            fs::remove_file(pack).unwrap();
            fs::write(pack, &half[..half.len() / 2]).unwrap();
        } else {
            fs::remove_file(pack).unwrap();
        }
        let session = session_names(&desk.done(&["list", "other", "--json"])).remove(0);
        let ended = desk.run(&["verify", "other"]);
        assert_says(&ended, 4, &["other"]);
        assert!(
            !lost_ranges(&ended.err, "other", &session).is_empty(),
            "{ended:?}"
        );
        let to = format!("--save-to={}", desk.path("x").display());
        assert_says(&desk.run(&["receive", "other", &to]), 4, &["other"]);
        assert!(!desk.path("x").exists());
        assert!(receive(&desk, None) == content, "the first volume is whole");
        assert_says(&desk.run(&["verify", "--all"]), 4, &["other"]);
    }
}

#[test]
fn a_lost_index_pack_of_an_older_session_costs_its_own_volume_only() {
    let (desk, _) = desk_with_session();
    // The pack of `vol`'s leaves is the smaller one of the two of its session; `other` comes behind it.
    let mut packs = objects(&desk.path("store/archive/pack"));
    packs.sort_by_key(|path| fs::metadata(path).unwrap().len());
    let (content, _) = second_volume(&desk);
    fs::remove_file(&packs[0]).unwrap();
    assert_says(&desk.run(&["verify", "vol"]), 4, &[]);
    let to = format!("--save-to={}", desk.path("x").display());
    assert_says(&desk.run(&["receive", "vol", &to]), 4, &[]);
    let to = format!("--save-to={}", desk.path("other").display());
    desk.done(&["receive", "other", &to]);
    assert!(fs::read(desk.path("other")).unwrap() == content);
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

#[test]
fn what_was_written_in_place_before_damage_was_met_is_said_to_be_a_mixture() {
    let (desk, content) = desk_with_session();
    damage(&desk);
    let goal = desk.path("goal.img");
    let to = format!("--save-to={}", goal.display());
    for mode in ["--sparse", "--sparse-write"] {
        fs::write(&goal, vec![7; content.len()]).unwrap();
        let ended = desk.run(&["receive", "vol", &to, mode, "--force"]);
        assert_says(
            &ended,
            4,
            &["it is a mixture of both now", "`--skip-corrupt-chunks`"],
        );
        assert!(!ended.err.contains("Nothing was put in place"), "{ended:?}");
        let now = fs::read(&goal).unwrap();
        let pieces = now.chunks(CHUNK).zip(content.chunks(CHUNK));
        assert_eq!(pieces.filter(|(now, saved)| now != saved).count(), 1);
        let ended = desk.run(&[
            "receive",
            "vol",
            &to,
            mode,
            "--force",
            "--skip-corrupt-chunks",
        ]);
        assert_says(&ended, 4, &["are lost"]);
        assert!(!ended.err.contains("mixture"), "{ended:?}");
    }
    // What is exchanged as a whole stays as it was.
    fs::write(&goal, [7; 9]).unwrap();
    let ended = desk.run(&["receive", "vol", &to, "--force"]);
    assert_says(&ended, 4, &["Nothing was put in place"]);
    assert_eq!(fs::read(&goal).unwrap(), [7; 9]);
}

#[test]
fn verify_of_a_session_that_no_volume_has_fails() {
    let (desk, _) = desk_with_session();
    for session in ["--session=20200101-000000", "--session=^other"] {
        for selection in ["vol", "--all"] {
            let ended = desk.run(&["verify", selection, session]);
            assert_says(&ended, 1, &[]);
        }
        let ended = desk.run(&["verify", "--all", session]);
        assert_says(&ended, 1, &["no volume has such a session"]);
    }
    desk.done(&["verify", "--all", "--session=^one"]);
}
