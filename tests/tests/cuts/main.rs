//! What is cut short at any instant: programs that are killed, links that break, disks that are full. Through the programs as a user has them; afterwards everything acknowledged is there, and the same command can be given again.
//!
//! The seed of every round is printed; `NACRE_ROUNDS=n` takes n times as many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod going_on;
mod kills;
mod links;
mod processes;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nacre_tests::desk::{Desk, Ended};
use nacre_tests::helper_program;
use nacre_tests::lab_image::Random;
use nacre_tests::sshd::Sshd;

/// The size of a chunk.
const CHUNK: usize = 128 << 10;

/// How many rounds to try where `usual` are enough for every day.
fn rounds(usual: u64) -> u64 {
    let times = std::env::var("NACRE_ROUNDS").ok();
    let times: u64 = times.and_then(|text| text.parse().ok()).unwrap_or(1);
    usual * times.max(1)
}

/// A desk with an archive.
fn desk_with_archive() -> Desk {
    let desk = Desk::new();
    desk.done(&["arch-init"]);
    desk
}

/// The desk's commands reach the archive as a folder of this machine: that is quicker than a login for each.
fn look_directly(desk: &Desk, store: &Path) {
    let locator = format!("directory {}", store.display());
    desk.link(
        "never",
        &locator,
        &helper_program(),
        &["serve", "--base", "/"],
    );
}

/// The desk's commands reach the archive as one of an ssh host, with more options for ssh.
fn go_by_ssh(desk: &Desk, server: &Sshd, more: &[&str], store: &Path) {
    let mut arguments = vec!["serve".to_owned(), "--ssh".to_owned()];
    let options = server.options();
    let options = options.iter().map(|option| option.to_str().unwrap());
    for option in options.chain(more.iter().copied()) {
        arguments.extend(["--ssh-option".to_owned(), option.to_owned()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let locator = format!("ssh {} {}", server.host(), store.display());
    desk.link("never", &locator, &helper_program(), &arguments);
}

/// Bytes that do not compress, another half of them in every call.
fn changed(random: &mut Random, content: &[u8], chunks: usize) -> Vec<u8> {
    let mut content = content.to_vec();
    content.resize(chunks * CHUNK + 77, 0);
    for piece in content.chunks_mut(CHUNK) {
        if random.below(2) == 0 {
            random.fill(piece);
        }
    }
    content
}

/// Restores the session of a volume with that tag.
fn receive(desk: &Desk, volume: &str, tag: &str) -> Vec<u8> {
    let goal = desk.path("restored.img");
    let _ = fs::remove_file(&goal);
    let to = format!("--save-to={}", goal.display());
    desk.done(&["receive", volume, &to, &format!("--session=^{tag}")]);
    fs::read(goal).unwrap()
}

/// The sessions of a volume that are whole, by their names, with their tags in one text; empty if there is no such volume.
fn sessions(desk: &Desk, volume: &str) -> BTreeMap<String, String> {
    let listed = desk.run(&["list", volume, "--tag", "--json"]);
    if listed.code == 1 && listed.out.contains("no volume") {
        return BTreeMap::new();
    }
    assert_eq!(listed.code, 0, "{listed:?}");
    let mut found = BTreeMap::new();
    for line in listed.out.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = value["session"].as_str().unwrap();
        if !name.contains("unfinished") {
            let tags = serde_json::to_string(&value["tags"]).unwrap();
            found.insert(name.to_owned(), tags);
        }
    }
    found
}

/// The command said what happened and no more than that.
fn assert_calm(ended: &Ended, codes: &[i32]) {
    assert!(codes.contains(&ended.code), "{ended:?}");
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    let told = ended.code == 0 || ended.err.lines().any(|line| line.starts_with("error: "));
    assert!(told, "{ended:?}");
}

/// Sizes of all files below a folder.
fn sizes(folder: &Path) -> BTreeMap<std::path::PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => found.extend(sizes(&entry.path())),
            Ok(meta) => drop(found.insert(entry.path(), meta.len())),
            Err(_) => {}
        }
    }
    found
}
