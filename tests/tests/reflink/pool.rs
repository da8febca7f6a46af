//! Freezing, the changes between two snapshots, and what becomes of snapshots.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nacre::joints::{Harvest, Ranges, SourceErrorKind, VolumeNames};
use nacre_core::ids::ArchiveId;
use nacre_tests::MemoryState;
use nacre_tests::mounts::{FileSystem, Mounted};

use super::{BLOCK, Desk, assert_all_found, content, freeze, on_both, punch, ranges, write};

#[test]
fn a_changed_block_is_found_alone() {
    on_both("a_changed_block_is_found_alone", |desk| {
        let file = desk.image("appvms/mail/private.img");
        write(&file, 0..4000, 1);
        let first = desk.session("appvms/mail/private.img");
        write(&file, 1234..1235, 2);
        punch(&file, 2000..2002);
        let frozen = desk.freeze("appvms/mail/private.img");
        let found = ranges(frozen.changes_since(&first).unwrap());
        let mut wanted = Ranges::one(1234 * BLOCK, 1235 * BLOCK);
        wanted = wanted.union(&Ranges::one(2000 * BLOCK, 2002 * BLOCK));
        assert_eq!(found, wanted);

        let mut before = vec![0; 4096];
        assert!(frozen.read_before(1234 * BLOCK, &mut before).unwrap());
        let mut now = vec![0; 4096];
        frozen.read_at(1234 * BLOCK, &mut now).unwrap();
        assert_ne!(before, now);
    });
}

#[test]
fn what_was_not_written_costs_nothing() {
    on_both("what_was_not_written_costs_nothing", |desk| {
        let file = desk.image("v.img");
        write(&file, 0..100, 1);
        // A terabyte of holes, and reserved space that reads as zeros.
        file.set_len(1 << 40).unwrap();
        let empty = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&file, empty, 1 << 30, 8 << 20).unwrap();
        let first = desk.session("v.img");
        let frozen = desk.freeze("v.img");
        let found = ranges(frozen.changes_since(&first).unwrap());
        assert!(found.is_empty(), "{found:?}");
        let data = frozen.next_data(0).unwrap().unwrap();
        assert_eq!((data.start, data.end), (0, 100 * BLOCK));
        assert_eq!(frozen.next_data(data.end).unwrap(), None);
    });
}

#[test]
fn the_snapshot_stays_as_it_was_taken() {
    on_both("the_snapshot_stays_as_it_was_taken", |desk| {
        let file = desk.image("v.img");
        write(&file, 0..300, 1);
        file.set_len(300 * BLOCK - 77).unwrap();
        let then = fs::read(desk.path("v.img")).unwrap();
        let frozen = desk.freeze("v.img");
        write(&file, 0..500, 2);
        assert_eq!(frozen.size(), then.len() as u64);
        assert_eq!(content(frozen.as_ref()), then);

        let [snapshot] = <[_; 1]>::try_from(desk.snapshots()).unwrap();
        assert_eq!(snapshot.display().to_string(), frozen.snapshot());
        let mode = fs::metadata(&snapshot).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o400);
        for folder in [".nacre-snapshots", ".nacre-snapshots/5a5a5a5a"] {
            assert_eq!(
                fs::metadata(desk.path(folder)).unwrap().mode() & 0o777,
                0o700
            );
        }
    });
}

#[test]
fn a_volume_that_grows_or_shrinks_is_changed_there() {
    on_both("a_volume_that_grows_or_shrinks_is_changed_there", |desk| {
        let file = desk.image("v.img");
        // None of them a multiple of the block size.
        for (old, new) in [
            (500_123, 700_321),
            (700_321, 500_123),
            (500_123, 500_124),
            (4097, 1),
            (10, 5000),
            (0, 3000),
            (3000, 0),
        ] {
            file.set_len(0).unwrap();
            write(&file, 0..180, old);
            file.set_len(old).unwrap();
            let before = fs::read(desk.path("v.img")).unwrap();
            let identity = desk.session("v.img");
            file.set_len(new).unwrap();
            let after = fs::read(desk.path("v.img")).unwrap();
            let frozen = desk.freeze("v.img");
            let found = ranges(frozen.changes_since(&identity).unwrap());
            assert_all_found(&before, &after, &found, &format!("{old} to {new}"));
            let behind = found.as_slice().last().map_or(0, |range| range.end);
            assert!(behind <= new);
            // The chunk in which the volume ends now has other zeros behind the end.
            assert!(new == 0 || found.touches(old.min(new) - u64::from(old > 0), new));
            if old.min(new) > 20_000 {
                assert!(!found.touches(0, old.min(new) - 9000), "{found:?}");
            }
        }
    });
}

#[test]
fn a_snapshot_that_is_not_committed_goes_and_the_kept_one_stays() {
    let test = "a_snapshot_that_is_not_committed_goes_and_the_kept_one_stays";
    on_both(test, |desk| {
        let file = desk.image("v.img");
        write(&file, 0..10, 1);
        drop(desk.freeze("v.img"));
        assert!(!desk.path(".nacre-snapshots").exists());

        let first = desk.session("v.img");
        assert_eq!(desk.snapshots().len(), 1);
        drop(desk.freeze("v.img"));
        assert!(desk.pool.holds("v.img", &first).unwrap());
        let second = desk.session("v.img");
        assert_ne!(first, second);
        assert_eq!(desk.snapshots().len(), 1);
        assert!(!desk.pool.holds("v.img", &first).unwrap());
        assert!(desk.reopened().holds("v.img", &second).unwrap());
        assert_eq!(desk.pool.snapshots().unwrap(), ["v.img"]);
        assert_eq!(desk.pool.remove_snapshots("v.img").unwrap(), 1);
        assert_eq!(desk.pool.remove_snapshots("v.img").unwrap(), 0);
        assert!(!desk.path(".nacre-snapshots").exists());
    });
}

#[test]
fn monitor_holds_no_space_and_loses_no_change() {
    on_both("monitor_holds_no_space_and_loses_no_change", |desk| {
        let file = desk.image("v.img");
        write(&file, 0..1000, 1);
        let began = desk.pool.monitor("v.img").unwrap();
        assert!(matches!(began, Harvest::Began(_)), "{began:?}");
        let first = desk.session("v.img");
        write(&file, 5..6, 2);
        let found = desk.pool.monitor("v.img").unwrap();
        assert_eq!(found, Harvest::Changed(BLOCK));
        assert_eq!(desk.pool.monitor("v.img").unwrap(), Harvest::Changed(0));
        write(&file, 7..9, 3);
        let found = desk.reopened().monitor("v.img").unwrap();
        assert_eq!(found, Harvest::Changed(2 * BLOCK));
        assert_eq!(desk.snapshots().len(), 1);
        write(&file, 20..21, 4);

        let mut frozen = desk.freeze("v.img");
        let found = ranges(frozen.changes_since(&first).unwrap());
        let wanted = [(5, 6), (7, 9), (20, 21)];
        let wanted = wanted
            .map(|(start, end)| Ranges::one(start * BLOCK, end * BLOCK))
            .iter()
            .fold(Ranges::new(), |all, one| all.union(one));
        assert_eq!(found, wanted);
        // What the first session held is known only where nothing changed before the last look.
        let mut buffer = vec![0; 4096];
        assert!(!frozen.read_before(5 * BLOCK, &mut buffer).unwrap());
        assert!(frozen.read_before(20 * BLOCK, &mut buffer).unwrap());
        frozen.committed().unwrap();
        let last = frozen.identity();
        drop(frozen);
        let none = desk.freeze("v.img").changes_since(&last).unwrap();
        assert!(ranges(none).is_empty());
    });
}

#[test]
fn each_archive_has_snapshots_of_its_own() {
    on_both("each_archive_has_snapshots_of_its_own", |desk| {
        let file = desk.image("a/v.img");
        write(&file, 0..50, 1);
        let other = desk.seen_by(ArchiveId([7; 16]));
        let mut first = desk.freeze("a/v.img");
        let then = content(first.as_ref());
        write(&file, 0..50, 2);
        let again = other.freeze_again(&[first.as_ref()]).unwrap();
        let mut again = again.into_iter().next().unwrap().unwrap();
        first.committed().unwrap();
        assert_eq!(content(again.as_ref()), then, "the same moment");
        assert_eq!(again.name(), "a/v.img");
        again.committed().unwrap();
        let (of_first, of_again) = (first.identity(), again.identity());
        assert!(other.holds("a/v.img", &of_again).unwrap());
        assert!(!other.holds("a/v.img", &of_first).unwrap());
        drop((first, again));

        write(&file, 3..4, 3);
        assert_eq!(desk.pool.remove_snapshots("a/v.img").unwrap(), 1);
        let changes = freeze(other.as_ref(), "a/v.img").changes_since(&of_again);
        assert_eq!(ranges(changes.unwrap()).total(), 50 * BLOCK);
    });
}

#[test]
fn many_volumes_are_frozen_at_once_and_one_that_is_missing_stops_no_other() {
    on_both("many_volumes_are_frozen_at_once", |desk| {
        for volume in ["a.img", "b/c.img"] {
            write(&desk.image(volume), 0..4, 1);
        }
        fs::create_dir(desk.path("folder.img")).unwrap();
        let names = ["a.img", "nowhere.img", "b/c.img", "folder.img", "../etc"];
        let frozen = desk.pool.freeze(&names.map(VolumeNames::same)).unwrap();
        let kinds: Vec<_> = frozen
            .iter()
            .map(|one| one.as_ref().map(|volume| volume.size()).map_err(|e| e.kind))
            .collect();
        assert_eq!(kinds[0], Ok(4 * BLOCK));
        assert_eq!(kinds[1], Err(SourceErrorKind::NotFound));
        assert_eq!(kinds[2], Ok(4 * BLOCK));
        assert_eq!(kinds[3], Err(SourceErrorKind::NotAVolume));
        assert_eq!(kinds[4], Err(SourceErrorKind::NotFound));
        assert_eq!(
            desk.snapshots().len(),
            2,
            "nothing is left of those that failed"
        );
        assert_eq!(desk.pool.list().unwrap(), ["a.img", "b/c.img"]);
    });
}

#[test]
fn a_file_system_that_clones_no_files_is_named() {
    for kind in [FileSystem::Ext4, FileSystem::Tmpfs] {
        let disk = match Mounted::new(kind, 64) {
            Ok(disk) => disk,
            Err(why) => nacre_tests::skip!("a_file_system_that_clones_no_files_is_named", "{why}"),
        };
        let desk = Desk {
            pool: super::open(&disk, super::ARCHIVE, &MemoryState::new()),
            state: MemoryState::new(),
            disk,
        };
        fs::write(desk.path("v.img"), "x").unwrap();
        let frozen = desk.pool.freeze(&[VolumeNames::same("v.img")]).unwrap();
        let error = frozen.into_iter().next().unwrap().err().unwrap();
        assert_eq!(error.kind, SourceErrorKind::NoSnapshots);
        assert_eq!(
            error.to_string(),
            "v.img cannot be frozen: its file system does not clone files (reflink), as Btrfs and XFS do; \
             back it up with --import-other-from instead"
        );
        assert!(!desk.path(".nacre-snapshots").exists());
    }
}
