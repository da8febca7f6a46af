//! What happens between the commits of a repair and its recount, when it was cut short there.

use std::collections::BTreeSet;

use nacre_core::object_name::ObjectClass;
use nacre_core::pack::PackState;
use nacre_core::ranges::RangeSet;

use super::bench::Bench;

#[test]
fn behind_a_repair_that_was_cut_short_nothing_is_freed_until_a_recount() {
    let mut bench = Bench::new();
    for byte in [1_u8, 2, 1] {
        bench.send(&[("v", &vec![byte; 300_000])]);
    }
    let mut archive = bench.try_open().unwrap();
    let mut commit = archive.begin_small_commit();
    commit.mend();
    commit.finish(&bench.clock).unwrap();
    drop(archive);

    let packs = |bench: &Bench| -> BTreeSet<_> {
        let all = bench.names().into_iter();
        all.filter(|name| name.class() == ObjectClass::Pack)
            .collect()
    };
    let before = packs(&bench);
    // Other commands neither free anything nor forget that the books are in doubt.
    bench.try_prune_oldest("v").unwrap();
    bench.send(&[("w", &vec![3; 100_000])]);
    bench.try_prune_oldest("v").unwrap();
    let doubtful = bench.try_open().unwrap();
    assert!(doubtful.head().books_in_doubt());
    assert!(doubtful.head().freeing.is_empty());
    assert!(packs(&bench).is_superset(&before));

    bench.repair(&[], false).unwrap();
    assert!(!bench.try_open().unwrap().head().books_in_doubt());
    let report = bench.check(true).unwrap();
    let right = report
        .books
        .as_ref()
        .is_some_and(nacre::maintain::Books::are_right);
    assert!(
        report.lost.is_empty() && report.index.is_empty() && right,
        "{report:?}"
    );
    for (key, (came, lost)) in bench.versions().unwrap() {
        assert!(lost.is_empty() && came == bench.model[&key], "{key:?}");
    }
    // The content of the second session was needed by nothing else.
    bench.try_open().unwrap().free().unwrap();
    assert!(!packs(&bench).is_superset(&before));
}

/// The record of a pack that was moved leaves the archive when all of it is dead; what was needed of it could then not be found any more.
#[test]
fn a_repair_corrects_what_is_dead_of_packs_that_were_moved_too() {
    for too_much in [true, false] {
        let mut bench = Bench::with_small_packs();
        bench.try_prune_oldest("v").unwrap();
        bench.compact().unwrap();
        let mut archive = bench.try_open().unwrap();
        let mut moved = Vec::new();
        let all = archive.each_pack(|alias, record| {
            if record.state == PackState::Moved && (too_much || !record.dead.is_empty()) {
                moved.push((alias, record));
            }
            Ok(())
        });
        all.unwrap();
        assert!(!moved.is_empty());
        let right = moved.clone();
        for (_, record) in &mut moved {
            record.dead = RangeSet::default();
            if too_much {
                record.dead.insert(0, record.size - record.own);
            }
        }
        let mut commit = archive.begin_small_commit();
        commit.mend();
        commit.add_packs(moved);
        commit.finish(&bench.clock).unwrap();
        drop(archive);

        let books = bench.check(false).unwrap().books.unwrap();
        assert_eq!(books.needed.is_empty(), !too_much);
        assert!(books.unmarked > 0);
        bench.repair(&[], false).unwrap();
        let books = bench.check(false).unwrap().books.unwrap();
        assert!(books.are_right() && books.needed.is_empty() && books.unmarked == 0);
        let archive = bench.try_open().unwrap();
        for (alias, before) in right {
            let record = archive.nodes().pack_record(alias).unwrap();
            assert!(record.is_some_and(|record| record.dead == before.dead));
        }
        drop(archive);
        // What is freed from here on leaves the rest alone.
        bench.try_prune_oldest("v").unwrap();
        for (key, (came, lost)) in bench.versions().unwrap() {
            assert!(lost.is_empty() && came == bench.model[&key], "{key:?}");
        }
    }
}

/// A head that no reader takes would leave the archive without any.
#[test]
fn a_commit_that_could_not_be_read_again_is_not_written() {
    let mut bench = Bench::new();
    bench.send(&[("v", &vec![1; 100_000])]);
    let before = bench.names();
    let mut archive = bench.try_open().unwrap();
    let mut commit = archive.begin_small_commit();
    commit.head.volumes[0].size = (1 << 50) + 1;
    let refused = commit.finish(&bench.clock).unwrap_err().to_string();
    assert!(refused.contains("could not be read again"), "{refused}");
    drop(archive);
    assert_eq!(bench.names(), before);
    bench.send(&[("v", &vec![2; 100_000])]);
}
