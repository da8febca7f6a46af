//! Installed into an empty root: the programs run there, and what is the user's survives upgrade and removal.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nacre_tests::skip;
use tempfile::TempDir;

use crate::{command, done, packages};

/// `rpm` on a root of its own. The scripts of the packages speak to systemd, which is not there.
fn rpm(root: &Path, arguments: &[&str], package: &Path) -> std::process::Output {
    let mut rpm = command("rpm");
    rpm.args(["--root".as_ref(), root.as_os_str()])
        .args(["--dbpath", "/var/lib/rpm", "--nodeps", "--noscripts"])
        .args(arguments)
        .arg(package);
    rpm.output().expect("rpm can be started")
}

fn must(root: &Path, arguments: &[&str], package: &Path) {
    let output = rpm(root, arguments, package);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Files of the user below a root: an archive, what dom0 remembers, a key, and settings of his own.
fn belongings(root: &Path) -> Vec<(std::path::PathBuf, &'static str)> {
    let files = [
        ("var/lib/nacre/0123/anchor", "what dom0 remembers"),
        ("etc/nacre/laptop.key", "a key"),
        (
            "etc/nacre/nacre.ini",
            "[var-global-default]\ndest = file:/mnt/x\n",
        ),
        ("home/user/archive/head/1", "an archive"),
    ];
    files.map(|(path, text)| (root.join(path), text)).to_vec()
}

fn intact(root: &Path) {
    for (path, text) in belongings(root) {
        assert_eq!(
            fs::read_to_string(&path).expect("it is there"),
            text,
            "{}",
            path.display()
        );
    }
}

#[test]
fn dom0s_package_installs_runs_upgrades_and_goes_and_leaves_what_is_the_users() {
    const NAME: &str = "dom0s_package_installs_runs_upgrades_and_goes_and_leaves_what_is_the_users";
    let packages = packages!(NAME);
    if !is_root() {
        skip!(NAME, "only root installs packages");
    }
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    must(root, &["--install"], &packages.dom0());
    let version = done(command(root.join("usr/bin/nacre").to_str().unwrap()).arg("--version"));
    assert_eq!(
        version.trim(),
        format!("nacre {}", nacre::cli::VERSION_LINE)
    );
    let helper =
        done(command(root.join("usr/lib/qubes/nacre-helper").to_str().unwrap()).arg("--version"));
    assert_eq!(
        helper.trim(),
        format!(
            "nacre-helper {} (speaks protocol 1)",
            env!("CARGO_PKG_VERSION")
        )
    );
    // The program finds the helper of its package, and both work together.
    let archive = root.join("home/archive");
    fs::create_dir(root.join("home")).unwrap();
    done(
        command(root.join("usr/bin/nacre").to_str().unwrap())
            .args(["arch-init", "--unattended", "--encrypt=off", "--config"])
            .arg(root.join("etc/nacre/nacre.ini"))
            .arg(format!("--dest=file:{}", archive.display()))
            .arg(format!(
                "--meta-dir={}",
                root.join("var/lib/nacre").display()
            ))
            .env("PATH", root.join("usr/lib/qubes")),
    );
    assert!(archive.join("header").is_dir());

    for (path, text) in belongings(root) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    must(root, &["--upgrade", "--force"], &packages.dom0());
    intact(root);
    let remove = rpm(root, &["--erase"], Path::new("nacre-dom0"));
    assert!(
        remove.status.success(),
        "{}",
        String::from_utf8_lossy(&remove.stderr)
    );
    assert!(!root.join("usr/bin/nacre").exists());
    // An older version that goes in an upgrade takes nothing away; the last one takes what is empty.
    after_removal(root, "postun.sh", "1");
    assert!(root.join("usr/share/nacre").is_dir());
    after_removal(root, "postun.sh", "0");
    let left = names_with_nacre(root);
    assert_eq!(left, ["etc/nacre", "var/lib/nacre"], "what is the user's");
    // rpm keeps settings that somebody changed under another name.
    fs::rename(
        root.join("etc/nacre/nacre.ini.rpmsave"),
        root.join("etc/nacre/nacre.ini"),
    )
    .unwrap();
    intact(root);
}

/// What rpm runs in the end. rpm itself cannot in a root without a shell, so the script is led there by rpm's variable for such roots.
fn after_removal(root: &Path, script: &str, versions_left: &str) {
    let mut sh = command("sh");
    sh.arg(Path::new("rpm/scriptlets").join(script))
        .arg(versions_left);
    done(sh.env("RPM_INSTALL_PREFIX", root));
}

/// Folders and files below `root` that are called after the program, outermost only.
fn names_with_nacre(root: &Path) -> Vec<String> {
    let mut find = command("find");
    find.arg(root).args(["-mindepth", "1", "-name", "*nacre*"]);
    let found = done(find.args(["-prune", "-printf", "%P\n"]));
    let mut names: Vec<String> = found.lines().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn the_helpers_packages_install_and_run() {
    const NAME: &str = "the_helpers_packages_install_and_run";
    let packages = packages!(NAME);
    if !is_root() {
        skip!(NAME, "only root installs packages");
    }
    let (fedora, debian) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    must(fedora.path(), &["--install"], &packages.helper());
    done(
        command("dpkg-deb")
            .arg("--extract")
            .arg(packages.deb())
            .arg(debian.path()),
    );
    for root in [fedora.path(), debian.path()] {
        let program = root.join("usr/lib/qubes/nacre-helper");
        let version = done(command(program.to_str().unwrap()).arg("--version"));
        assert!(version.starts_with("nacre-helper "), "{version}");
        let service = fs::metadata(root.join("etc/qubes-rpc/nacre.Store")).unwrap();
        assert_eq!(service.permissions().mode() & 0o7777, 0o755);
    }
    let remove = rpm(fedora.path(), &["--erase"], Path::new("nacre-helper"));
    assert!(remove.status.success(), "{remove:?}");
    after_removal(fedora.path(), "postun-helper.sh", "0");
    assert_eq!(names_with_nacre(fedora.path()), [""; 0]);
}
