//! The main job from end to end, through the programs and the real helper: what goes in comes back, and what goes wrong is said.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod bad_input;
mod compare;
mod ctrl_c;
mod damage;
mod devices;
mod emergency;
mod fate;
mod freshness;
mod keys;
mod lost_head;
mod names;
mod prune;
mod round_trip;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nacre_tests::desk::{Desk, Ended};
use nacre_tests::lab_image::Random;

/// The size of a chunk.
const CHUNK: usize = 128 << 10;

/// Writes an image of a volume: some of it compresses, some does not, a third are holes. Its size is not a multiple of anything.
fn make_image(desk: &Desk, name: &str, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed, "volume");
    let mut content = vec![0; 48 * CHUNK + 1234];
    for (number, piece) in content.chunks_mut(CHUNK).enumerate() {
        match number % 3 {
            0 => random.fill(piece),
            1 => {
                let text = format!("line {} of volume {seed}\n", random.bits());
                piece
                    .iter_mut()
                    .zip(text.bytes().cycle())
                    .for_each(|(to, from)| *to = from);
                random.fill(&mut piece[..100]);
            }
            _ => {}
        }
    }
    write_sparse(&desk.path(name), &content);
    content
}

/// Writes a file whose zero chunks are holes.
fn write_sparse(path: &Path, content: &[u8]) {
    let file = fs::File::create(path).unwrap();
    file.set_len(content.len() as u64).unwrap();
    for (piece, at) in content.chunks(CHUNK).zip((0_u64..).step_by(CHUNK)) {
        if piece.iter().any(|byte| *byte != 0) {
            file.write_all_at(piece, at).unwrap();
        }
    }
}

/// A desk with an archive.
fn desk_with_archive() -> Desk {
    let desk = Desk::new();
    desk.done(&["arch-init"]);
    desk
}

/// A desk with an archive in which `vol` has one session, tagged `one`; and the volume's content.
fn desk_with_session() -> (Desk, Vec<u8>) {
    let desk = desk_with_archive();
    let content = make_image(&desk, "vol.img", 1);
    send(&desk, "one");
    (desk, content)
}

/// Sends `vol.img` as `vol`.
fn send(desk: &Desk, tag: &str) -> String {
    desk.done(&[
        "send",
        &desk.import("vol", "vol.img"),
        &format!("--tag={tag}"),
    ])
}

/// Restores `vol`, newest session or the one with the tag, and returns what came back.
fn receive(desk: &Desk, tag: Option<&str>) -> Vec<u8> {
    let goal = desk.path("restored.img");
    let _ = fs::remove_file(&goal);
    let to = format!("--save-to={}", goal.display());
    let session = tag.map_or("--session=newest".to_owned(), |tag| {
        format!("--session=^{tag}")
    });
    desk.done(&["receive", "vol", &to, &session]);
    fs::read(goal).unwrap()
}

/// Bytes of all objects in the store.
fn store_bytes(desk: &Desk) -> u64 {
    objects(&desk.path("store"))
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum()
}

/// All files of the store, in order of their names.
fn objects(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(objects(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The largest object: the data pack.
fn data_pack(desk: &Desk) -> std::path::PathBuf {
    let by_size = |path: &std::path::PathBuf| fs::metadata(path).unwrap().len();
    objects(&desk.path("store"))
        .into_iter()
        .max_by_key(by_size)
        .unwrap()
}

/// Checks an error: its exit code, that it says all of the words, and that nothing panicked.
fn assert_says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "no {word:?} in {ended:?}");
    }
    assert!(!ended.err.contains("panicked"), "{ended:?}");
}
