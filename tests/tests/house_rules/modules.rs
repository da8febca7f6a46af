//! Which module of the program may use which: the `crate::` paths in `dom0-tool/src`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::tokens::{Token, tokens};
use crate::{nothing_found, rust_files};

/// What a module may use.
struct Rule {
    /// Modules of the program.
    modules: &'static [&'static str],
    /// Crates of ours.
    crates: &'static [&'static str],
}

/// The part of nacre-core that is words, not machinery: ids, names, epochs, and where randomness comes from.
const NEWTYPES: &[&str] = &["ids", "object_name", "entropy", "settings"];

/// `core+` stands for the whole of nacre-core, `core` for its newtypes only.
const RULES: &[(&str, Rule)] = &[
    (
        "joints",
        Rule {
            modules: &[],
            crates: &["core"],
        },
    ),
    (
        "cli",
        Rule {
            modules: &[],
            crates: &["core"],
        },
    ),
    (
        "config",
        Rule {
            modules: &[],
            crates: &["core"],
        },
    ),
    (
        "source",
        Rule {
            modules: &["joints"],
            crates: &["core", "sys"],
        },
    ),
    (
        "store",
        Rule {
            modules: &["joints"],
            crates: &["core", "wire"],
        },
    ),
    // Opens, reads and commits an archive for the three below, so that none of them needs another.
    (
        "archive",
        Rule {
            modules: &["joints"],
            crates: &["core+"],
        },
    ),
    (
        "backup",
        Rule {
            modules: &["joints", "archive"],
            crates: &["core+"],
        },
    ),
    (
        "restore",
        Rule {
            modules: &["joints", "archive"],
            crates: &["core+"],
        },
    ),
    (
        "maintain",
        Rule {
            modules: &["joints", "archive"],
            crates: &["core+"],
        },
    ),
    (
        "qubes",
        Rule {
            modules: &["joints", "backup", "restore"],
            crates: &["core"],
        },
    ),
    // The real QubeRegistry.
    (
        "admin",
        Rule {
            modules: &["joints"],
            crates: &["core"],
        },
    ),
    // Starts the backup qube of a run and gives it the disk.
    (
        "backup_qube",
        Rule {
            modules: &["joints", "state"],
            crates: &[],
        },
    ),
    // The program's own implementations of Monitor, KeyPrompt and StateDir.
    (
        "clock",
        Rule {
            modules: &["joints"],
            crates: &["core"],
        },
    ),
    (
        "report",
        Rule {
            modules: &["joints"],
            crates: &["core"],
        },
    ),
    (
        "unlock",
        Rule {
            modules: &["joints"],
            // The text of a key file is part of the format.
            crates: &["core+"],
        },
    ),
    (
        "state",
        Rule {
            modules: &["joints"],
            crates: &["core"],
        },
    ),
];

/// Modules that put the others together, and may therefore use every one of them.
const GLUE: &[&str] = &["app", "entry", "lib", "main"];

/// Crates of ours, as they are named in paths.
const OUR_CRATES: &[(&str, &str)] = &[
    ("nacre_core", "core"),
    ("nacre_sys", "sys"),
    ("nacre_wire", "wire"),
];

#[test]
fn modules_use_only_what_the_design_lets_them_use() {
    let rules: BTreeMap<&str, &Rule> = RULES.iter().map(|(name, rule)| (*name, rule)).collect();
    let mut findings = Vec::new();
    let files = rust_files("dom0-tool/src");
    assert!(!files.is_empty(), "dom0-tool/src holds no Rust file");
    for (path, text) in files {
        let place = module_path(&path);
        let Some(top) = place.first().map(String::as_str) else {
            continue;
        };
        if GLUE.contains(&top) {
            continue;
        }
        let Some(rule) = rules.get(top) else {
            findings.push(format!(
                "{}: module {top} has no row in the table",
                path.display()
            ));
            continue;
        };
        for used in uses(&tokens(&text), &place) {
            if !is_allowed(rule, top, &used) {
                findings.push(format!(
                    "{}: {top} may not use {}",
                    path.display(),
                    used.join("::")
                ));
            }
        }
    }
    findings.dedup();
    nothing_found("module boundaries", &findings);
}

/// `dom0-tool/src/store/client.rs` is `[store, client]`; `mod.rs` is its folder.
fn module_path(path: &Path) -> Vec<String> {
    let inner = path
        .strip_prefix("dom0-tool/src")
        .unwrap_or(path)
        .with_extension("");
    let mut place: Vec<String> = inner
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if place.last().is_some_and(|last| last == "mod") {
        place.pop();
    }
    place
}

fn is_allowed(rule: &Rule, top: &str, used: &[Token]) -> bool {
    let second = used.get(1).map_or("*", String::as_str);
    if used[0] == "crate" {
        return second == top || rule.modules.contains(&second);
    }
    let Some((_, ours)) = OUR_CRATES.iter().find(|(name, _)| *name == used[0]) else {
        return true;
    };
    let whole = format!("{ours}+");
    rule.crates.iter().any(|c| *c == whole)
        || rule.crates.contains(ours) && (*ours != "core" || NEWTYPES.contains(&second))
}

/// Two-segment heads of all paths that leave the file's module: `[crate, store]`, `[nacre_core, ids]`; `super` is resolved.
fn uses(code: &[Token], file: &[String]) -> Vec<Vec<Token>> {
    let mut found = Vec::new();
    // Names of the inline modules that are open at this token, and the brace depth at which each closes.
    let mut inline: Vec<(Token, usize)> = Vec::new();
    let mut depth = 0;
    for at in 0..code.len() {
        match code[at].as_str() {
            "{" => {
                depth += 1;
                if at >= 2 && code[at - 2] == "mod" {
                    inline.push((code[at - 1].clone(), depth));
                }
            }
            "}" => {
                inline.retain(|(_, opened)| *opened < depth);
                depth = depth.saturating_sub(1);
            }
            "crate" if starts_path(code, at) => heads(code, at, "crate", &mut found),
            "super" if starts_path(code, at) => {
                let mut place: Vec<&str> = file.iter().map(String::as_str).collect();
                place.extend(inline.iter().map(|(name, _)| name.as_str()));
                let mut last = at;
                place.pop();
                while code.get(last + 2).is_some_and(|t| t == "super") {
                    last += 2;
                    place.pop();
                }
                match place.first() {
                    Some(top) => found.push(vec!["crate".to_owned(), (*top).to_owned()]),
                    None => heads(code, last, "crate", &mut found),
                }
            }
            name if OUR_CRATES.iter().any(|(ours, _)| *ours == name) && starts_path(code, at) => {
                heads(code, at, name, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// Whether the name at `at` begins a path (and is not, as in `pub(crate)`, something else).
fn starts_path(code: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |i| code[i].as_str());
    before != "::" && code.get(at + 1).is_some_and(|t| t == "::")
}

/// Pushes `[root, X]` for `root::X` and for every X of `root::{X, …}`.
fn heads(code: &[Token], at: usize, root: &str, found: &mut Vec<Vec<Token>>) {
    let Some(first) = code.get(at + 2) else {
        return;
    };
    if first != "{" {
        found.push(vec![root.to_owned(), first.clone()]);
        return;
    }
    let mut depth = 0;
    let mut head_follows = true;
    for token in &code[at + 2..] {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => head_follows = true,
            name if depth == 1 && head_follows => {
                found.push(vec![root.to_owned(), name.to_owned()]);
                head_follows = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

#[cfg(test)]
fn heads_in(text: &str, file: &[&str]) -> Vec<String> {
    let file: Vec<String> = file.iter().map(|part| (*part).to_owned()).collect();
    uses(&tokens(text), &file)
        .iter()
        .map(|path| path.join("::"))
        .collect()
}

#[test]
fn every_way_to_write_a_path_is_seen() {
    assert_eq!(
        heads_in(
            "use crate::{joints::{Store, Clock}, store}; fn f(x: crate::cli::Args) {}",
            &["backup"]
        ),
        ["crate::joints", "crate::store", "crate::cli"]
    );
    assert_eq!(
        heads_in("use super::store::Client;", &["backup"]),
        ["crate::store"]
    );
    assert_eq!(
        heads_in("use super::super::cli::Args;", &["backup", "pipe"]),
        ["crate::cli"]
    );
    assert_eq!(
        heads_in("use super::queue::Queue;", &["backup", "pipe"]),
        ["crate::backup"]
    );
    assert_eq!(
        heads_in("mod tests { use super::*; } use super::cli;", &["backup"]),
        ["crate::backup", "crate::cli"]
    );
    assert_eq!(
        heads_in("let id = nacre_core::head::Head::new();", &["cli"]),
        ["nacre_core::head"]
    );
    assert!(heads_in("pub(crate) fn f() {} pub(super) fn g() {}", &["cli"]).is_empty());
}

#[test]
fn a_crossed_boundary_is_noticed() {
    let rule = |name: &str| &RULES.iter().find(|(n, _)| *n == name).expect("a row").1;
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    assert!(!is_allowed(rule("backup"), "backup", &path("crate::cli")));
    assert!(!is_allowed(
        rule("backup"),
        "backup",
        &path("crate::restore")
    ));
    assert!(!is_allowed(
        rule("source"),
        "source",
        &path("nacre_wire::Frame")
    ));
    assert!(!is_allowed(
        rule("store"),
        "store",
        &path("nacre_core::head")
    ));
    assert!(is_allowed(
        rule("store"),
        "store",
        &path("nacre_core::object_name")
    ));
    assert!(is_allowed(
        rule("backup"),
        "backup",
        &path("nacre_core::head")
    ));
}
