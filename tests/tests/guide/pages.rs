//! The pages of the guide, taken apart.

use std::fs;
use std::path::{Path, PathBuf};

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../doc/guide")
}

/// Name and text of every page.
pub fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<(String, String)> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    pages.sort();
    assert!(pages.len() >= 9, "{}", pages.len());
    pages
}

/// The blocks of a language in a page, without the page's indent.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines().map(str::trim_start) {
        match (line.strip_prefix("```"), open.take()) {
            (Some(word), None) => open = Some((word == language, String::new())),
            (Some(_), Some((true, block))) => found.push(block),
            (Some(_), Some((false, _))) | (None, None) => {}
            (None, Some((wanted, block))) => open = Some((wanted, format!("{block}{line}\n"))),
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// A line as a shell would divide it; the guide uses no more of a shell than quotes and backslashes.
pub fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => quoted = !quoted,
            '\\' if !quoted => words.last_mut().unwrap().extend(letters.next()),
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
