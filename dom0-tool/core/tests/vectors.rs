//! doc/vectors: examples of every structure, and ones that must be rejected, so that the document, the code and other readers agree.
//!
//! `NACRE_WRITE_VECTORS=1 cargo test -p nacre-core --test vectors` writes them anew, after a change of the format.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a vector that cannot be made or read is a failed test"
)]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::needless_pass_by_value,
    reason = "a few hundred lines of text, written once"
)]

#[path = "vectors/blocks.rs"]
mod blocks;
#[path = "vectors/check.rs"]
mod check;
#[path = "vectors/make.rs"]
mod make;
#[path = "vectors/make_index.rs"]
mod make_index;

use std::path::PathBuf;

use blocks::Block;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../doc/vectors")
}

fn all() -> Vec<(&'static str, Vec<Block>)> {
    vec![
        ("credentials.txt", make::credentials()),
        ("headers.txt", make::headers()),
        ("keys.txt", make::keys()),
        ("items.txt", make::items()),
        ("heads.txt", make_index::heads()),
        ("nodes.txt", make_index::nodes()),
        ("records.txt", make_index::records()),
    ]
}

fn read(name: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    blocks::parse(&text)
}

#[test]
fn published_examples_are_read_as_they_say_and_bad_ones_rejected_for_the_stated_reason() {
    if std::env::var_os("NACRE_WRITE_VECTORS").is_some() {
        for (name, blocks) in all() {
            std::fs::write(folder().join(name), blocks::print(&blocks)).unwrap();
        }
    }
    for (name, made) in all() {
        let blocks = read(name);
        let rejected = blocks.iter().filter(|block| block.get("reject").is_some());
        assert!(rejected.count() > 0 || name == "keys.txt", "{name}");
        assert!(blocks.len() >= made.len(), "{name} was cut");
        let mut archive = check::Archive::default();
        for block in &blocks {
            let result = check::check(&mut archive, block);
            let expected = block
                .get("reject")
                .map_or(Ok(()), |why| Err(why.to_owned()));
            assert_eq!(result, expected, "{name}: {}", block.title);
        }
    }
}

#[test]
fn the_code_still_writes_what_was_published() {
    for (name, made) in all() {
        let published = read(name);
        for block in made {
            let same = published.iter().find(|known| known.title == block.title);
            // Another release of zstd may compress otherwise; what it wrote before must still be read.
            if block.get("encoding") != Some("zstd") {
                assert_eq!(same, Some(&block), "{name}: {}", block.title);
            }
        }
    }
}
