//! What happens between the commits of a repair and its recount, when it was cut short there.

use std::collections::BTreeSet;

use nacre_core::object_name::ObjectClass;

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
