//! The guide: what it tells people to type is what the program understands, its settings are settings, its links lead somewhere.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use nacre::cli::Early;
use nacre::entry::understand;
use tempfile::TempDir;

/// Targets that the pages name; what stands in their own ini.
const TARGETS: &str = "[target nas]\ndest = qubes-ssh://sys-backup:backup@nas.lan/srv/backup/laptop\n\
                       [target usb]\ndest = qubes-usb://sys-backup/1234-ABCD/laptop\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../doc/guide")
}

/// Name and text of every page.
fn pages() -> Vec<(String, String)> {
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
fn blocks(text: &str, language: &str) -> Vec<String> {
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
fn words(line: &str) -> Vec<String> {
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

/// Why the program does not understand a command, if it does not.
fn misunderstood(line: &str, ini: &str) -> Option<String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("nacre.ini");
    fs::write(&path, ini).unwrap();
    let mut arguments: Vec<OsString> = words(line).into_iter().map(OsString::from).collect();
    if !line.starts_with("nacre version") {
        arguments.push(format!("--config={}", path.display()).into());
    }
    match understand(arguments) {
        Ok(_) => None,
        Err(Early::Usage(error)) if error.what.contains("is not in this release") => None,
        Err(Early::Usage(error)) => Some(error.to_string()),
        Err(Early::Parser(text) | Early::Help(text) | Early::Show(text)) => Some(text),
    }
}

#[test]
fn every_command_of_the_guide_is_understood() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (name, text) in pages() {
        for block in blocks(&text, "sh") {
            for line in block.lines() {
                let line = line.strip_prefix("sudo ").unwrap_or(line);
                if !line.starts_with("nacre ") {
                    continue;
                }
                seen += 1;
                // A page that says how to make the settings means them from then on.
                let ini = blocks(&text, "ini").concat();
                let ini = if ini.contains("[target") {
                    ini
                } else {
                    TARGETS.to_owned()
                };
                if let Some(why) = misunderstood(line, &ini) {
                    wrong.push(format!("{name}: {line}\n    {why}"));
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} commands were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(misunderstood("nacre lits --dest=nas", TARGETS).is_some());
    assert!(misunderstood("nacre list --dest=nowhere", TARGETS).is_some());
}

#[test]
fn all_settings_of_the_guide_are_settings() {
    let mut seen = 0;
    for (name, text) in pages() {
        for ini in blocks(&text, "ini") {
            seen += 1;
            let why = misunderstood("nacre list --dest=file:/x", &ini);
            assert!(why.is_none(), "{name}: {why:?}");
        }
    }
    assert!(seen >= 2, "{seen}");
}

#[test]
fn every_page_is_reached_and_every_link_leads_somewhere() {
    let pages = pages();
    let index = &pages
        .iter()
        .find(|(name, _)| name == "README.md")
        .unwrap()
        .1;
    for (name, text) in &pages {
        assert!(
            name == "README.md" || index.contains(&format!("({name})")),
            "{name}"
        );
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            assert!(folder().join(target).is_file(), "{name}: {target}");
        }
    }
}
