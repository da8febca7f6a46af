//! Counts by brute force what lives, and compares it with what the archive has recorded.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test says that the books are wrong"
)]

use std::collections::{BTreeMap, BTreeSet};

use nacre::archive::{Archive, Nodes};
use nacre_core::counters::Counters;
use nacre_core::ids::Alias;
use nacre_core::node::{ChunkEntry, LeafEntry, RecordEntry};
use nacre_core::pack::{PackKind, PackRecord, PackState};
use nacre_core::place::{Place, Root, TreeKind};
use nacre_core::tree::{Compare, Diff, RecordTree};

/// Run counters and dead ranges are exactly what a walk over every session and tree finds.
///
/// # Panics
/// If they are not.
pub fn recount(archive: &Archive) {
    let nodes = archive.nodes();
    let mut live = BTreeSet::new();
    let runs = runs(archive, &nodes, &mut live);
    live.extend(runs.keys());
    let head = archive.head();
    for (tree, root) in [
        (TreeKind::Sessions, head.sessions),
        (TreeKind::Counters, head.counters),
        (TreeKind::Heads, head.history),
    ] {
        let entries = walk_tree::<RecordEntry>(&nodes, tree, &Root::Empty, &root, &mut live);
        for (_, entry) in entries {
            if let RecordEntry::Record(pointer) = entry {
                live.insert(pointer.place);
            }
        }
    }
    check_counters(archive, &nodes, &runs);
    check_packs(archive, &live);
}

/// Entries and nodes of `new` where it differs from `old`; what lies where goes to `live`.
///
/// # Panics
/// If a node cannot be read.
pub fn walk_tree<E: LeafEntry + 'static>(
    nodes: &Nodes,
    tree: TreeKind,
    old: &Root,
    new: &Root,
    live: &mut BTreeSet<Place>,
) -> Vec<(u64, E)> {
    let mut source = nodes;
    let mut diff = Diff::<E>::new(tree, old, new, Compare::Places);
    let mut entries = Vec::new();
    while let Some(batch) = diff.next(&mut source).unwrap() {
        live.extend(batch.new_nodes);
        entries.extend(
            batch
                .entries
                .into_iter()
                .filter_map(|cell| Some((cell.key, cell.new?))),
        );
    }
    entries
}

fn runs(archive: &Archive, nodes: &Nodes, live: &mut BTreeSet<Place>) -> BTreeMap<Place, u64> {
    let mut runs = BTreeMap::new();
    let sessions = archive.sessions().unwrap();
    for volume in &archive.head().volumes {
        let mut before: BTreeSet<(u64, Place)> = BTreeSet::new();
        for (_, _, at) in sessions.of_volume(volume.id) {
            let entries =
                walk_tree::<ChunkEntry>(nodes, TreeKind::Chunks, &Root::Empty, &at.root, live);
            let needs: BTreeSet<(u64, Place)> = entries
                .iter()
                .flat_map(|(key, entry)| entry.items().map(|item| (*key, item)))
                .collect();
            for (_, item) in needs.difference(&before) {
                *runs.entry(*item).or_insert(0) += 1;
            }
            before = needs;
        }
    }
    runs
}

fn check_counters(archive: &Archive, nodes: &Nodes, runs: &BTreeMap<Place, u64>) {
    let counters = RecordTree {
        tree: TreeKind::Counters,
        root: archive.head().counters,
    };
    let mut source = nodes;
    let mut stored = BTreeMap::new();
    for (alias, bytes) in counters.range(&mut source, 0..u64::MAX).unwrap() {
        let counters = Counters::parse(&bytes).unwrap();
        stored.extend(
            counters
                .iter()
                .map(|(offset, runs)| ((Alias(alias), offset), runs)),
        );
    }
    let many = runs.iter().filter(|(_, runs)| **runs > 1);
    let many = many.map(|(item, runs)| ((item.alias, item.offset), *runs));
    assert_eq!(stored, many.collect::<BTreeMap<_, _>>());
}

fn check_packs(archive: &Archive, live: &BTreeSet<Place>) {
    let homes: BTreeSet<Alias> = archive.head().homes.iter().map(|home| home.alias).collect();
    let mut packs: BTreeMap<Alias, PackRecord> = BTreeMap::new();
    archive
        .each_pack(|alias, record| {
            packs.insert(alias, record);
            Ok(())
        })
        .unwrap();
    let mut held: BTreeMap<Alias, u64> = BTreeMap::new();
    for item in live {
        let Some(record) = packs.get(&item.alias) else {
            assert!(homes.contains(&item.alias), "{item:?} lies in no pack");
            continue;
        };
        assert!(
            !touches(record, item.offset, item.end()),
            "{item:?} is called dead"
        );
        let (holder, offset) = record.resolve(*item).expect("a place for a live item");
        if holder != item.alias {
            let record = &packs[&holder];
            assert!(!touches(record, offset, offset + u64::from(item.length)));
            assert!(record.sources.contains(&item.alias));
        }
        *held.entry(holder).or_default() += u64::from(item.length);
    }
    for (alias, record) in &packs {
        match record.state {
            PackState::Live => {
                let held = held.get(alias).copied().unwrap_or_default();
                // Without its directory nobody knows where the items of a damaged pack begin and end that nothing needs.
                let unmarked = || {
                    let directory = archive.nodes().directory(record.name, record.size);
                    record.live() > held && directory.is_err()
                };
                let is_right = record.live() == held || unmarked();
                assert!(is_right, "pack {alias} holds {held}: {record:?}");
                if record.all_dead() {
                    // Homes of the pack tree stay, and are swept when somebody looks for what can be compacted.
                    assert_eq!(record.kind, PackKind::Index);
                }
            }
            PackState::Void => assert!(archive.head().freeing.contains(alias)),
            // What was moved and died since may lie nowhere.
            PackState::Moved if !live.iter().any(|item| item.alias == *alias) => {}
            PackState::Moved => {
                for part in &record.parts {
                    let state = packs.get(&part.alias).map(|holder| holder.state);
                    assert_eq!(state, Some(PackState::Live), "pack {alias}: {record:?}");
                }
            }
        }
    }
}

fn touches(record: &PackRecord, start: u64, end: u64) -> bool {
    record
        .dead
        .iter()
        .any(|(from, to)| from < end && start < to)
}
