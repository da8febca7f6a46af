//! Archives on disks that the helper mounts itself: ext4 and exFAT on loop devices, by UUID.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nacre::joints::{PutOutcome, Store, StoreError, StoreErrorKind};
use nacre::store::{Client, Route, open};
use nacre_tests::conformance::{self, Place, content, pack};
use nacre_tests::qubes_world::QubesWorld;
use nacre_tests::{helper_program, skip};

/// A loop device with a file system that is not mounted.
struct Disk {
    place: tempfile::TempDir,
    device: String,
    uuid: String,
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.trim()))
}

impl Disk {
    fn with(make: &[&str], mib: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("loop devices need root".into());
        }
        let place = tempfile::tempdir().map_err(|error| error.to_string())?;
        let image = place.path().join("image");
        let file = fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(mib << 20).map_err(|error| error.to_string())?;
        let image = image.to_str().unwrap_or_default();
        run(make[0], &[&make[1..], &[image]].concat())?;
        let uuid = run("blkid", &["-p", "-o", "value", "-s", "UUID", image])?;
        let device = run("losetup", &["--find", "--show", image])?;
        Ok(Self {
            place,
            device,
            uuid,
        })
    }

    fn ext4() -> Result<Self, String> {
        Self::with(&["mkfs.ext4", "-q", "-F"], 300)
    }

    fn reach(&self, path: Option<&str>, create: bool) -> Result<Client, StoreError> {
        open(&route().usb(&self.uuid, path, create)?)
    }

    /// Looks at what is on it, as root, once it is not in use.
    fn look<T>(&self, kind: &str, look: impl FnOnce(&Path) -> T) -> T {
        let folder = self.place.path().join("look");
        fs::create_dir_all(&folder).unwrap();
        let folder_text = folder.to_str().unwrap();
        run("mount", &["-t", kind, &self.device, folder_text]).unwrap();
        let seen = look(&folder);
        run("umount", &[folder_text]).unwrap();
        seen
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("losetup", &["-d", &self.device]);
    }
}

impl Place for Disk {
    fn open(&self, append_only: bool) -> Box<dyn Store> {
        let mut launch = route().usb(&self.uuid, None, true).unwrap();
        if append_only {
            launch.arguments.push("--append-only".into());
        }
        Box::new(open(&launch).unwrap())
    }
}

/// One test at a time: a namespace that one of them makes holds what another has mounted to look at, and a FUSE file system
/// that is still held is not mounted anew.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn route() -> Route {
    Route {
        helper: Some(helper_program()),
        ..Route::default()
    }
}

/// Processes of the helper below us that have the disk mounted, with their users.
fn servers() -> Vec<u32> {
    let mut users = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains("--hello") {
            users.push(entry.metadata().map_or(0, |meta| meta.uid()));
        }
    }
    users
}

#[test]
fn a_disk_is_served_without_root_unseen_and_unmounted_at_the_end() {
    let _turn = alone();
    let test = "a_disk_is_served_without_root_unseen_and_unmounted_at_the_end";
    for (make, kind) in [
        (&["mkfs.ext4", "-q", "-F"][..], "ext4"),
        (&["mkfs.exfat"][..], "exfat-fuse"),
    ] {
        let disk = match Disk::with(make, 300) {
            Ok(disk) => disk,
            Err(why) => skip!(test, "{why}"),
        };
        let client = disk.reach(Some("/backup"), true).unwrap();
        let said = client.capabilities();
        assert!(said.confined, "{kind}");
        assert_eq!(said.single_writer, kind == "exfat-fuse");
        let outcome = client.put_whole(pack(1, 1), &content(1, 3_000_000));
        assert_eq!(outcome.unwrap(), PutOutcome::Created);
        let outcome = client.put_whole(pack(1, 1), b"other");
        assert_eq!(outcome.unwrap(), PutOutcome::Exists);
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(&disk.device), "{mounts}");
        let servers = servers();
        assert!(!servers.is_empty() && !servers.contains(&0), "{servers:?}");
        client.barrier().unwrap();
        client.close(Duration::from_secs(20)).unwrap();
        // The device is free at once: nothing holds it mounted.
        disk.look(kind, |folder| {
            let file = folder.join("backup").join(pack(1, 1).to_string());
            assert!(fs::read(&file).unwrap() == content(1, 3_000_000));
            if kind == "ext4" {
                assert_eq!(fs::metadata(&file).unwrap().uid(), 1000);
            }
        });
        let again = disk.reach(Some("/backup"), false).unwrap();
        assert_eq!(again.stat(pack(1, 1)).unwrap(), Some(3_000_000));
    }
}

#[test]
fn a_disk_keeps_the_promises_of_a_store() {
    let _turn = alone();
    let checks: [fn(&Disk); 5] = [
        conformance::an_object_is_read_back_as_written,
        conformance::a_dropped_put_leaves_nothing,
        conformance::one_of_many_writers_wins,
        conformance::append_only_keeps_everything,
        conformance::deleted_objects_are_gone,
    ];
    for check in checks {
        match Disk::ext4() {
            Ok(disk) => check(&disk),
            Err(why) => skip!("a_disk_keeps_the_promises_of_a_store", "{why}"),
        }
    }
}

#[test]
fn what_is_wrong_with_a_disk_is_told() {
    let _turn = alone();
    let disk = match Disk::ext4() {
        Ok(disk) => disk,
        Err(why) => skip!("what_is_wrong_with_a_disk_is_told", "{why}"),
    };
    let kind = |result: Result<Client, StoreError>| result.err().unwrap().kind;
    for bad in ["../../etc", "-o", "", "1234 5678", "x"] {
        let error = open(&route().usb(bad, None, true).unwrap());
        assert_eq!(kind(error), StoreErrorKind::Refused, "{bad}");
    }
    let absent = open(&route().usb("0123-ABCD", None, true).unwrap());
    assert_eq!(kind(absent), StoreErrorKind::Unreachable);
    assert_eq!(kind(disk.reach(None, false)), StoreErrorKind::NoArchive);
    let no_parent = disk.reach(Some("/a/b"), true);
    assert_eq!(kind(no_parent), StoreErrorKind::NoArchive);
    // A link on the disk leads nowhere, and what is root's is not served.
    let outside = tempfile::tempdir().unwrap();
    disk.look("ext4", |folder| {
        std::os::unix::fs::symlink(outside.path(), folder.join("link")).unwrap();
        fs::create_dir_all(folder.join("roots/header")).unwrap();
    });
    for path in ["/link", "/link/new", "/../x"] {
        let result = disk.reach(Some(path), true);
        assert!(result.is_err(), "{path}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    let roots = disk.reach(Some("/roots"), false);
    assert_eq!(kind(roots), StoreErrorKind::Refused);
    let swap = Disk::with(&["mkswap", "-q"], 2).unwrap();
    assert_eq!(kind(swap.reach(None, true)), StoreErrorKind::Unsupported);
}

#[test]
fn a_helper_that_is_killed_leaves_the_disk_unmounted_and_what_was_acknowledged() {
    let _turn = alone();
    let test = "a_helper_that_is_killed_leaves_the_disk_unmounted_and_what_was_acknowledged";
    let disk = match Disk::ext4() {
        Ok(disk) => disk,
        Err(why) => skip!(test, "{why}"),
    };
    let client = disk.reach(None, true).unwrap();
    client.put_whole(pack(1, 1), &content(1, 500_000)).unwrap();
    client.barrier().unwrap();
    // The parent, by what it was told: no other test asks for this disk.
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let mounts = fs::read_to_string(entry.path().join("mounts")).unwrap_or_default();
        let here = PathBuf::from("/proc/self/ns/mnt");
        let theirs = fs::read_link(entry.path().join("ns/mnt")).ok();
        if mounts.contains(&format!("{} ", disk.device)) && theirs != fs::read_link(here).ok() {
            let pid = entry.file_name().to_str().unwrap().parse().unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    let error = client.put_whole(pack(1, 2), b"x").unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Died, "{error}");
    drop(client);
    let begun = Instant::now();
    let again = loop {
        match disk.reach(None, false) {
            Ok(client) => break client,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "{error}"),
        }
    };
    let bytes = again.get_whole(pack(1, 1), 1 << 20).unwrap().unwrap();
    assert!(bytes == content(1, 500_000));
}

#[test]
fn a_disk_that_cannot_be_unmounted_is_told_by_the_close() {
    let _turn = alone();
    let disk = match Disk::ext4() {
        Ok(disk) => disk,
        Err(why) => skip!(
            "a_disk_that_cannot_be_unmounted_is_told_by_the_close",
            "{why}"
        ),
    };
    let client = disk.reach(None, true).unwrap();
    client.put_whole(pack(1, 1), b"x").unwrap();
    client.barrier().unwrap();
    // Somebody looks into the helper's own mounts and keeps what he sees open.
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut processes = processes.map(|entry| entry.path()).filter(|process| {
        let mounts = fs::read_to_string(process.join("mounts")).unwrap_or_default();
        mounts.contains(&format!("{} ", disk.device))
    });
    let inside = processes.next().unwrap().join("root/run/nacre-helper");
    let held = fs::File::open(inside).unwrap();
    let error = client.close(Duration::from_secs(60)).unwrap_err();
    assert!(error.detail.contains("unmount the disk"), "{error}");
    drop(held);
    let again = disk.reach(None, false).unwrap();
    assert_eq!(again.stat(pack(1, 1)).unwrap(), Some(1));
    again.close(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_qube_serves_a_disk_as_root_calls_it() {
    let _turn = alone();
    let (disk, world) = match (Disk::ext4(), QubesWorld::new()) {
        (Ok(disk), Ok(world)) => (disk, world),
        (Err(why), _) | (_, Err(why)) => skip!("a_qube_serves_a_disk_as_root_calls_it", "{why}"),
    };
    let launch = world
        .route()
        .qube_usb("vault", &disk.uuid, Some("/a"), true);
    let client = open(&launch).unwrap();
    client.put_whole(pack(1, 1), b"x").unwrap();
    client.close(Duration::from_secs(20)).unwrap();
    disk.look("ext4", |folder| assert!(folder.join("a/header").is_dir()));
    // Called so, it serves disks only.
    let mut launch = world.route().qube("vault", None, true);
    let call = launch.arguments.last_mut().unwrap();
    *call = "root:QUBESRPC nacre.Store+usb dom0".into();
    let error = open(&launch).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Unsupported, "{error}");
}
