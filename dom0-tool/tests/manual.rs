//! Man pages and completions are made from the command line, so they cannot miss anything; that they are made at all is tested here.

#![allow(
    clippy::expect_used,
    reason = "a test cannot go on without what it expects"
)]

#[path = "../examples/nacre-manual.rs"]
#[allow(dead_code, reason = "its `main` is for packagers")]
mod generator;

use std::fs;
use std::path::Path;

fn generate() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    generator::write(folder.path()).expect("a manual");
    folder
}

/// A page as it is read: without roff's escapes.
fn read(folder: &Path, page: &str) -> String {
    let text = fs::read_to_string(folder.join("man").join(page));
    let text = text.unwrap_or_else(|error| panic!("{page}: {error}"));
    text.replace("\\-", "-")
}

#[test]
fn every_command_has_a_page_with_all_of_its_options() {
    let folder = generate();
    let overview = read(folder.path(), "nacre.1");
    for command in nacre::cli::definition().get_subcommands() {
        let name = command.get_name();
        assert!(overview.contains(&format!("nacre-{name}(1)")), "{name}");
        let page = read(folder.path(), &format!("nacre-{name}.1"));
        for long in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("--{long}")), "{name} --{long}");
        }
    }
}

#[test]
fn every_exit_code_is_explained() {
    let folder = generate();
    let overview = read(folder.path(), "nacre.1");
    for code in ["0", "1", "2", "3", "4", "5", "130"] {
        assert!(overview.contains(&format!(".B {code}\n")), "{code}");
    }
}

#[test]
fn every_page_of_ours_that_is_referred_to_is_there() {
    let folder = generate();
    let pages = fs::read_dir(folder.path().join("man")).expect("pages");
    for entry in pages.flatten() {
        let text = fs::read_to_string(entry.path()).expect("a page");
        for reference in text.lines().filter_map(|line| line.strip_prefix(".BR ")) {
            let Some((name, rest)) = reference.split_once(" (") else {
                continue;
            };
            // Pages of other programs are those programs' business.
            if !name.starts_with("nacre") {
                continue;
            }
            let section = rest.chars().next().expect("a section");
            let page = folder.path().join(format!("man/{name}.{section}"));
            assert!(page.exists(), "{}: {reference}", entry.path().display());
        }
    }
}

#[test]
fn every_shell_gets_its_completions() {
    let folder = generate();
    for shell in ["nacre", "_nacre", "nacre.fish"] {
        let script = fs::read_to_string(folder.path().join("completions").join(shell));
        let script = script.unwrap_or_else(|error| panic!("{shell}: {error}"));
        for command in nacre::cli::definition().get_subcommands() {
            assert!(script.contains(command.get_name()), "{shell}");
        }
    }
}
