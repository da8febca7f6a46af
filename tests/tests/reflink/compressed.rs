//! Btrfs: compressed and inline extents, files without copy-on-write, with and without the right to read the tree.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nacre::joints::Ranges;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::{BLOCK, Desk, assert_all_found, content, on_btrfs, ranges, run, write};

/// Text that compresses well.
fn write_text(file: &File, blocks: std::ops::Range<u64>, word: &str) {
    for block in blocks {
        let mut text = format!("{word} {block} ").repeat(4096);
        text.truncate(4096);
        file.write_all_at(text.as_bytes(), block * BLOCK).unwrap();
    }
    file.sync_all().unwrap();
}

fn compressing(desk: &Desk) {
    let place = desk.disk.path().display().to_string();
    run("mount", &["-o", "remount,compress-force=zstd", &place]).unwrap();
}

/// Takes the right to read the tree from this thread, so that FIEMAP is left.
fn without_the_right_to_read_the_tree(check: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let limited = scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::SYS_ADMIN);
            set_capabilities(None, sets).unwrap();
            check();
        });
        limited.join().unwrap();
    });
}

#[test]
fn a_block_in_a_compressed_extent_is_found_alone() {
    on_btrfs("a_block_in_a_compressed_extent_is_found_alone", |desk| {
        compressing(desk);
        let file = desk.image("v.img");
        write_text(&file, 0..1000, "old");
        let encoded = |extent: &nacre_sys::FiemapExtent| extent.flags & 0x8 != 0;
        assert!(
            nacre_sys::fiemap(&file, 0, u64::MAX)
                .unwrap()
                .iter()
                .all(encoded)
        );
        let first = desk.session("v.img");
        write_text(&file, 333..334, "new");
        let frozen = desk.freeze("v.img");
        let found = ranges(frozen.changes_since(&first).unwrap());
        assert_eq!(found, Ranges::one(333 * BLOCK, 334 * BLOCK));
    });
}

#[test]
fn without_the_exact_place_compressed_extents_count_as_changed() {
    let test = "without_the_exact_place_compressed_extents_count_as_changed";
    on_btrfs(test, |desk| {
        let file = desk.image("v.img");
        write(&file, 0..1000, 1);
        compressing(desk);
        write_text(&file, 600..700, "old");
        let before = std::fs::read(desk.path("v.img")).unwrap();
        let first = desk.session("v.img");
        write(&file, 5..6, 2);
        let frozen = desk.freeze("v.img");
        without_the_right_to_read_the_tree(|| {
            let found = ranges(frozen.changes_since(&first).unwrap());
            assert_all_found(&before, &content(frozen.as_ref()), &found, "by FIEMAP");
            assert!(found.touches(600 * BLOCK, 601 * BLOCK));
            assert!(found.total() < 120 * BLOCK, "{found:?}");
        });
        let exactly = ranges(frozen.changes_since(&first).unwrap());
        assert_eq!(exactly, Ranges::one(5 * BLOCK, 6 * BLOCK));
    });
}

#[test]
fn bytes_within_the_metadata_count_as_changed() {
    on_btrfs("bytes_within_the_metadata_count_as_changed", |desk| {
        let file = desk.image("v.img");
        file.write_all_at(b"a few bytes", 0).unwrap();
        file.sync_all().unwrap();
        let first = desk.session("v.img");
        file.write_all_at(b"other bytes", 0).unwrap();
        file.sync_all().unwrap();
        let frozen = desk.freeze("v.img");
        let all = Ranges::one(0, 11);
        assert_eq!(ranges(frozen.changes_since(&first).unwrap()), all);
        without_the_right_to_read_the_tree(|| {
            assert_eq!(ranges(frozen.changes_since(&first).unwrap()), all);
        });
    });
}

#[test]
fn a_volume_without_copy_on_write_is_frozen_all_the_same() {
    let test = "a_volume_without_copy_on_write_is_frozen_all_the_same";
    on_btrfs(test, |desk| {
        let file = desk.image("v.img");
        let path = desk.path("v.img").display().to_string();
        run("chattr", &["+C", &path]).unwrap();
        write(&file, 0..500, 1);
        let first = desk.session("v.img");
        write(&file, 7..9, 2);
        let before = content(desk.freeze("v.img").as_ref());
        assert_eq!(
            desk.pool.monitor("v.img").unwrap(),
            nacre::joints::Harvest::Changed(2 * BLOCK)
        );
        write(&file, 20..21, 3);
        let frozen = desk.freeze("v.img");
        let found = ranges(frozen.changes_since(&first).unwrap());
        assert_all_found(&before, &content(frozen.as_ref()), &found, test);
        assert_eq!(found.total(), 3 * BLOCK);
    });
}
