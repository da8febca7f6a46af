//! What goes in comes back.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use nacre_tests::desk::Desk;

use super::{
    CHUNK, desk_with_archive, desk_with_session, make_image, objects, receive, send, store_bytes,
    write_sparse,
};

#[test]
fn every_session_comes_back_bit_for_bit() {
    let (desk, first) = desk_with_session();
    let mut second = first.clone();
    second[5 * CHUNK + 77] ^= 1;
    second[20 * CHUNK..22 * CHUNK].fill(0);
    second.extend_from_slice(b"grown by a few bytes");
    write_sparse(&desk.path("vol.img"), &second);
    send(&desk, "two");
    let third = &second[..7 * CHUNK + 9];
    write_sparse(&desk.path("vol.img"), third);
    send(&desk, "three");

    assert!(receive(&desk, Some("one")) == first);
    assert!(receive(&desk, Some("two")) == second);
    assert!(receive(&desk, Some("three")) == third);
    assert!(receive(&desk, None) == third);
    desk.done(&["verify", "--all"]);
}

#[test]
fn several_volumes_of_one_run_are_one_session() {
    let desk = desk_with_archive();
    let (one, other) = (make_image(&desk, "a.img", 1), make_image(&desk, "b.img", 2));
    desk.done(&[
        "send",
        &desk.import("a", "a.img"),
        &desk.import("b", "b.img"),
    ]);
    for (volume, content) in [("a", one), ("b", other)] {
        let goal = desk.path("restored.img");
        desk.done(&["receive", volume, &format!("--save-to={}", goal.display())]);
        assert!(fs::read(&goal).unwrap() == content, "{volume}");
        fs::remove_file(goal).unwrap();
    }
    assert_eq!(sessions(&desk, "a"), sessions(&desk, "b"));
    assert_eq!(sessions(&desk, "a").len(), 1);
}

#[test]
fn empty_zero_and_odd_sized_volumes_come_back() {
    let desk = desk_with_archive();
    let sizes = [1, 4095, CHUNK - 1, CHUNK, CHUNK + 1, 1];
    let mut contents = vec![Vec::new(), vec![0; 3 * CHUNK + 5]];
    contents.extend(sizes.map(|size| vec![7; size]));
    contents.push(Vec::new());
    for content in contents {
        write_sparse(&desk.path("vol.img"), &content);
        desk.done(&["send", &desk.import("vol", "vol.img"), "--send-unchanged"]);
        assert!(receive(&desk, None) == content, "{} bytes", content.len());
    }
}

#[test]
fn only_what_changed_is_sent() {
    let (desk, mut content) = desk_with_session();
    let full = store_bytes(&desk);
    content[3 * CHUNK + 5] ^= 1;
    write_sparse(&desk.path("vol.img"), &content);
    send(&desk, "two");
    let added = store_bytes(&desk) - full;
    assert!(
        added < 2 * CHUNK as u64,
        "{added} bytes for one changed chunk"
    );
}

#[test]
fn an_unchanged_volume_gets_a_session_only_when_asked() {
    let (desk, _) = desk_with_session();
    let before = objects(&desk.path("store"));
    send(&desk, "again");
    assert_eq!(sessions(&desk, "vol").len(), 1);
    assert_eq!(
        objects(&desk.path("store")),
        before,
        "nothing changed, nothing is written"
    );
    desk.done(&["send", &desk.import("vol", "vol.img"), "--send-unchanged"]);
    assert_eq!(sessions(&desk, "vol").len(), 2);
}

#[test]
fn holes_come_back_as_holes() {
    let (desk, content) = desk_with_session();
    receive(&desk, None);
    let restored = fs::metadata(desk.path("restored.img")).unwrap();
    let zeros = content
        .chunks(CHUNK)
        .filter(|c| c.iter().all(|b| *b == 0))
        .count()
        * CHUNK;
    assert!(restored.blocks() * 512 <= restored.size() - zeros as u64 + 2 * CHUNK as u64);
}

#[test]
fn sparse_receive_writes_only_what_differs() {
    for option in ["--sparse", "--sparse-write"] {
        let (desk, content) = desk_with_session();
        let goal = desk.path("goal.img");
        let mut altered = content.clone();
        altered[9 * CHUNK..9 * CHUNK + 5].copy_from_slice(b"local");
        altered[2 * CHUNK..2 * CHUNK + 5].copy_from_slice(b"local");
        altered.truncate(40 * CHUNK);
        fs::write(&goal, &altered).unwrap();
        let inode = fs::metadata(&goal).unwrap().ino();
        desk.done(&[
            "receive",
            "vol",
            option,
            "--force",
            &format!("--save-to={}", goal.display()),
        ]);
        assert!(fs::read(&goal).unwrap() == content, "{option}");
        assert_eq!(
            fs::metadata(&goal).unwrap().ino(),
            inode,
            "{option} works in place"
        );
    }
}

#[test]
fn a_plain_receive_replaces_the_old_file_only_when_the_new_one_is_whole() {
    let (desk, content) = desk_with_session();
    let goal = desk.path("goal.img");
    fs::write(&goal, b"old").unwrap();
    let old = fs::File::open(&goal).unwrap();
    desk.done(&[
        "receive",
        "vol",
        "--force",
        &format!("--save-to={}", goal.display()),
    ]);
    assert!(fs::read(&goal).unwrap() == content);
    let mut still = [0; 3];
    old.read_exact_at(&mut still, 0).unwrap();
    assert_eq!(&still, b"old", "who has the old file open keeps it");
}

#[test]
fn every_hash_compression_and_chunk_size_comes_back() {
    let choices = [
        "--hashtype=hmac-sha256",
        "--compression=none",
        "--compression=zstd:19",
        "--chunk-factor=1",
        "--chunk-factor=3",
        "--chunk-factor=4",
        "--chunk-factor=5",
        "--chunk-factor=6",
    ];
    for choice in choices {
        let desk = Desk::new();
        desk.done(&["arch-init", choice]);
        let content = make_image(&desk, "vol.img", 3);
        send(&desk, "one");
        assert!(receive(&desk, None) == content, "{choice}");
        desk.done(&["verify", "vol"]);
    }
}

#[test]
fn an_archive_without_encryption_needs_no_key_and_comes_back() {
    let desk = Desk::new();
    desk.done_without_key(&["arch-init", "--encrypt=off"]);
    let content = make_image(&desk, "vol.img", 3);
    desk.done_without_key(&["send", &desk.import("vol", "vol.img")]);
    let to = format!("--save-to={}", desk.path("out.img").display());
    desk.done_without_key(&["receive", "vol", &to]);
    assert!(fs::read(desk.path("out.img")).unwrap() == content);
    desk.done_without_key(&["verify", "vol"]);
}

#[test]
fn nothing_of_the_content_or_the_names_is_readable_in_the_store() {
    let desk = desk_with_archive();
    make_image(&desk, "vol.img", 1);
    desk.done(&[
        "send",
        &desk.import("very-private-name", "vol.img"),
        "--tag=very-private-tag,very private remark",
    ]);
    for path in objects(&desk.path("store")) {
        let bytes = fs::read(&path).unwrap();
        for secret in [&b"of volume 1"[..], b"very-private", b"very private"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            let secret = String::from_utf8_lossy(secret);
            assert!(!found, "{secret} in {}", path.display());
        }
    }
}

/// Names of the sessions of a volume.
fn sessions(desk: &Desk, volume: &str) -> Vec<String> {
    super::names::session_names(&desk.done(&["list", volume, "--json"]))
}
