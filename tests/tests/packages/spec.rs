//! The spec file packs the same files as `rpm/build`, with the same modes, owners, marks, needs and scripts.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::files::{rpm_files, rpm_folders};
use crate::{command, done, packages, root};

/// Packs by the spec what was built already: its `%prep` and `%build` are left out, all else is done.
fn by_the_spec(built: &Path, top: &Path) -> Vec<PathBuf> {
    let tree = top.join(concat!("BUILD/nacre-", env!("CARGO_PKG_VERSION")));
    fs::create_dir_all(&tree).unwrap();
    done(
        command("cp")
            .args([
                "-r",
                "rpm",
                "salt",
                "policy",
                "qubes-rpc",
                "doc",
                "LICENSE",
                "README.md",
                "CHANGELOG.md",
            ])
            .arg(&tree),
    );
    fs::create_dir(tree.join("tests")).unwrap();
    fs::copy(
        root().join("tests/emergency_restore.py"),
        tree.join("tests/emergency_restore.py"),
    )
    .unwrap();
    done(command("cp").arg("-r").arg(built).arg(&tree));
    for step in ["-bi", "-bb"] {
        done(
            command("rpmbuild")
                .args([step, "--short-circuit", "--nodeps", "--quiet"])
                .arg(format!("--define=_topdir {}", top.display()))
                // What Fedora's rpm has set and Debian's has not.
                .arg("--define=_licensedir /usr/share/licenses")
                .arg("--define=_docdir /usr/share/doc")
                .arg("--define=_libexecdir /usr/libexec")
                .arg("--define=_build_id_links none")
                .arg("--define=_binary_payload w1.gzdio")
                .arg("rpm/nacre.spec"),
        );
    }
    let mut packages = crate::files_in(&top.join("RPMS/x86_64"));
    packages.sort();
    packages
}

#[test]
fn the_spec_is_whole_and_its_version_is_the_programs() {
    if !crate::is_there("rpmspec") {
        nacre_tests::skip!(
            "the_spec_is_whole_and_its_version_is_the_programs",
            "there is no rpmspec"
        );
    }
    let names = done(command("rpmspec").args([
        "--query",
        "--builtrpms",
        "--queryformat",
        "%{NAME} %{VERSION}\n",
        "rpm/nacre.spec",
    ]));
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        names,
        [
            format!("nacre-dom0 {version}"),
            format!("nacre-helper {version}")
        ]
    );
}

/// The folders that a script takes away with the package, in its order.
fn swept(script: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("rpm/scriptlets").join(script)).unwrap();
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| line.starts_with('/'));
    lines
        .map(|line| line.trim_end_matches(['\\', ';', ' ']))
        .map(|line| line.trim_end_matches("; do").to_owned())
        .collect()
}

#[test]
fn the_spec_packs_what_the_build_command_packs() {
    let packages = packages!("the_spec_packs_what_the_build_command_packs");
    let top = TempDir::new().unwrap();
    let by_spec = by_the_spec(&packages.built(), top.path());
    assert_eq!(by_spec.len(), 2, "{by_spec:?}");
    for (spec, ours) in by_spec.iter().zip([packages.dom0(), packages.helper()]) {
        assert_eq!(rpm_files(spec), rpm_files(&ours));
        // What rpm removes with the one, the script removes with the other, inner folders before outer ones.
        let script = if ours == packages.dom0() {
            "postun.sh"
        } else {
            "postun-helper.sh"
        };
        let mut folders = swept(script);
        let inner_first = |pair: &[String]| !pair[1].starts_with(&format!("{}/", pair[0]));
        assert!(folders.windows(2).all(inner_first), "{folders:?}");
        folders.sort();
        assert_eq!(folders, rpm_folders(spec));
        for what in ["--conflicts", "--recommends", "--scripts"] {
            let asked = |package: &Path| {
                let text = done(
                    command("rpm")
                        .args(["--query", "--package", what])
                        .arg(package),
                );
                let mut lines: Vec<String> = text
                    .lines()
                    .map(|line| line.trim().replace(" (using /bin/sh)", ""))
                    // rpm itself asks for users and groups that own files, some releases do and some do not.
                    .filter(|line| !line.is_empty() && !line.starts_with("group("))
                    .collect();
                lines.sort();
                lines
            };
            assert_eq!(asked(spec), asked(&ours), "{what}");
        }
    }
}
