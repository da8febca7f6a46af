//! What only the real helper can show: leftovers, long listings, bases, memory, its end.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nacre::joints::{PutOutcome, Store, StoreErrorKind};
use nacre_core::object_name::ObjectClass;
use nacre_tests::conformance::{content, listed, pack, range};
use nacre_tests::{helper_program, open_helper, open_helper_with};
use rustix::fs::FlockOperation;

#[test]
fn leftovers_of_the_dead_are_swept_and_of_the_living_spared() {
    let place = tempfile::tempdir().unwrap();
    let store = open_helper(&place.path().join("a"), true).unwrap();
    store.put_whole(pack(7, 1), b"object").unwrap();
    let shard = place.path().join("a/pack/07");
    let (dead, living) = (shard.join(".put-dead"), shard.join(".put-living"));
    fs::write(&dead, b"half").unwrap();
    let lock = File::create(&living).unwrap();
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    fs::write(shard.join("what-is-this"), b"foreign").unwrap();
    assert_eq!(listed(store.as_ref(), ObjectClass::Pack), [(pack(7, 1), 6)]);
    assert!(!dead.exists() && living.exists());
    assert!(
        shard.join("what-is-this").exists(),
        "foreign files are not ours to remove"
    );
    drop(lock);
    listed(store.as_ref(), ObjectClass::Pack);
    assert!(!living.exists());
    // What a helper tried out in the archive's own folder goes at the next hello.
    let tried = place.path().join("a/.put-tried");
    fs::write(&tried, b"probe").unwrap();
    open_helper(&place.path().join("a"), false).unwrap();
    assert!(!tried.exists());
}

/// A folder that could not be opened was not forced to the disk: what was answered before is in doubt from then on.
#[test]
fn a_barrier_that_failed_lets_none_behind_it_succeed() {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("a");
    drop(open_helper(&archive, true).unwrap());
    let (packs, aside) = (archive.join("pack"), archive.join("aside"));
    let store = open_helper(&archive, false).unwrap();
    fs::rename(&packs, &aside).unwrap();
    fs::write(&packs, b"no folder").unwrap();
    assert_eq!(store.barrier().unwrap_err().kind, StoreErrorKind::Io);
    fs::remove_file(&packs).unwrap();
    fs::rename(&aside, &packs).unwrap();
    let error = store.barrier().unwrap_err();
    assert!(error.detail.contains("an earlier fsync failed"), "{error}");
}

#[test]
fn a_restorer_is_kept_beside_the_objects_also_append_only_and_never_replaced() {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("a");
    let store = open_helper(&archive, true).unwrap();
    store.leave_restorer(0x12ab, b"first").unwrap();
    let base = place.path().as_os_str();
    let arguments = [OsStr::new("--base"), base, OsStr::new("--append-only")];
    let append_only = open_helper_with(&arguments, &archive, false).unwrap();
    append_only.leave_restorer(0x12ab, b"second").unwrap();
    append_only.leave_restorer(0xffff_ffff, b"third").unwrap();
    append_only.barrier().unwrap();
    let text = |name: &str| fs::read(archive.join(name)).unwrap();
    assert_eq!(text("emergency_restore.000012ab.py"), b"first");
    assert_eq!(text("emergency_restore.ffffffff.py"), b"third");
    // And nothing else: no leftovers.
    assert_eq!(fs::read_dir(&archive).unwrap().count(), 2 + 3);
    let most = vec![b'#'; nacre_wire::limits::MAX_RESTORER + 1];
    store.leave_restorer(1, &most[1..]).unwrap();
    let refused = store.leave_restorer(2, &most).unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::TooLarge);
    store.barrier().unwrap();
    assert_eq!(text("emergency_restore.00000001.py").len(), most.len() - 1);
}

#[test]
fn a_killed_writer_leaves_no_object_and_its_leftover_is_swept() {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("a");
    let store = open_helper(&archive, true).unwrap();
    let mut doomed = open_helper(&archive, false)
        .unwrap()
        .put_new(pack(7, 1))
        .map(|mut put| {
            put.write(&content(1, 3 << 20)).unwrap();
            put.finish().unwrap().wait().unwrap()
        });
    assert_eq!(doomed.as_mut().unwrap(), &PutOutcome::Created);
    // A writer without a client: it gets a hello, half an object, and SIGKILL.
    let mut child = Command::new(helper_program())
        .args(["serve", "--base"])
        .arg(place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    send_half_an_object(child.stdin.as_mut().unwrap(), &archive);
    let shard = archive.join("pack/09");
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::read_dir(&shard).map_or(0, Iterator::count) == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fs::read_dir(&shard).unwrap().count(), 1);
    listed(store.as_ref(), ObjectClass::Pack);
    assert_eq!(fs::read_dir(&shard).unwrap().count(), 1, "the writer lives");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        listed(store.as_ref(), ObjectClass::Pack),
        [(pack(7, 1), 3 << 20)]
    );
    assert_eq!(fs::read_dir(&shard).unwrap().count(), 0, "swept");
}

fn send_half_an_object(pipe: &mut impl std::io::Write, archive: &Path) {
    use nacre_wire::{HelloRequest, Kind, Locator, Name, Request, encode_frame};
    let hello = HelloRequest {
        lowest: 1,
        highest: 1,
        create: false,
        locator: Locator::Directory {
            path: archive.as_os_str().as_encoded_bytes().to_vec(),
        },
    };
    let begin = Request::PutBegin(Name::parse(pack(9, 1).to_string().as_bytes()).unwrap());
    for (kind, body) in [
        (Kind::Hello, hello.encode().unwrap()),
        (Kind::PutBegin, begin.encode_body()),
        (Kind::PutData, content(1, 200_000)),
    ] {
        pipe.write_all(&encode_frame(kind, 1, &body).unwrap())
            .unwrap();
    }
}

#[test]
fn a_hundred_thousand_names_are_streamed_in_little_memory() {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("a");
    let store = open_helper(&archive, true).unwrap();
    for shard in 0..=255_u8 {
        fs::create_dir_all(archive.join(format!("pack/{shard:02x}"))).unwrap();
    }
    for number in 0..100_000_u64 {
        let first = u8::try_from(number % 256).unwrap();
        File::create(archive.join(pack(first, number).to_string())).unwrap();
    }
    let mut count = 0;
    store
        .list(ObjectClass::Pack, &mut |_, size| count += 1 + size)
        .unwrap();
    assert_eq!(count, 100_000);
    assert!(peak_memory_mib() < 32, "{} MiB", peak_memory_mib());
}

#[test]
fn memory_stays_bounded_whatever_is_sent() {
    let place = tempfile::tempdir().unwrap();
    let store = open_helper(&place.path().join("a"), true).unwrap();
    let bytes = content(5, 24 << 20);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (store, bytes) = (store.as_ref(), &bytes);
            scope.spawn(move || {
                for number in 0..2 {
                    store.put_whole(pack(thread, number), bytes).unwrap();
                    let got = store.get(pack(thread, number), &[range(0, 24 << 20)]);
                    assert!(got.unwrap()[0] == *bytes);
                }
            });
        }
    });
    assert!(peak_memory_mib() < 32, "{} MiB", peak_memory_mib());
}

/// The largest `VmHWM` of our children; tests of this file run side by side, and none may exceed it.
fn peak_memory_mib() -> u64 {
    let own = std::process::id();
    let tasks = fs::read_dir(format!("/proc/{own}/task")).unwrap();
    let children: String = tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .collect();
    let peak = |child: &str| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    children.split_whitespace().filter_map(peak).max().unwrap() / 1024
}

#[test]
fn the_helper_is_confined_and_says_so() {
    let place = tempfile::tempdir().unwrap();
    let store = open_helper(&place.path().join("a"), true).unwrap();
    assert!(store.capabilities().confined);
}

#[test]
fn archives_outside_the_bases_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let (inside, outside) = (place.path().join("in"), place.path().join("out"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
    let open = |path: &Path| {
        let arguments: [&OsStr; 2] = ["--base".as_ref(), inside.as_os_str()];
        open_helper_with(&arguments, path, true)
    };
    let sibling = place.path().join("inside");
    for path in [
        &outside,
        &sibling,
        &inside.join("link"),
        &inside.join("link/archive"),
        &inside.join("../out"),
        Path::new("relative"),
        Path::new("/"),
    ] {
        let error = open(path).err().unwrap();
        assert_eq!(
            error.kind,
            StoreErrorKind::Refused,
            "{}: {error}",
            path.display()
        );
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!sibling.exists());
    open(&inside.join("archive")).unwrap();
    open(&inside).unwrap();
}

#[test]
fn an_absent_archive_is_told_and_not_made() {
    let place = tempfile::tempdir().unwrap();
    for path in [
        place.path().join("a"),
        place.path().join("a/b"),
        place.path().to_owned(),
    ] {
        let error = open_helper(&path, false).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::NoArchive, "{error}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    let error = open_helper(&place.path().join("a/b"), true).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::NoArchive, "{error}");
}

#[test]
fn a_closed_client_means_that_the_helper_ended_well() {
    let place = tempfile::tempdir().unwrap();
    let arguments: [&OsStr; 2] = ["--base".as_ref(), place.path().as_os_str()];
    let client = open_helper_with(&arguments, &place.path().join("a"), true).unwrap();
    client.put_whole(pack(1, 1), b"x").unwrap();
    client.close(Duration::from_secs(10)).unwrap();
}

#[test]
fn a_wrong_command_line_ends_with_the_usage() {
    for arguments in [
        &["serve"][..],
        &[],
        &["serve", "--base"],
        &["serve", "--base", "/", "--danger"],
    ] {
        let output = Command::new(helper_program())
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage:"));
    }
}
