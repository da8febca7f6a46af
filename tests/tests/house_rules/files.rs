//! What stands in the files: unsafe code, length, names of the machine somebody worked on.

use crate::tokens::tokens;
use crate::{nothing_found, project_files, root, rust_files};

/// No Rust file is longer.
const LONGEST: usize = 700;
/// Half of the Rust files are shorter.
const MEDIAN: usize = 250;

#[test]
fn unsafe_code_stands_in_sys_alone() {
    let findings: Vec<String> = rust_files("")
        .into_iter()
        .filter(|(path, _)| !path.starts_with("dom0-tool/sys"))
        .filter(|(_, text)| tokens(text).iter().any(|token| token == "unsafe"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    nothing_found("unsafe outside dom0-tool/sys", &findings);
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let mut lengths: Vec<(usize, String)> = rust_files("")
        .into_iter()
        .map(|(path, text)| (text.lines().count(), path.display().to_string()))
        .collect();
    lengths.sort();
    let median = lengths[lengths.len() / 2].0;
    let findings: Vec<String> = lengths
        .iter()
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    nothing_found("files too long", &findings);
    assert!(median < MEDIAN, "the median file has {median} lines");
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    // Put together here, so that this file does not find itself.
    let private = [
        ["/wo", "rk/"].concat(),
        ["/tmp/", "wt"].concat(),
        ["/root", "/."].concat(),
        ["sha", "red/bench"].concat(),
        ["sha", "red/lab"].concat(),
        ["DESIGN", ".md"].concat(),
        ["RULES", ".md"].concat(),
        ["arti", "factory"].concat(),
    ];
    let mut findings = Vec::new();
    for path in project_files() {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else {
            continue; // Binary test vectors.
        };
        for (index, line) in text.lines().enumerate() {
            if private.iter().any(|word| line.contains(word.as_str())) {
                findings.push(format!("{}:{}: {}", path.display(), index + 1, line.trim()));
            }
        }
    }
    nothing_found("names of one machine", &findings);
}

/// What stands between backticks in a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn documents_name_files_that_exist() {
    let documents = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "doc/THREATS.md",
        "doc/LOCKING.md",
    ];
    let roots = [
        "dom0-tool/",
        "qubes-rpc/",
        "backupvm-helper/",
        "tests/",
        "benches/",
        "doc/",
    ];
    let mut findings = Vec::new();
    for document in documents {
        let text = std::fs::read_to_string(root().join(document)).unwrap_or_default();
        if text.is_empty() {
            findings.push(format!("{document} is missing"));
        }
        for name in quoted(&text) {
            let path = name.split_whitespace().next().unwrap_or_default();
            if roots.iter().any(|start| path.starts_with(start)) && !root().join(path).exists() {
                findings.push(format!("{document} names {path}"));
            }
        }
    }
    nothing_found(
        "files that documents name and that are not there",
        &findings,
    );
}
