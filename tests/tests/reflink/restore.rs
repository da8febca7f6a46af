//! Goals: what a restore into the folder leaves, whole or interrupted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use nacre::joints::{GoalStart, RestoreGoal, SourceErrorKind, VolumeRange};

use super::{BLOCK, Desk, on_both, write};

fn goal(desk: &Desk, local: &str, size: u64, start: &GoalStart) -> Box<dyn RestoreGoal> {
    desk.pool.goal(local, size, start).unwrap()
}

#[test]
fn a_new_volume_gets_its_folders_like_the_one_above() {
    on_both("a_new_volume_gets_its_folders_like_the_one_above", |desk| {
        fs::create_dir(desk.path("appvms")).unwrap();
        let above = desk.path("appvms");
        chown(&above, Some(0), Some(12345)).unwrap();
        fs::set_permissions(&above, fs::Permissions::from_mode(0o2770)).unwrap();
        assert!(!desk.pool.exists("appvms/new/deep/private.img").unwrap());
        let goal = goal(desk, "appvms/new/deep/private.img", 9000, &GoalStart::Empty);
        assert!(goal.starts_empty());
        goal.write_at(100, b"content").unwrap();
        goal.finish().unwrap();
        assert!(desk.pool.exists("appvms/new/deep/private.img").unwrap());
        let content = fs::read(desk.path("appvms/new/deep/private.img")).unwrap();
        assert_eq!((content.len(), &content[100..107]), (9000, &b"content"[..]));
        for folder in ["appvms/new", "appvms/new/deep"] {
            let status = fs::metadata(desk.path(folder)).unwrap();
            assert_eq!((status.mode() & 0o7777, status.gid()), (0o2770, 12345));
        }
    });
}

#[test]
fn the_old_volume_stays_until_the_new_one_is_whole() {
    on_both("the_old_volume_stays_until_the_new_one_is_whole", |desk| {
        write(&desk.image("v.img"), 0..10, 1);
        let path = desk.path("v.img");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        chown(&path, Some(11), Some(12)).unwrap();
        let old = fs::read(&path).unwrap();
        let identity = desk.session("v.img");
        // A restore that was killed: its process is no more.
        fs::write(desk.path(".v.img.nacre-4194304"), "left").unwrap();
        for start in [GoalStart::Empty, GoalStart::Snapshot(identity)] {
            let failed = goal(desk, "v.img", 5000, &start);
            failed.write_at(0, b"half").unwrap();
            drop(failed);
            assert_eq!(fs::read(&path).unwrap(), old);
        }
        let names = fs::read_dir(desk.disk.path()).unwrap();
        assert_eq!(names.count(), 2, "the volume and the snapshots");

        let whole = goal(desk, "v.img", 5000, &GoalStart::Empty);
        whole.write_at(0, b"new").unwrap();
        whole.finish().unwrap();
        let status = fs::metadata(&path).unwrap();
        let seen = (
            status.mode() & 0o777,
            status.uid(),
            status.gid(),
            status.len(),
        );
        assert_eq!(seen, (0o640, 11, 12, 5000));
    });
}

#[test]
fn a_clone_of_the_snapshot_begins_with_its_content() {
    on_both("a_clone_of_the_snapshot_begins_with_its_content", |desk| {
        let file = desk.image("v.img");
        write(&file, 0..10, 1);
        let then = fs::read(desk.path("v.img")).unwrap();
        let identity = desk.session("v.img");
        write(&file, 0..20, 2);
        let start = GoalStart::Snapshot(identity);
        let clone = goal(desk, "v.img", 9 * BLOCK, &start);
        assert!(!clone.starts_empty());
        let mut block = vec![0; 4096];
        clone.read_at(3 * BLOCK, &mut block).unwrap();
        assert_eq!(block, then[3 * 4096..4 * 4096]);
        clone.write_at(0, b"!").unwrap();
        let range = VolumeRange {
            start: 4096,
            end: 8192,
        };
        clone.zero(range).unwrap();
        clone.finish().unwrap();
        let mut wanted = then[..9 * 4096].to_vec();
        wanted[0] = b'!';
        wanted[4096..8192].fill(0);
        assert_eq!(fs::read(desk.path("v.img")).unwrap(), wanted);

        let elsewhere = desk.pool.goal("w.img", 1, &start).err().unwrap();
        assert_eq!(elsewhere.kind, SourceErrorKind::NotFound);
        assert!(!desk.pool.exists("w.img").unwrap());
    });
}

#[test]
fn in_place_changes_the_volume_itself() {
    on_both("in_place_changes_the_volume_itself", |desk| {
        let file = desk.image("v.img");
        write(&file, 0..10, 1);
        let inode = file.metadata().unwrap().ino();
        let place = goal(desk, "v.img", 11 * BLOCK, &GoalStart::InPlace);
        place.write_at(10 * BLOCK, b"more").unwrap();
        place.finish().unwrap();
        let status = fs::metadata(desk.path("v.img")).unwrap();
        assert_eq!((status.ino(), status.len()), (inode, 11 * BLOCK));
    });
}
