//! Runs that were cut short leave packs under the aliases that the next run uses too. When the table of packs is lost, a repair must not mix them up.

use std::collections::BTreeSet;

use nacre::archive::Archive;
use nacre_core::ids::PackName;
use nacre_core::object_name::ObjectName;
use nacre_core::place::{Place, Root};
use nacre_tests::lab_image::Random;

use super::bench::{Bench, CHUNK};

/// Gives the store what `run` leaves there when it is cut short before its commit, once for each of `times`. The packs come into the store behind the next run.
fn leftovers(
    bench: &Bench,
    times: std::ops::Range<u64>,
    run: impl Fn(&mut Bench, u64),
) -> Vec<(ObjectName, Vec<u8>)> {
    let before: BTreeSet<ObjectName> = bench.names().into_iter().collect();
    let mut left = Vec::new();
    for time in times {
        let mut cut = bench.fork().with_names_from((time + 2) << 32);
        run(&mut cut, time);
        let objects = cut.store.objects().into_iter();
        left.extend(
            objects
                .filter(|(name, _)| matches!(name, ObjectName::Pack(_)) && !before.contains(name)),
        );
    }
    left
}

fn leave(bench: &Bench, left: &[(ObjectName, Vec<u8>)]) {
    for (name, bytes) in left {
        bench.set(*name, Some(bytes));
    }
}

fn noise(seed: u64, chunks: usize) -> Vec<u8> {
    let mut content = vec![0; chunks * CHUNK];
    Random::new(seed, "claims").fill(&mut content);
    content
}

fn flip(bench: &Bench, archive: &Archive, place: Place) {
    let homes = archive.head().homes.iter();
    let mut homes = homes.filter(|home| home.alias == place.alias);
    let name = match homes.next() {
        Some(home) => home.name,
        None => {
            archive.nodes().locate_all(&[place])[0]
                .clone()
                .unwrap()
                .pack
        }
    };
    let name = ObjectName::Pack(name);
    let mut bytes = bench.store.objects()[&name].clone();
    bytes[usize::try_from(place.offset).unwrap() + 30] ^= 1;
    bench.set(name, Some(&bytes));
}

/// Damages the topmost node of the table of packs, which is the only one.
fn lose_the_table(bench: &Bench) {
    let archive = bench.try_open().unwrap();
    let Root::Node { level: 0, pointer } = archive.head().packs else {
        panic!("the table has other nodes");
    };
    flip(bench, &archive, pointer.place);
}

fn pack_names(objects: &[(ObjectName, Vec<u8>)]) -> BTreeSet<PackName> {
    let name = |(name, _): &(ObjectName, Vec<u8>)| match name {
        ObjectName::Pack(name) => *name,
        other => panic!("{other} is no pack"),
    };
    objects.iter().map(name).collect()
}

fn all_is_there(bench: &Bench, what: &str) {
    let report = bench.check(true).unwrap();
    assert!(!report.is_damaged(), "{what}: {report:?}");
    for (key, (came, lost)) in bench.versions().unwrap() {
        let whole = lost.is_empty() && came == bench.model[&key];
        assert!(whole, "{what}: {key:?} has lost {lost:?}");
    }
}

/// Cleans up as `arch-check --clean` does. The answer is what it took for left behind.
fn clean(bench: &Bench) -> BTreeSet<PackName> {
    let mut archive = bench.try_open().unwrap();
    let orphans = archive.orphans().unwrap();
    archive.give_up_orphans(&orphans, &bench.clock).unwrap();
    archive.free().unwrap();
    orphans.iter().map(|orphan| orphan.name).collect()
}

/// Sessions of a volume of which the first half changes each time: so there is something to put together.
fn with_sessions(round: u64) -> Bench {
    let mut bench = Bench::new();
    let mut content = noise(round, 4);
    for session in 0..4 {
        content[..2 * CHUNK].copy_from_slice(&noise(50 + 10 * round + session, 2));
        bench.send(&[("v", &content)]);
    }
    bench
}

#[test]
fn leftovers_are_not_taken_for_the_packs_of_the_same_aliases_when_the_table_of_packs_is_lost() {
    for round in 0..6 {
        let mut bench = Bench::new();
        let mut content = noise(round, 8);
        bench.send(&[("v", &content)]);
        let mut all = Vec::new();
        for session in 1..4 {
            let seed = 100 * round + session;
            let left = leftovers(&bench, 3 * session..3 * session + 3, |cut, time| {
                // The first chunks are those that the next run stores: they may lie at the same place.
                let mut other = noise(seed, 8);
                let some = usize::try_from(time % 3).unwrap() * CHUNK;
                other[some..].copy_from_slice(&noise(1_000 + 10 * seed + time, 8)[some..]);
                cut.send(&[("v", &other)]);
            });
            content[..4 * CHUNK].copy_from_slice(&noise(seed, 8)[..4 * CHUNK]);
            bench.send(&[("v", &content)]);
            leave(&bench, &left);
            all.extend(left);
        }
        lose_the_table(&bench);
        let repaired = bench.repair(&[], false).unwrap();
        let what = format!("round {round}");
        assert!(
            repaired.done.packs > 0 && repaired.done.marked == 0,
            "{what}: {repaired:?}"
        );
        all_is_there(&bench, &what);
        assert_eq!(clean(&bench), pack_names(&all), "{what}");
        all_is_there(&bench, &what);
    }
}

#[test]
fn what_a_cut_off_prune_has_copied_is_not_taken_for_another_pack_when_the_table_of_packs_is_lost() {
    for round in 0..4 {
        let mut bench = with_sessions(round);
        let put_together = |bench: &mut Bench| {
            let done = bench.compact().unwrap();
            assert!(done.packs > 0, "{done:?}");
            bench.try_open().unwrap().free().unwrap();
        };
        let left = leftovers(&bench, 0..3, |cut, _| put_together(cut));
        if round % 2 == 0 {
            // Another run takes the aliases of the one that was cut off.
            bench.send(&[("w", &noise(90 + round, 3))]);
        }
        put_together(&mut bench);
        leave(&bench, &left);
        lose_the_table(&bench);
        let what = format!("round {round}");
        let repaired = bench.repair(&[], false).unwrap();
        assert_eq!(repaired.done.marked, 0, "{what}: {repaired:?}");
        all_is_there(&bench, &what);
        clean(&bench);
        all_is_there(&bench, &what);
    }
}

/// What a pack that is tried says of moved items says nothing of the other packs of its alias: these never held them.
#[test]
fn a_pack_that_a_cut_off_prune_left_does_not_contradict_the_one_that_took_its_alias() {
    for round in 0..8 {
        let mut bench = with_sessions(round);
        // It had put its first pack together, and was cut off before the commit.
        let mut left = leftovers(&bench, 0..1, |cut, _| {
            cut.compact().unwrap();
        });
        let largest = left.into_iter().max_by_key(|(_, bytes)| bytes.len());
        left = largest.into_iter().collect();
        bench.send(&[("w", &noise(90 + round, 3))]);
        if round % 2 == 0 {
            bench.compact().unwrap();
            bench.try_open().unwrap().free().unwrap();
        }
        leave(&bench, &left);
        lose_the_table(&bench);
        let what = format!("round {round}");
        let repaired = bench.repair(&[], false).unwrap();
        assert_eq!(repaired.done.marked, 0, "{what}: {repaired:?}");
        all_is_there(&bench, &what);
        assert_eq!(clean(&bench), pack_names(&left), "{what}");
        all_is_there(&bench, &what);
    }
}

#[test]
fn where_nothing_tells_which_pack_an_alias_means_a_repair_changes_nothing_and_says_so() {
    let mut bench = Bench::new();
    bench.send(&[("other", &noise(1, 4)), ("v", &noise(4, 1))]);
    let left = leftovers(&bench, 0..1, |cut, _| cut.send(&[("v", &noise(2, 1))]));
    bench.send(&[("v", &noise(2, 1))]);
    leave(&bench, &left);
    bench.send(&[("w", &noise(3, 4))]);
    let archive = bench.try_open().unwrap();
    let root = archive.head().volume("other").unwrap().root;
    // What lies below this node is not known any more: it could be in either.
    flip(&bench, &archive, root.pointer().unwrap().place);
    drop(archive);
    lose_the_table(&bench);
    let before = bench.store.objects();
    for dry_run in [true, false] {
        let refused = bench.repair(&[], dry_run).unwrap_err().to_string();
        assert!(
            refused.contains("nothing tells which of pack/"),
            "{refused}"
        );
    }
    assert_eq!(bench.store.objects(), before);
    bench.try_open().unwrap().orphans().unwrap_err();

    for (name, _) in &left {
        bench.set(*name, None);
    }
    bench.repair(&[("other", &noise(1, 4))], false).unwrap();
    all_is_there(&bench, "with the leftovers set aside");
}
