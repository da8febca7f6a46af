//! `--dom0`: dom0's own files, as a tar archive that any tar reads.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
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

/// Everything below a folder by which one file differs from another: kind and permissions, owners, time, names, content, attributes.
fn everything(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let at = fs::symlink_metadata(&path).unwrap();
        if at.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()));
        }
        let content = match at.file_type() {
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_vec(),
            kind if kind.is_file() => fs::read(&path).unwrap(),
            _ => Vec::new(),
        };
        let names = if at.is_dir() { 0 } else { at.nlink() };
        let mut attributes = vec![0; 1000];
        let length = rustix::fs::llistxattr(&path, &mut attributes[..]).unwrap();
        let mut attributes: Vec<String> = attributes[..length]
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| {
                let mut value = vec![0; 1000];
                let length = rustix::fs::lgetxattr(&path, name, &mut value[..]).unwrap();
                format!("{} {:?}", String::from_utf8_lossy(name), &value[..length])
            })
            .collect();
        attributes.sort();
        let text = format!(
            "{:o} {}:{} {} {names} {} {attributes:?}",
            at.mode(),
            at.uid(),
            at.gid(),
            at.mtime(),
            blake3::hash(&content),
        );
        all.insert(path.strip_prefix(root).unwrap().to_owned(), text);
    }
    all
}

/// More of what a dom0 may have: odd names, owners, times, links that lead nowhere, an access list, an attribute of a link.
fn make_it_odd(root: &Path) {
    let home = root.join("home");
    let odd = home.join("user/\u{1b}[31m \u{fc}\nline");
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("-rf"), "x").unwrap();
    let no_text = OsString::from_vec(b"not\xffutf8".to_vec());
    fs::write(odd.join(no_text), [0; 100]).unwrap();
    symlink("/etc/shadow", odd.join("leads out")).unwrap();
    symlink("../../../../../..", odd.join("leads up")).unwrap();
    symlink("nothing", odd.join("leads nowhere")).unwrap();
    fs::create_dir(home.join("empty folder")).unwrap();
    fs::set_permissions(home.join("empty folder"), Permissions::from_mode(0o1711)).unwrap();
    for (path, owner) in [
        ("home/user", 1000),
        ("home/user/large", 1001),
        ("home/user/link", 70_000),
    ] {
        lchown(root.join(path), Some(owner), Some(4_000_000)).unwrap();
    }
    // chown took them away.
    fs::set_permissions(root.join("home/user/large"), Permissions::from_mode(0o6751)).unwrap();
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    let list: Vec<u8> = [
        (1, 6, u32::MAX),
        (2, 4, 1234),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ]
    .iter()
    .fold(
        2_u32.to_le_bytes().to_vec(),
        |mut list, (tag, right, id): &(u16, u16, u32)| {
            list.extend(tag.to_le_bytes());
            list.extend(right.to_le_bytes());
            list.extend(id.to_le_bytes());
            list
        },
    );
    set(&odd.join("-rf"), "system.posix_acl_access", &list);
    set(
        &odd.join("leads out"),
        "trusted.remark",
        b"of the link itself",
    );
    let pipe = odd.join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o620),
        0,
    )
    .unwrap();
    for (path, time) in [
        ("home", 1_000_000_000),
        ("home/user/empty", -5),
        ("home/user/large", 9_000_000_000_i64),
    ] {
        let time = rustix::fs::Timespec {
            tv_sec: time,
            tv_nsec: 0,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(
            rustix::fs::CWD,
            root.join(path),
            &times,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }
}

/// `nacre restore dom0`, where no qubesd answers: it is not needed.
fn restore(machine: &Machine, folder: &Path, more: &[&str]) -> Ended {
    let goal = format!("--save-to={}", folder.display());
    let arguments = [&["restore", "dom0", goal.as_str()], more].concat();
    end(machine.nacre(&arguments).env("NACRE_QUBESD", "/nowhere"))
}

#[test]
fn dom0s_files_come_back_into_a_new_folder_as_they_were() {
    let test = "dom0s_files_come_back_into_a_new_folder_as_they_were";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    // On the machine's own file system, with everything that it has.
    let root = dom0(&machine);
    make_it_odd(&root);
    let back = machine.desk.path("back");
    let none = restore(&machine, &back, &[]);
    assert_eq!(none.code, 1, "{none:?}");
    assert!(
        none.err.contains("the archive has no files of dom0"),
        "{none:?}"
    );
    let ended = run(&machine, &root, &["backup", "--dom0", "--tag=then"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let then = everything(&root);

    let plan = restore(&machine, &back, &["--dry-run", "--verbose"]);
    assert_eq!(plan.code, 0, "{plan:?}");
    let said = format!("{}{}", plan.out, plan.err);
    for part in [
        "would make file /home/user/a second name (976.6 KiB)",
        "would make /home/user/large, a further name of /home/user/a second name",
        "would make link /home/user/link, which leads to ../user/large",
        "would make folder /home/empty folder",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert!(!back.exists());

    let ended = restore(&machine, &back, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut now = everything(&back);
    // It is root's alone, and has its own time, as what is made for what is in it.
    assert_eq!(fs::metadata(&back).unwrap().mode() & 0o7777, 0o700);
    let mut wanted = then.clone();
    for made in ["", "etc"] {
        now.remove(Path::new(made)).unwrap();
        wanted.remove(Path::new(made));
    }
    wanted.retain(|path, _| !path.starts_with("var") && !path.ends_with("backup.key"));
    assert_eq!(now.len(), 24, "{now:#?}");
    assert_eq!(now, wanted);
    let sparse = fs::metadata(back.join("home/user/sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1_000_000, "{}", sparse.blocks());

    // Never over what is there.
    let ended = restore(&machine, &back, &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("is there already"), "{ended:?}");
    fs::write(root.join("home/user/new"), "new").unwrap();
    assert_eq!(run(&machine, &root, &["backup", "--dom0"]).code, 0);
    let past = machine.desk.path("past");
    let ended = restore(&machine, &past, &["--session=^then"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!past.join("home/user/new").exists());
    let newest = machine.desk.path("newest");
    assert_eq!(restore(&machine, &newest, &[]).code, 0);
    assert!(newest.join("home/user/new").exists());
    // By the same name in the other commands.
    let listed = machine.done(&["list", "dom0"]).out;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(machine.done(&["list", "--qubes"]).out.contains("dom0"));
    assert!(machine.done(&["verify", "dom0"]).out.contains("qubes:dom0"));
}

#[test]
fn a_damaged_or_cut_short_restore_of_dom0s_files_is_not_taken_for_a_whole_one() {
    let test = "a_damaged_or_cut_short_restore_of_dom0s_files_is_not_taken_for_a_whole_one";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let root = dom0(&machine);
    assert_eq!(run(&machine, &root, &["backup", "--dom0"]).code, 0);
    let back = machine.desk.path("back");
    let unfinished = machine.desk.path("back.unfinished");
    fs::create_dir(&unfinished).unwrap();
    let ended = restore(&machine, &back, &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("a restore was cut short, or is running"),
        "{ended:?}"
    );
    fs::remove_dir(&unfinished).unwrap();
    // The largest object has the content; some of it goes bad.
    let mut open = vec![machine.desk.path("store/archive/pack")];
    let mut largest = (0, PathBuf::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()));
        } else {
            largest = largest.max((fs::metadata(&path).unwrap().len(), path));
        }
    }
    let pack = File::options().write(true).open(&largest.1).unwrap();
    pack.write_all_at(&vec![0x55; 300_000], largest.0 / 2)
        .unwrap();
    let ended = restore(&machine, &back, &[]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(!back.exists() && unfinished.exists());
    assert!(ended.err.contains("back.unfinished"), "{ended:?}");
    // What is told gets the rest of them: all but the one file through which the damage goes.
    let advice = "nacre receive qubes:dom0 --save-to=FILE --skip-corrupt-chunks";
    assert!(ended.err.contains(advice), "{ended:?}");
    assert!(ended.err.contains("tar --ignore-zeros"), "{ended:?}");
    let tar = machine.desk.path("rest.tar");
    let to = format!("--save-to={}", tar.display());
    let ended = machine.run(&["receive", "qubes:dom0", &to, "--skip-corrupt-chunks"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let rest = machine.desk.path("rest");
    fs::create_dir(&rest).unwrap();
    let mut extract = Command::new("tar");
    extract
        .args(["--extract", "--ignore-zeros", "-C"])
        .arg(&rest);
    // It complains about the gap, and goes on.
    let ended = end(extract.arg("-f").arg(&tar));
    assert!(matches!(ended.code, 0 | 2), "{ended:?}");
    let compared = end(Command::new("diff")
        .args(["-rq", "--no-dereference"])
        .args([root.join("home"), rest.join("home")]));
    let differing: Vec<&str> = compared.out.lines().collect();
    let is_large = |line: &&str| line.contains("/large") || line.contains("/a second name");
    assert!(
        differing.len() == 2 && differing.iter().all(is_large),
        "{compared:?}"
    );
}

#[test]
fn an_attribute_of_dom0s_files_comes_back_by_its_name_whatever_that_is() {
    let test = "an_attribute_of_dom0s_files_comes_back_by_its_name_whatever_that_is";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let root = machine.desk.path("dom0");
    fs::create_dir_all(root.join("srv")).unwrap();
    fs::write(root.join("srv/file"), "x").unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    for name in ["user.a=b", "user.100%", "user.a%3Db", "user.%25=%3d%"] {
        rustix::fs::setxattr(root.join("srv/file"), name, b"c=d%3D", flags).unwrap();
    }
    let ended = run(&machine, &root, &["backup", "--dom0"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let back = machine.desk.path("back");
    let ended = restore(&machine, &back, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let wanted = everything(&root.join("srv"));
    assert_eq!(everything(&back.join("srv")), wanted);
    // Any tar has them by the same names.
    let tar = machine.desk.path("dom0.tar");
    fs::write(&tar, machine.restored("qubes:dom0", "newest")).unwrap();
    let by_tar = machine.desk.path("by-tar");
    fs::create_dir(&by_tar).unwrap();
    let mut extract = Command::new("tar");
    let extract = extract.args(["--extract", "--xattrs", "--xattrs-include=*"]);
    let ended = end(extract.arg("-C").arg(&by_tar).arg("-f").arg(&tar));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    assert_eq!(everything(&by_tar.join("srv")), wanted);
}

#[test]
fn a_folder_of_dom0_that_is_a_link_is_named_and_the_backup_not_called_whole() {
    let test = "a_folder_of_dom0_that_is_a_link_is_named_and_the_backup_not_called_whole";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let root = machine.desk.path("dom0");
    fs::create_dir_all(root.join("data/home/user")).unwrap();
    fs::create_dir(root.join("srv")).unwrap();
    symlink("data/home", root.join("home")).unwrap();
    // A link in one of the folders is a file like others.
    symlink("../data", root.join("srv/data")).unwrap();
    let ended = run(&machine, &root, &["backup", "--dom0"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = "/home: it is a link; what it leads to is not saved";
    assert!(ended.err.contains(line), "{ended:?}");
    assert!(!ended.err.contains("/srv/data"), "{ended:?}");
}
