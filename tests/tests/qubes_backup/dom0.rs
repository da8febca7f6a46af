//! `--dom0`: dom0's own files, as a tar archive that any tar reads.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nacre_tests::desk::{Ended, end};
use nacre_tests::mounts::FileSystem;
use nacre_tests::qubes_machine::Machine;
use nacre_tests::qubesd::Release;
use nacre_tests::skip;

use crate::machine;

/// The longest name that a file can have, in letters that are no ASCII.
fn long_name() -> String {
    "ä".repeat(120)
}

/// A dom0 with files of many kinds.
fn dom0(machine: &Machine) -> PathBuf {
    let root = machine.desk.path("dom0");
    let user = root.join("home/user");
    for folder in [
        "etc/nacre",
        "etc/qubes/policy.d",
        "home/user/.config",
        "srv",
        "var/lib",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("etc/nacre/nacre.ini"), "[var-global-default]\n").unwrap();
    fs::copy(machine.desk.path("key"), root.join("etc/nacre/backup.key")).unwrap();
    fs::write(
        root.join("etc/qubes/policy.d/30-user.policy"),
        "* * @anyvm @anyvm deny\n",
    )
    .unwrap();
    fs::write(root.join("var/lib/other"), "not saved").unwrap();
    let mut content = vec![0; 1_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    fs::write(user.join("large"), &content).unwrap();
    fs::write(user.join("empty"), "").unwrap();
    fs::write(user.join("exactly one block"), vec![b'x'; 512]).unwrap();
    fs::write(user.join(long_name()), "a long name").unwrap();
    fs::set_permissions(user.join("large"), Permissions::from_mode(0o4750)).unwrap();
    fs::hard_link(user.join("large"), user.join("a second name")).unwrap();
    symlink("../user/large", user.join("link")).unwrap();
    let sparse = File::create(user.join("sparse")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    sparse.write_all_at(b"end", 4_999_997).unwrap();
    let name = c"user.remark";
    rustix::fs::setxattr(
        user.join("empty"),
        name,
        b"an attribute",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    root
}

fn run(machine: &Machine, root: &Path, arguments: &[&str]) -> Ended {
    end(machine.nacre(arguments).env("NACRE_DOM0_ROOT", root))
}

/// Bytes that the newest session stored of the files.
fn stored(machine: &Machine) -> u64 {
    let listed = machine.done(&["list", "--session=newest", "--json"]).out;
    let line = listed
        .lines()
        .find(|line| line.contains("qubes:dom0"))
        .unwrap();
    let row: serde_json::Value = serde_json::from_str(line).unwrap();
    row["stored"].as_u64().unwrap()
}

#[test]
fn dom0s_files_come_back_by_any_tar_and_unchanged_ones_cost_nothing() {
    let test = "dom0s_files_come_back_by_any_tar_and_unchanged_ones_cost_nothing";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let root = dom0(&machine);
    let ended = run(&machine, &root, &["backup", "--dom0"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let said = format!("{}{}", ended.out, ended.err);
    assert!(
        said.contains("/etc/nacre/backup.key (a key) is left out"),
        "{said}"
    );
    let first = stored(&machine);
    assert!(first > 1_000_000, "{first}");

    let tar = machine.desk.path("dom0.tar");
    fs::write(&tar, machine.restored("qubes:dom0", "newest")).unwrap();
    let back = machine.desk.path("back");
    fs::create_dir(&back).unwrap();
    let mut extract = Command::new("tar");
    let extract = extract.args([
        "--extract",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "--preserve-permissions",
    ]);
    let ended = end(extract.arg("-C").arg(&back).arg("-f").arg(&tar));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let compared = end(Command::new("diff")
        .args(["-r", "--no-dereference"])
        .arg(&root)
        .arg(&back));
    let lines: Vec<&str> = compared.out.lines().collect();
    assert_eq!(lines.len(), 2, "{compared:?}");
    assert!(
        lines[0].contains("backup.key") && lines[1].contains("var"),
        "{lines:?}"
    );
    for name in ["large", "empty", "link", "sparse", &long_name()] {
        let of = |base: &Path| {
            let at = fs::symlink_metadata(base.join("home/user").join(name)).unwrap();
            (at.mode(), at.uid(), at.gid(), at.mtime())
        };
        assert_eq!(of(&root), of(&back), "{name}");
    }
    let large = fs::metadata(back.join("home/user/large")).unwrap();
    assert_eq!(large.nlink(), 2);
    let mut remark = [0; 64];
    let length = rustix::fs::getxattr(
        back.join("home/user/empty"),
        c"user.remark",
        &mut remark[..],
    )
    .unwrap();
    assert_eq!(&remark[..length], b"an attribute");
    // Another reader, which is stricter with headers.
    let check = "import sys, tarfile; print(len(tarfile.open(sys.argv[1]).getnames()))";
    let python = end(Command::new("python3").args(["-c", check]).arg(&tar));
    assert_eq!(python.out.trim(), "16", "{python:?}");

    // The same again: nothing. A file before all others, which moves them: hardly more than itself.
    run(&machine, &root, &["backup", "--dom0"]);
    assert_eq!(stored(&machine), 0);
    fs::write(root.join("etc/qubes/a-new-file"), "new").unwrap();
    let ended = run(&machine, &root, &["backup", "--dom0", "--check-after-send"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let moved = stored(&machine);
    assert!(moved > 0 && moved < 20_000, "{moved}");
}

#[test]
fn the_files_of_any_chunk_size_are_laid_out_for_any_tar() {
    let test = "the_files_of_any_chunk_size_are_laid_out_for_any_tar";
    let machine = match Machine::new(Release::R42, FileSystem::Btrfs, |_| ()) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let root = machine.desk.path("dom0");
    fs::create_dir_all(root.join("home")).unwrap();
    // Sizes around a chunk, less the header before it and the filler behind it.
    for size in [1, 65_024 - 512, 65_024, 65_025, 65_536, 2 * 65_536 - 1024] {
        fs::write(root.join(format!("home/{size:07}")), vec![b'y'; size]).unwrap();
    }
    machine.done(&["arch-init", "--chunk-factor=1"]);
    let ended = run(&machine, &root, &["backup", "--dom0"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let tar = machine.desk.path("dom0.tar");
    fs::write(&tar, machine.restored("qubes:dom0", "newest")).unwrap();
    let ended = end(Command::new("tar")
        .arg("--compare")
        .arg("-C")
        .arg(&root)
        .arg("-f")
        .arg(&tar));
    assert_eq!(
        (ended.code, ended.out.as_str(), ended.err.as_str()),
        (0, "", ""),
        "{ended:?}"
    );
}
