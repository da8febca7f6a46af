//! doc/RELIABILITY.md names tests that exist, and leaves out no rung of the ladder.

use crate::{nothing_found, root};

/// Rungs of the ladder.
const RUNGS: usize = 10;

/// The cells of every row of every table.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let cells = |line: &str| line.trim_matches('|').split('|').count() > 2;
    text.lines()
        .filter(move |line| line.starts_with('|') && cells(line))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// The one word between backticks that a cell is.
fn quoted(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

#[test]
fn every_promise_has_a_test_that_is_there_and_every_rung_stands() {
    let text = std::fs::read_to_string(root().join("doc/RELIABILITY.md")).unwrap_or_default();
    let mut findings = Vec::new();
    let mut rungs = Vec::new();
    let mut tests = 0;
    for row in rows(&text) {
        let [.., test, file] = row.as_slice() else {
            continue;
        };
        let (Some(test), Some(file)) = (quoted(test), quoted(file)) else {
            if !test.starts_with("---") && *file != "file" {
                findings.push(format!("a row without a test and its file: {row:?}"));
            }
            continue;
        };
        tests += 1;
        let code = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        if !code.contains(&format!("fn {test}(")) {
            findings.push(format!("{file} has no test {test}"));
        }
        rungs.extend(row.first().and_then(|cell| cell.parse::<usize>().ok()));
    }
    let all: Vec<usize> = (1..=RUNGS).collect();
    if rungs != all {
        findings.push(format!("the rungs are {rungs:?}"));
    }
    assert!(tests > RUNGS, "only {tests} tests are named");
    nothing_found("what doc/RELIABILITY.md says and is not so", &findings);
}
