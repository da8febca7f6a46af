//! The real helper on the file systems that backup disks have.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::io::Write;

use nacre::joints::{PutOutcome, Store, StoreErrorKind};
use nacre_core::ids::Epoch;
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_tests::conformance::{self, Place, content, listed, pack, race};
use nacre_tests::mounts::{FileSystem, Mounted};
use nacre_tests::{open_helper, open_helper_with, skip};

/// A fresh archive for every check.
struct OnDisk(std::path::PathBuf);

impl Place for OnDisk {
    fn open(&self, append_only: bool) -> Box<dyn Store> {
        let mut arguments = vec!["--base".as_ref(), self.0.as_os_str()];
        if append_only {
            arguments.push("--append-only".as_ref());
        }
        let archive = self.0.join("archive");
        Box::new(open_helper_with(&arguments, &archive, true).unwrap())
    }
}

fn mounted(test: &str, kind: FileSystem, mib: u64) -> Option<Mounted> {
    match Mounted::new(kind, mib) {
        Ok(mounted) => Some(mounted),
        Err(why) => {
            nacre_tests::skip(&format!("{test} on {kind:?}"), &why);
            None
        }
    }
}

#[test]
fn one_of_a_hundred_writers_wins_on_every_file_system() {
    const CLIENTS: usize = 25;
    const WRITERS: usize = 100;
    for kind in FileSystem::ALL {
        let test = "one_of_a_hundred_writers_wins_on_every_file_system";
        let Some(disk) = mounted(test, kind, 320) else {
            continue;
        };
        let place = OnDisk(disk.path());
        let clients: Vec<_> = (0..CLIENTS).map(|_| place.open(false)).collect();
        let clients: Vec<&dyn Store> = clients.iter().map(AsRef::as_ref).collect();
        for round in 0..3 {
            race(&clients, WRITERS, ObjectName::Head(Epoch(round)));
            race(&clients, WRITERS, pack(7, round));
        }
        let heads = listed(clients[0], ObjectClass::Head);
        assert_eq!(heads.len(), 3, "{kind:?}");
        let said = clients[0].capabilities().single_writer;
        assert_eq!(said, kind == FileSystem::ExfatFuse, "{kind:?}");
    }
}

#[test]
fn every_file_system_keeps_the_promises() {
    type Check = fn(&OnDisk);
    let checks: [Check; 8] = [
        conformance::an_object_is_read_back_as_written,
        conformance::an_existing_object_is_never_touched,
        conformance::a_dropped_put_leaves_nothing,
        conformance::puts_overlap_and_are_answered_in_any_order,
        conformance::deleted_objects_are_gone,
        conformance::punching_spares_the_rest,
        conformance::a_copy_is_put_together_from_pieces,
        conformance::append_only_keeps_everything,
    ];
    for kind in FileSystem::ALL {
        let test = "every_file_system_keeps_the_promises";
        let Some(disk) = mounted(test, kind, 400) else {
            continue;
        };
        for (number, check) in checks.iter().enumerate() {
            let place = disk.path().join(number.to_string());
            std::fs::create_dir(&place).unwrap();
            println!("{kind:?}, check {number}");
            check(&OnDisk(place));
        }
    }
}

#[test]
fn punching_is_offered_only_where_it_frees_space() {
    for kind in FileSystem::ALL {
        let test = "punching_is_offered_only_where_it_frees_space";
        let Some(disk) = mounted(test, kind, 400) else {
            continue;
        };
        let store = open_helper(&disk.path().join("archive"), true).unwrap();
        let frees = matches!(kind, FileSystem::Ext4 | FileSystem::Xfs | FileSystem::Tmpfs);
        assert_eq!(store.capabilities().punch, frees, "{kind:?}");
        if !frees {
            continue;
        }
        store.put_whole(pack(1, 1), &content(1, 32 << 20)).unwrap();
        let before = store.free_space().unwrap();
        let holes: Vec<_> = (0..128)
            .map(|i| conformance::range(i * (256 << 10), 128 << 10))
            .collect();
        store.punch(pack(1, 1), &holes).unwrap();
        let gained = store.free_space().unwrap().saturating_sub(before);
        assert!(gained > 15 << 20, "{kind:?} gained {gained}");
    }
}

#[test]
fn punching_is_tried_out_with_the_room_that_there_is() {
    let test = "punching_is_tried_out_with_the_room_that_there_is";
    for (kind, frees) in [(FileSystem::Ext4, true), (FileSystem::ExfatFuse, false)] {
        let Some(disk) = mounted(test, kind, 16) else {
            continue;
        };
        let store = open_helper(&disk.path().join("archive"), true).unwrap();
        let room = store.free_space().unwrap();
        assert!(room < 16 << 20, "{kind:?}");
        let filler = disk.path().join("filler");
        // All that there is, root's reserve, too.
        let mut file = std::fs::File::create(&filler).unwrap();
        for piece in [vec![1; 1 << 20], vec![1; 1 << 12]] {
            while file
                .write_all(&piece)
                .and_then(|()| file.sync_all())
                .is_ok()
            {}
        }
        let said = store.capabilities();
        if frees {
            assert!(
                said.untried && !said.punch,
                "{kind:?}: {said:?} {:?}",
                store.free_space()
            );
        }
        // What was not known before is, on the same connection, once there is some room.
        file.set_len(room - (5 << 20)).unwrap();
        let said = store.capabilities();
        assert_eq!((said.punch, said.untried), (frees, false), "{kind:?}");
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left_of_the_object() {
    let test = "a_full_disk_is_told_and_nothing_is_left_of_the_object";
    for kind in [FileSystem::Tmpfs, FileSystem::Ext4, FileSystem::ExfatFuse] {
        let Some(disk) = mounted(test, kind, 16) else {
            continue;
        };
        let store = open_helper(&disk.path().join("archive"), true).unwrap();
        let before = store.free_space().unwrap();
        let error = store
            .put_whole(pack(1, 1), &content(1, 20 << 20))
            .unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NoSpace, "{kind:?}: {error}");
        assert_eq!(error.object, Some(pack(1, 1)));
        assert_eq!(store.stat(pack(1, 1)).unwrap(), None);
        assert!(store.free_space().unwrap() + (1 << 20) > before, "{kind:?}");
        // The connection lives on, and what fits still fits.
        let small = store.put_whole(pack(1, 2), &content(1, 1 << 20)).unwrap();
        assert_eq!(small, PutOutcome::Created);
        store.barrier().unwrap();
    }
}

#[test]
fn a_read_only_disk_is_told() {
    let test = "a_read_only_disk_is_told";
    let Some(disk) = mounted(test, FileSystem::Ext4, 32) else {
        return;
    };
    let archive = disk.path().join("archive");
    open_helper(&archive, true)
        .unwrap()
        .put_whole(pack(1, 1), b"old")
        .unwrap();
    disk.make_read_only().unwrap();
    let store = open_helper(&archive, false).unwrap();
    assert_eq!(store.get_whole(pack(1, 1), 9).unwrap().unwrap(), b"old");
    let error = store.put_whole(pack(1, 2), b"new").unwrap_err();
    assert_eq!(
        (error.kind, error.object),
        (StoreErrorKind::ReadOnly, Some(pack(1, 2))),
        "{error}"
    );
    let error = store.delete(&[pack(1, 1)]).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::ReadOnly, "{error}");
}

/// A loop device whose image lies on a full disk: what looked like free space is none.
#[test]
fn a_disk_that_takes_no_more_is_told_and_never_acknowledged() {
    let test = "a_disk_that_takes_no_more_is_told_and_never_acknowledged";
    let Some(small) = mounted(test, FileSystem::Tmpfs, 24) else {
        return;
    };
    let disk = match Mounted::on_image(FileSystem::Ext4, 300, &small.path()) {
        Ok(disk) => disk,
        Err(why) => skip!(test, "{why}"),
    };
    let store = open_helper(&disk.path().join("archive"), true).unwrap();
    let error = (0..40).find_map(|number| {
        let outcome = store.put_whole(pack(1, number), &content(number, 1 << 20));
        outcome.and_then(|_| store.barrier()).err()
    });
    let error = error.unwrap();
    let told = [
        StoreErrorKind::Io,
        StoreErrorKind::ReadOnly,
        StoreErrorKind::NoSpace,
    ];
    assert!(told.contains(&error.kind), "{error}");
}

/// A loop device whose image is cut short under it: reading beyond gives EIO.
#[test]
fn a_bad_sector_is_told_and_the_rest_can_be_read() {
    let test = "a_bad_sector_is_told_and_the_rest_can_be_read";
    let Some(disk) = mounted(test, FileSystem::Ext4, 128) else {
        return;
    };
    let store = open_helper(&disk.path().join("archive"), true).unwrap();
    let (small, bytes) = (content(1, 1 << 20), content(2, 64 << 20));
    store.put_whole(pack(1, 1), &small).unwrap();
    store.put_whole(pack(1, 2), &bytes).unwrap();
    store.barrier().unwrap();
    let image = std::fs::File::options()
        .write(true)
        .open(disk.image())
        .unwrap();
    image.set_len(48 << 20).unwrap();
    let whole = [conformance::range(0, 64 << 20)];
    let error = store.get(pack(1, 2), &whole).unwrap_err();
    assert_eq!(
        (error.kind, error.object),
        (StoreErrorKind::Io, Some(pack(1, 2))),
        "{error}"
    );
    let got = store
        .get(pack(1, 1), &[conformance::range(0, 1 << 20)])
        .unwrap();
    assert!(got[0] == small);
}

#[test]
fn what_a_barrier_answered_survives_a_power_cut() {
    let test = "what_a_barrier_answered_survives_a_power_cut";
    let kinds = FileSystem::ALL;
    for kind in kinds.into_iter().filter(|kind| *kind != FileSystem::Tmpfs) {
        let Some(disk) = mounted(test, kind, 320) else {
            continue;
        };
        let archive = disk.path().join("archive");
        let store = open_helper(&archive, true).unwrap();
        let length = |number: u64| usize::try_from(number * 700_001 % 3_000_000).unwrap();
        let put = |number: u64| {
            let bytes = content(number, length(number));
            let shard = u8::try_from(number).unwrap();
            store.put_whole(pack(shard, number), &bytes).unwrap();
        };
        (0..20).for_each(put);
        let head = ObjectName::Head(Epoch(1));
        store.put_whole(head, b"the head").unwrap();
        store.delete(&[pack(19, 19)]).unwrap();
        store.barrier().unwrap();
        (20..25).for_each(put);
        // Never synced: shows that the copy is no copy of what is only in memory.
        std::fs::write(disk.path().join("control"), content(0, 100_000)).unwrap();
        let after = disk.power_cut(|| drop(store)).unwrap();
        let control = std::fs::read(after.path().join("control")).unwrap_or_default();
        assert!(
            control != content(0, 100_000),
            "{kind:?}: the power cut is none"
        );

        let store = open_helper(&after.path().join("archive"), false).unwrap();
        assert_eq!(
            store.get_whole(head, 99).unwrap().unwrap(),
            b"the head",
            "{kind:?}"
        );
        assert_eq!(
            store.stat(pack(19, 19)).unwrap(),
            None,
            "{kind:?}: deleted is deleted"
        );
        for number in (0..19).chain(20..25) {
            let name = pack(u8::try_from(number).unwrap(), number);
            let there = store.get_whole(name, 3_000_000).unwrap();
            assert!(there.is_some() || number >= 20, "{kind:?}: {name} is lost");
            let whole = there.is_none_or(|bytes| bytes == content(number, length(number)));
            assert!(whole, "{kind:?}: {name} is there but not whole");
        }
    }
}
