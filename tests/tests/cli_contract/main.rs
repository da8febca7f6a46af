//! The command line's contract: help, errors and exit codes, one golden file for each behaviour.
//!
//! A golden file begins with `< ` lines, which become `nacre.ini` in an empty folder, and a `$ nacre …` line, which is
//! run there; the rest is what must come out. `SNAPSHOTS=overwrite` writes the files anew: read the difference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nacre_tests::nacre_program;
use snapbox::assert::DEFAULT_ACTION_ENV;
use snapbox::{Assert, Data};

fn golden_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli_contract/golden");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 30, "only {} golden files", files.len());
    files
}

/// Words divided by spaces; single quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// Runs what a golden file asks for, and writes down what came out in the file's own form.
fn transcript(golden: &str) -> String {
    let ini: Vec<&str> = golden
        .lines()
        .filter_map(|line| line.strip_prefix("< "))
        .collect();
    let command = golden.lines().find_map(|line| line.strip_prefix("$ nacre"));
    let command = command.expect("a line that begins with `$ nacre`");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("nacre.ini"), ini.join("\n")).unwrap();
    let output = Command::new(nacre_program())
        .args(words(command))
        .current_dir(folder.path())
        .env_clear()
        .env("TZ", "UTC")
        .env("COLUMNS", "100")
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut text: String = ini.iter().map(|line| format!("< {line}\n")).collect();
    text.push_str(&format!("$ nacre{command}\n"));
    text.push_str(&format!("exit {}\n", output.status.code().unwrap_or(-1)));
    for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
        if !bytes.is_empty() {
            text.push_str(&format!(
                "--- {name}\n{}",
                String::from_utf8(bytes).unwrap()
            ));
        }
    }
    text
}

#[test]
fn help_errors_and_exit_codes_are_as_promised() {
    for path in golden_files() {
        let golden = fs::read_to_string(&path).unwrap();
        Assert::new()
            .action_env(DEFAULT_ACTION_ENV)
            .eq(transcript(&golden), Data::read_from(&path, None).raw());
    }
}

#[test]
fn every_command_has_its_help_and_no_option_lacks_its_explanation() {
    let definition = nacre::cli::definition();
    let golden = golden_files();
    for command in definition.get_subcommands() {
        let name = format!("help_{}.txt", command.get_name());
        assert!(golden.iter().any(|path| path.ends_with(&name)), "{name}");
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{} {argument}",
                command.get_name()
            );
        }
    }
}
