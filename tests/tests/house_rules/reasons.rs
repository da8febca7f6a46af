//! Every direct dependency is there for a reason that is written down.

use std::collections::BTreeSet;

use crate::{nothing_found, root};

/// Keys of the `[workspace.dependencies]` table, crates of ours left out.
fn workspace_dependencies(manifest: &str) -> BTreeSet<String> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .filter(|(_, value)| !value.contains("path ="))
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| !name.starts_with('#'))
        .collect()
}

/// Names in the lines `#   name: why` of deny.toml.
fn reasons(deny: &str) -> BTreeSet<String> {
    deny.lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, why)| !name.contains(' ') && why.len() > 10)
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_dependency_has_its_reason() {
    let wanted = workspace_dependencies(&text("Cargo.toml"));
    let given = reasons(&text("deny.toml"));
    assert!(
        wanted.contains("blake3"),
        "the manifest was read: {wanted:?}"
    );
    let missing: Vec<String> = wanted.difference(&given).cloned().collect();
    nothing_found(
        "dependencies without a line `#   NAME: WHY` in deny.toml",
        &missing,
    );
    let stale: Vec<String> = given.difference(&wanted).cloned().collect();
    nothing_found("reasons in deny.toml for what is no dependency", &stale);
}

#[test]
fn members_take_their_dependencies_from_the_workspace() {
    let members = [
        "dom0-tool",
        "dom0-tool/core",
        "dom0-tool/sys",
        "qubes-rpc/wire",
        "backupvm-helper",
        "tests",
    ];
    let mut findings = Vec::new();
    for member in members {
        let manifest = text(&format!("{member}/Cargo.toml"));
        let mut inside = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                inside = line.ends_with("dependencies]");
            } else if inside
                && line.contains('=')
                && !line.contains("workspace = true")
                && !line.starts_with('#')
            {
                findings.push(format!("{member}: {line}"));
            }
        }
    }
    nothing_found(
        "dependencies past the workspace's table, where the reasons are",
        &findings,
    );
}
