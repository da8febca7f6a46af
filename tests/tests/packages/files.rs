//! What lies where, with which mode, owner and mark.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::{command, done, packages};

/// Files without folders: mode and type as `ls` shows them, owner, group, and rpm's marks (c for configuration, n for one that is not replaced).
type Files = BTreeMap<String, String>;

pub(crate) fn rpm_files(package: &Path) -> Files {
    let mut files = entries(package);
    files.retain(|_, how| !how.starts_with('d'));
    files
}

/// The folders that a package owns.
pub(crate) fn rpm_folders(package: &Path) -> Vec<String> {
    let entries = entries(package).into_iter();
    let folders = entries.filter(|(_, how)| how == "drwxr-xr-x root:root");
    folders.map(|(path, _)| path).collect()
}

fn entries(package: &Path) -> Files {
    let format =
        "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags}\n]";
    let mut rpm = command("rpm");
    let text = done(
        rpm.args(["--query", "--package", "--queryformat", format])
            .arg(package),
    );
    text.lines()
        .map(|line| {
            let (path, rest) = line.split_once(' ').expect("a path and more");
            // A builder may pack pages; documents are documents either way.
            let path = path.strip_suffix(".gz").unwrap_or(path);
            (
                path.to_owned(),
                rest.trim_end_matches([' ', 'd', 'l']).to_owned(),
            )
        })
        .collect()
}

fn expect(files: &Files, wanted: &[(&str, &str)]) {
    for (path, how) in wanted {
        assert_eq!(
            files.get(*path).map(String::as_str),
            Some(*how),
            "{path}: {files:#?}"
        );
    }
}

#[test]
fn dom0_gets_the_tool_and_all_that_belongs_to_it() {
    let packages = packages!("dom0_gets_the_tool_and_all_that_belongs_to_it");
    let files = rpm_files(&packages.dom0());
    expect(
        &files,
        &[
            ("/usr/bin/nacre", "-rwxr-xr-x root:root"),
            ("/usr/lib/qubes/nacre-helper", "-rwxr-xr-x root:root"),
            ("/usr/libexec/nacre/notify", "-rwxr-xr-x root:root"),
            (
                "/usr/share/nacre/emergency_restore.py",
                "-rwxr-xr-x root:root",
            ),
            (
                "/usr/lib/systemd/system/nacre-backup.service",
                "-rw-r--r-- root:root",
            ),
            (
                "/usr/lib/systemd/system/nacre-backup.timer",
                "-rw-r--r-- root:root",
            ),
            (
                "/usr/lib/systemd/system/nacre-awake.service",
                "-rw-r--r-- root:root",
            ),
            (
                "/usr/lib/systemd/system/nacre-notify@.service",
                "-rw-r--r-- root:root",
            ),
            ("/etc/nacre/nacre.ini", "-rw-r--r-- root:root cn"),
            (
                "/etc/qubes/policy.d/80-nacre.policy",
                "-rw-rw-r-- root:qubes cn",
            ),
            ("/srv/salt/nacre/dom0.sls", "-rw-r--r-- root:root"),
            ("/srv/salt/nacre/files/nacre-helper", "-rw-r--r-- root:root"),
            ("/srv/pillar/base/nacre/init.sls", "-rw-r--r-- root:root cn"),
            ("/usr/share/man/man5/nacre.ini.5", "-rw-r--r-- root:root"),
            (
                "/usr/share/bash-completion/completions/nacre",
                "-rw-r--r-- root:root",
            ),
            (
                "/usr/share/zsh/site-functions/_nacre",
                "-rw-r--r-- root:root",
            ),
            (
                "/usr/share/fish/vendor_completions.d/nacre.fish",
                "-rw-r--r-- root:root",
            ),
            (
                "/usr/share/doc/nacre-dom0/FORMAT.md",
                "-rw-r--r-- root:root",
            ),
            (
                "/usr/share/licenses/nacre-dom0/LICENSE",
                "-rw-r--r-- root:root",
            ),
        ],
    );
    for command in nacre::cli::definition().get_subcommands() {
        let page = format!("/usr/share/man/man1/nacre-{}.1", command.get_name());
        assert!(files.contains_key(&page), "{page}");
    }
    let marked: Vec<&String> = files
        .iter()
        .filter(|(_, how)| how.ends_with(" cn"))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(marked.len(), 4, "nothing else is configuration: {marked:?}");
    assert!(
        !files
            .keys()
            .any(|path| path.starts_with("/etc/qubes-rpc") || path.starts_with("/var")),
        "{files:#?}"
    );
}

#[test]
fn a_template_gets_the_helper_and_its_service_and_nothing_of_dom0() {
    let packages = packages!("a_template_gets_the_helper_and_its_service_and_nothing_of_dom0");
    let rpm = rpm_files(&packages.helper());
    expect(
        &rpm,
        &[
            ("/usr/lib/qubes/nacre-helper", "-rwxr-xr-x root:root"),
            ("/usr/bin/nacre-helper", "-rwxr-xr-x root:root"),
            ("/etc/qubes-rpc/nacre.Store", "-rwxr-xr-x root:root"),
            (
                "/etc/qubes/rpc-config/nacre.Store+usb",
                "-rw-r--r-- root:root",
            ),
            ("/usr/share/man/man8/nacre-helper.8", "-rw-r--r-- root:root"),
            ("/usr/share/man/man8/nacre.Store.8", "-rw-r--r-- root:root"),
        ],
    );
    assert!(
        !rpm.keys().any(|path| path.contains("policy")
            || path.starts_with("/srv")
            || path.ends_with("/nacre")),
        "{rpm:#?}"
    );

    let listed = done(
        Command::new("dpkg-deb")
            .arg("--contents")
            .arg(packages.deb()),
    );
    for (path, how) in &rpm {
        // Debian has its own place for the licence, and packs what is in its folder of documents and the pages.
        if how.starts_with('d') || path.contains("/licenses/") {
            continue;
        }
        let mode = how.split(' ').next().unwrap();
        let is_it = |line: &str| {
            let packed = format!(".{path}.gz");
            let name = line.split_whitespace().nth(5).unwrap_or_default();
            line.starts_with(mode)
                && (line.contains(" root/root ") || line.contains(" 0/0 "))
                && (name == format!(".{path}") || name == packed)
        };
        assert!(listed.lines().any(is_it), "{path} {mode}: {listed}");
    }
    let marked = done(
        Command::new("dpkg-deb")
            .arg("--info")
            .arg(packages.deb())
            .arg("conffiles"),
    );
    assert_eq!(
        marked.trim(),
        "/etc/qubes-rpc/nacre.Store\n/etc/qubes/rpc-config/nacre.Store+usb"
    );
}

#[test]
fn the_packages_ask_for_what_they_need_and_for_no_library() {
    let packages = packages!("the_packages_ask_for_what_they_need_and_for_no_library");
    let asked = |package: &Path, what: &str| {
        done(
            command("rpm")
                .args(["--query", "--package", what])
                .arg(package),
        )
    };
    let dom0 = asked(&packages.dom0(), "--requires");
    for wanted in [
        "lvm2",
        "qubes-core-dom0 >= 4.2",
        "qubes-core-qrexec-dom0",
        "/bin/sh",
    ] {
        assert!(dom0.lines().any(|line| line == wanted), "{wanted}: {dom0}");
    }
    let helper = asked(&packages.helper(), "--requires");
    for needs in [dom0, helper] {
        assert!(!needs.contains(".so"), "{needs}");
    }
    // The helper's service lets qubes in: it and dom0's package keep each other out.
    assert!(asked(&packages.dom0(), "--conflicts").contains("nacre-helper"));
    assert!(asked(&packages.helper(), "--conflicts").contains("nacre-dom0"));
}
