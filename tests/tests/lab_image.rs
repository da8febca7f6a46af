//! The made-up images are what they claim to be: repeatable, as full as asked, and changed only where the report says.
#![allow(
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nacre_tests::lab_image::{BLOCK, Day, ImageShape, Random, make_image, spend_a_day};
use tempfile::TempDir;

/// A folder with a few made-up programs and texts, so that the test does not depend on the machine's own.
fn folder_of_files() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let mut random = Random::new(7, "files");
    for number in 0..40 {
        let length = 1000 + random.index(200_000);
        let mut program = vec![0; length];
        random.fill(&mut program[..length / 2]);
        program[0] = 0;
        let text = "fn main() { println!(\"hello\"); }\n".repeat(1 + length / 40);
        fs::write(folder.path().join(format!("program-{number}")), program).expect("written");
        fs::write(folder.path().join(format!("text-{number}")), text).expect("written");
    }
    folder
}

fn shape(folder: &Path, seed: u64) -> ImageShape {
    ImageShape {
        size: (48 << 20) + 4097,
        fill: 70,
        seed,
        folders: vec![folder.to_owned()],
    }
}

fn make(place: &Path, name: &str, shape: &ImageShape) -> (PathBuf, u64) {
    let path = place.join(name);
    let file = File::create(&path).expect("created");
    let report = make_image(&file, shape).expect("an image");
    (path, report.used())
}

fn mutate(path: &Path, seed: u64) -> BTreeSet<u64> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("opened");
    let day = Day {
        seed,
        scattered: 100,
        limit: u64::MAX,
    };
    spend_a_day(&file, &day).expect("a day").blocks
}

/// Numbers of the blocks in which two images differ.
fn differing(one: &[u8], other: &[u8]) -> BTreeSet<u64> {
    let pairs = one.chunks(BLOCK).zip(other.chunks(BLOCK)).zip(0..);
    pairs.filter(|((a, b), _)| a != b).map(|(_, n)| n).collect()
}

#[test]
fn the_same_seed_gives_the_same_image() {
    let (files, place) = (folder_of_files(), TempDir::new().expect("a folder"));
    let (one, _) = make(place.path(), "one", &shape(files.path(), 1));
    let (again, _) = make(place.path(), "again", &shape(files.path(), 1));
    let (other, _) = make(place.path(), "other", &shape(files.path(), 2));
    let one = fs::read(one).expect("read");
    assert!(
        one == fs::read(again).expect("read"),
        "same seed, different image"
    );
    assert!(
        one != fs::read(other).expect("read"),
        "different seeds, same image"
    );
}

#[test]
fn an_image_is_as_large_and_as_full_as_asked() {
    let (files, place) = (folder_of_files(), TempDir::new().expect("a folder"));
    let shape = shape(files.path(), 3);
    let (path, used) = make(place.path(), "image", &shape);
    let metadata = fs::metadata(&path).expect("metadata");
    assert_eq!(metadata.len(), shape.size);
    let percent = used * 100 / shape.size;
    assert!((66..=70).contains(&percent), "{percent} % used");
    let allocated = metadata.blocks() * 512 * 100 / shape.size;
    assert!((60..=76).contains(&allocated), "{allocated} % allocated");
}

#[test]
fn a_day_is_repeatable_and_changes_what_its_report_names() {
    let (files, place) = (folder_of_files(), TempDir::new().expect("a folder"));
    let (path, _) = make(place.path(), "image", &shape(files.path(), 4));
    let before = fs::read(&path).expect("read");
    let twin = place.path().join("twin");
    fs::copy(&path, &twin).expect("copied");

    let named = mutate(&path, 9);
    let after = fs::read(&path).expect("read");
    let changed = differing(&before, &after);
    assert_eq!(before.len(), after.len());
    assert!(
        changed.is_subset(&named),
        "blocks changed that the report does not name"
    );
    // A zeroed range may fall on zeros, and a block may be written twice: little of the rest.
    assert!(
        changed.len() * 10 > named.len() * 9,
        "{} of {} named blocks changed",
        changed.len(),
        named.len()
    );
    assert!(
        named.len() * 100 > before.len() / BLOCK / 2,
        "at least half a percent is written"
    );

    assert_eq!(named, mutate(&twin, 9));
    assert!(
        after == fs::read(&twin).expect("read"),
        "same seed, different day"
    );
}
