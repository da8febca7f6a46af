//! The identity of a snapshot: whatever was done to it, a wrong difference is never believed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};

use nacre::joints::{Harvest, StateDir};

use super::{BLOCK, Desk, assert_all_found, on_both, ranges, reason, write};

/// Freezes again and says why the difference to the session is not known.
fn why(desk: &Desk, identity: &[u8]) -> String {
    reason(desk.freeze("v.img").changes_since(identity).unwrap())
}

fn volume_with_session(desk: &Desk) -> (File, Vec<u8>) {
    let file = desk.image("v.img");
    write(&file, 0..100, 1);
    let identity = desk.session("v.img");
    (file, identity)
}

#[test]
fn a_lost_snapshot_is_noticed() {
    on_both("a_lost_snapshot_is_noticed", |desk| {
        let (_file, identity) = volume_with_session(desk);
        fs::remove_dir_all(desk.path(".nacre-snapshots")).unwrap();
        assert!(why(desk, &identity).contains("is not here"));
        assert!(why(desk, b"").contains("no snapshot"));
        assert!(why(desk, b"nonsense").contains("is not here"));
    });
}

#[test]
fn a_snapshot_that_was_written_to_is_noticed() {
    on_both("a_snapshot_that_was_written_to_is_noticed", |desk| {
        for how in ["write", "truncate", "mode"] {
            let (_file, identity) = volume_with_session(desk);
            let [path] = <[_; 1]>::try_from(desk.snapshots()).unwrap();
            let times = fs::metadata(&path).unwrap().modified().unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            match how {
                "write" => file.write_all_at(b"x", 50 * BLOCK).unwrap(),
                "truncate" => file.set_len(50 * BLOCK).unwrap(),
                _ => {}
            }
            // A modification time that was set back decides nothing.
            file.set_modified(times).unwrap();
            drop(file);
            let why = why(desk, &identity);
            assert!(why.contains("written to or altered"), "{how}: {why}");
            assert!(!desk.pool.holds("v.img", &identity).unwrap());
        }
    });
}

#[test]
fn a_snapshot_that_was_made_again_or_exchanged_is_noticed() {
    let test = "a_snapshot_that_was_made_again_or_exchanged_is_noticed";
    on_both(test, |desk| {
        let (file, identity) = volume_with_session(desk);
        let [path] = <[_; 1]>::try_from(desk.snapshots()).unwrap();
        // The same bytes in another file, under the same name.
        let copy = path.with_extension("copy");
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
        assert!(why(desk, &identity).contains("is not the one"));

        // The snapshots of two volumes have changed places.
        let identity = desk.session("v.img");
        write(&desk.image("w.img"), 0..100, 9);
        let other = desk.session("w.img");
        let [v, w] = <[_; 2]>::try_from(desk.snapshots()).unwrap();
        let aside = desk.path("aside");
        fs::rename(&v, &aside).unwrap();
        fs::rename(&w, &v).unwrap();
        fs::rename(&aside, &w).unwrap();
        write(&file, 3..4, 2);
        assert!(why(desk, &identity).contains("is not the one"));
        assert!(why(desk, &other).contains("altered"), "another's identity");
    });
}

#[test]
fn an_older_snapshot_is_noticed() {
    on_both("an_older_snapshot_is_noticed", |desk| {
        let (file, first) = volume_with_session(desk);
        let [path] = <[_; 1]>::try_from(desk.snapshots()).unwrap();
        let kept = desk.path("kept aside");
        fs::hard_link(&path, &kept).unwrap();
        write(&file, 3..4, 2);
        let second = desk.session("v.img");
        for path in desk.snapshots() {
            fs::remove_file(path).unwrap();
        }
        fs::rename(&kept, &path).unwrap();
        let _ = why(desk, &second);
        let _ = why(desk, &first);
    });
}

#[test]
fn a_broken_chain_of_links_is_noticed() {
    on_both("a_broken_chain_of_links_is_noticed", |desk| {
        let (file, first) = volume_with_session(desk);
        write(&file, 3..4, 2);
        desk.pool.monitor("v.img").unwrap();
        let links = desk.state.list().unwrap();
        let [links] = <[_; 1]>::try_from(links).unwrap();
        let good = desk.state.read(&links, 1 << 20).unwrap().unwrap();

        desk.state.remove(&links).unwrap();
        assert!(why(desk, &first).contains("is not the one"));
        let mut bad = good.clone();
        bad[40] ^= 1;
        desk.state.replace(&links, &bad).unwrap();
        assert!(why(desk, &first).contains("is not the one"));

        desk.state.replace(&links, &good).unwrap();
        let found = desk.freeze("v.img").changes_since(&first).unwrap();
        assert_eq!(ranges(found).total(), BLOCK);
        // The end of the chain was written to.
        let [path] = <[_; 1]>::try_from(desk.snapshots()).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"x", 50 * BLOCK).unwrap();
        assert!(why(desk, &first).contains("is not the one"));
    });
}

/// What a killed process leaves: the file, and nobody who holds it.
fn crash_with(desk: &Desk, frozen: Box<dyn nacre::joints::FrozenVolume>) {
    let path = frozen.snapshot();
    let aside = desk.path("aside");
    fs::hard_link(&path, &aside).unwrap();
    drop(frozen);
    // The link changed the inode's time, as nothing does in a crash: the file is another one to every later run.
    fs::create_dir_all(desk.path(".nacre-snapshots/5a5a5a5a")).unwrap();
    fs::rename(&aside, path).unwrap();
}

#[test]
fn what_a_crash_left_goes_with_the_next_run() {
    on_both("what_a_crash_left_goes_with_the_next_run", |desk| {
        let (file, first) = volume_with_session(desk);
        crash_with(desk, desk.freeze("v.img"));
        assert_eq!(desk.snapshots().len(), 2);
        // A run without a commit, in which the head's snapshot was found.
        let frozen = desk.freeze("v.img");
        assert!(ranges(frozen.changes_since(&first).unwrap()).is_empty());
        assert_eq!(desk.snapshots().len(), 3);
        drop(frozen);
        assert_eq!(desk.snapshots().len(), 1);
        assert!(desk.pool.holds("v.img", &first).unwrap());

        crash_with(desk, desk.freeze("v.img"));
        write(&file, 8..9, 2);
        assert_eq!(desk.pool.monitor("v.img").unwrap(), Harvest::Changed(BLOCK));
        assert_eq!(desk.snapshots().len(), 1);
        let found = desk.freeze("v.img").changes_since(&first).unwrap();
        assert_eq!(ranges(found).total(), BLOCK);

        crash_with(desk, desk.freeze("v.img"));
        desk.session("v.img");
        assert_eq!(desk.snapshots().len(), 1);
    });
}

#[test]
fn a_crash_between_the_commit_and_the_rotation_costs_nothing() {
    let test = "a_crash_between_the_commit_and_the_rotation_costs_nothing";
    on_both(test, |desk| {
        let (file, _first) = volume_with_session(desk);
        write(&file, 1..2, 2);
        // Committed as far as the store is concerned; this machine never came to `committed`.
        let frozen = desk.freeze("v.img");
        let second = frozen.identity();
        std::mem::forget(frozen);
        assert_eq!(desk.snapshots().len(), 2);
        write(&file, 5..6, 3);
        desk.pool.monitor("v.img").unwrap();
        write(&file, 9..10, 3);
        let found = desk.freeze("v.img").changes_since(&second).unwrap();
        assert_eq!(ranges(found).total(), 2 * BLOCK);
    });
}

#[test]
fn nobody_removes_a_snapshot_that_is_being_read() {
    on_both("nobody_removes_a_snapshot_that_is_being_read", |desk| {
        let (file, first) = volume_with_session(desk);
        let before = fs::read(desk.path("v.img")).unwrap();
        write(&file, 4..5, 2);
        let slow = desk.freeze("v.img");
        let found = ranges(slow.changes_since(&first).unwrap());
        let other = desk.reopened();
        other.monitor("v.img").unwrap();
        assert_eq!(other.remove_snapshots("v.img").unwrap(), 1);
        let after = super::content(slow.as_ref());
        assert_all_found(&before, &after, &found, "while another run removes");
        let mut block = vec![0; 4096];
        assert!(slow.read_before(4 * BLOCK, &mut block).unwrap());
        assert_eq!(block, before[4 * 4096..5 * 4096]);
    });
}
