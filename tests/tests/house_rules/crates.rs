//! Which crate may depend on which, read from `cargo metadata`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{cargo, nothing_found, output_of};

/// Crates of ours, and exactly which of them each may depend on (development dependencies aside).
const OURS: &[(&str, &[&str])] = &[
    ("nacre-core", &[]),
    ("nacre-sys", &[]),
    ("nacre-wire", &[]),
    ("nacre-helper", &["nacre-wire"]),
    ("nacre", &["nacre-core", "nacre-sys", "nacre-wire"]),
    (
        "nacre-tests",
        &[
            "nacre",
            "nacre-core",
            "nacre-helper",
            "nacre-sys",
            "nacre-wire",
        ],
    ),
];

/// Crates that read foreign bytes do it with readers of their own.
const WITHOUT_SERDE: &[&str] = &["nacre-core", "nacre-wire", "nacre-helper", "nacre-sys"];

/// The most crates that may stand behind the helper, itself counted.
const HELPER_CRATES: usize = 15;

/// Direct dependencies of every workspace member: (name, kind), where a normal dependency's kind is "".
fn direct() -> BTreeMap<String, Vec<(String, String)>> {
    let text = output_of(
        &cargo(),
        &["metadata", "--no-deps", "--format-version", "1"],
    );
    let metadata: Value = serde_json::from_str(&text).expect("cargo metadata in JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let pairs = dependencies
                .iter()
                .map(|d| (text_of(&d["name"]), text_of(&d["kind"])))
                .collect();
            (text_of(&package["name"]), pairs)
        })
        .collect()
}

/// Names of all crates in the tree of normal, non-macro dependencies of a crate.
fn tree(package: &str) -> Vec<String> {
    let edges = "normal,no-proc-macro";
    let text = output_of(
        &cargo(),
        &["tree", "-p", package, "-e", edges, "--prefix", "none"],
    );
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn crates_depend_only_on_the_crates_the_design_lets_them_use() {
    let direct = direct();
    let mut findings = Vec::new();
    for (name, dependencies) in &direct {
        let Some((_, allowed)) = OURS.iter().find(|(ours, _)| ours == name) else {
            findings.push(format!("{name}: has no row in the table"));
            continue;
        };
        for (dependency, kind) in dependencies {
            let ours = OURS.iter().any(|(ours, _)| ours == dependency);
            if ours && kind.is_empty() && !allowed.contains(&dependency.as_str()) {
                findings.push(format!("{name} may not depend on {dependency}"));
            }
        }
    }
    assert_eq!(
        direct.len(),
        OURS.len(),
        "every crate of the table is a member"
    );
    nothing_found("crate boundaries", &findings);
}

#[test]
fn foreign_bytes_are_not_read_by_serde() {
    let findings: Vec<String> = WITHOUT_SERDE
        .iter()
        .flat_map(|package| tree(package).into_iter().map(move |name| (package, name)))
        .filter(|(_, name)| name.starts_with("serde"))
        .map(|(package, name)| format!("{package} depends on {name}"))
        .collect();
    nothing_found("serde near foreign bytes", &findings);
}

#[test]
fn the_wire_depends_on_nothing() {
    assert_eq!(tree("nacre-wire"), ["nacre-wire"]);
}

#[test]
fn the_helper_stays_small_enough_to_audit() {
    let names = tree("nacre-helper");
    assert!(
        names.contains(&"nacre-wire".to_owned()),
        "the tree was read: {names:?}"
    );
    assert!(
        names.len() < HELPER_CRATES,
        "{} crates: {names:?}",
        names.len()
    );
}

#[test]
fn the_helper_knows_no_cryptography() {
    let crypto = [
        "aead",
        "aes",
        "argon2",
        "blake3",
        "chacha20",
        "chacha20poly1305",
        "hkdf",
        "hmac",
        "poly1305",
        "ring",
        "sha2",
    ];
    let findings: Vec<String> = tree("nacre-helper")
        .into_iter()
        .filter(|name| crypto.contains(&name.as_str()))
        .collect();
    nothing_found("cryptography in the helper", &findings);
}
