//! The archive's own counts against counting by hand.

use std::collections::{BTreeMap, BTreeSet};

use nacre::archive::{Archive, Nodes};
use nacre_core::counters::Counters;
use nacre_core::ids::Alias;
use nacre_core::place::{Place, TreeKind};
use nacre_core::tree::RecordTree;

use super::entries;

/// Every item has as many runs as the counters say, and nothing that a session needs is called dead.
pub fn assert_counts(archive: &Archive) {
    let mut runs: BTreeMap<Place, u64> = BTreeMap::new();
    for volume in &archive.head().volumes {
        let mut before: BTreeSet<(u64, Place)> = BTreeSet::new();
        for (_, _, at) in archive.sessions().unwrap().of_volume(volume.id) {
            let needs: BTreeSet<(u64, Place)> = entries(archive, &at.root)
                .iter()
                .flat_map(|(chunk, entry)| entry.items().map(|item| (*chunk, item)))
                .collect();
            for (_, item) in needs.difference(&before) {
                *runs.entry(*item).or_default() += 1;
            }
            before = needs;
        }
    }
    let nodes = archive.nodes();
    let mut source: &Nodes = &nodes;
    let tree = RecordTree {
        tree: TreeKind::Counters,
        root: archive.head().counters,
    };
    let mut stored: BTreeMap<(Alias, u64), u64> = BTreeMap::new();
    for (alias, bytes) in tree.range(&mut source, 0..u64::MAX).unwrap() {
        let counters = Counters::parse(&bytes).unwrap();
        stored.extend(
            counters
                .iter()
                .map(|(offset, runs)| ((Alias(alias), offset), runs)),
        );
    }
    let many = runs.iter().filter(|(_, runs)| **runs > 1);
    let many: BTreeMap<_, _> = many
        .map(|(item, runs)| ((item.alias, item.offset), *runs))
        .collect();
    assert_eq!(stored, many);
    for item in runs.keys() {
        let record = nodes.pack_record(item.alias).unwrap().unwrap();
        let dead = |(from, to): (u64, u64)| from < item.end() && item.offset < to;
        assert!(!record.dead.iter().any(dead), "{item:?} is called dead");
    }
}
