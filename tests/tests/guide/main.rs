//! The guide: what it tells people to type is what the program understands, its settings are settings, its links lead somewhere.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::fs;

use nacre::cli::Early;
use nacre::entry::understand;
use tempfile::TempDir;

mod pages;
mod walk;

use pages::{blocks, folder, pages, words};

/// Targets that the pages name; what stands in their own ini.
const TARGETS: &str = "[target nas]\ndest = qubes-ssh://sys-backup:backup@nas.lan/srv/backup/laptop\n\
                       [target usb]\ndest = qubes-usb://sys-backup/1234-ABCD/laptop\n";

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
