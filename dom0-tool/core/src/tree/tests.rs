#![allow(
    clippy::similar_names,
    clippy::cast_possible_truncation,
    reason = "short tests; the numbers are small"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::memory::{Shelf, digest_key};
use super::*;
use crate::ids::{Alias, ChunkId};
use crate::mutation::{Random, rounds};
use crate::node::{ChunkEntry, LeafEntry, Node, RecordEntry};
use crate::place::{Place, Pointer, Root};

type Model<E> = BTreeMap<u64, E>;

fn target(tree: TreeKind, key: &crate::hash::DigestKey) -> EditTarget<'_> {
    EditTarget {
        tree,
        volume: VolumeId(1),
        session: SessionSeq(1),
        key,
    }
}

/// A tree beside the map that it should be like.
struct Pair<E> {
    tree: TreeKind,
    root: Root,
    model: Model<E>,
}

impl<E: LeafEntry + std::fmt::Debug + 'static> Pair<E> {
    fn new(tree: TreeKind) -> Self {
        Self {
            tree,
            root: Root::Empty,
            model: Model::new(),
        }
    }

    fn edit(&mut self, shelf: &mut Shelf, changes: Model<Option<E>>, cut: Option<u64>) -> Edited {
        let key = digest_key();
        let mut fresh = shelf.fresh();
        let target = target(self.tree, &key);
        let mut edit = Edit::new(target, &self.root, cut).with_window(3);
        let mut source = shelf.read();
        for (key, entry) in &changes {
            edit.push(&mut source, &mut fresh, *key, entry.clone())
                .unwrap();
        }
        edit.end_leaves(&mut source, &mut fresh).unwrap();
        while edit.raise(&mut source, &mut fresh).unwrap() {}
        let edited = edit.finish(&mut source).unwrap();
        shelf.absorb(fresh);
        if let Some(cut) = cut {
            self.model.split_off(&cut);
        }
        for (key, entry) in changes {
            match entry {
                Some(entry) => self.model.insert(key, entry),
                None => self.model.remove(&key),
            };
        }
        self.root = edited.root;
        edited
    }

    fn check(&self, shelf: &Shelf) {
        assert_eq!(
            walked(shelf, self.tree, &self.root, 0..u64::MAX),
            self.model
        );
        let mut other = Self::new(self.tree);
        let all = self.model.clone().into_iter().map(|(k, e)| (k, Some(e)));
        let mut fresh = shelf.fresh();
        other.edit(&mut fresh, all.collect(), None);
        match self.tree {
            TreeKind::Chunks => assert!(self.root.same_content(&other.root)),
            // The digests of other trees cover the places of their nodes.
            _ => assert_eq!(height(&self.root), height(&other.root)),
        }
    }
}

fn height(root: &Root) -> Option<u8> {
    match root {
        Root::Empty => None,
        Root::Node { level, .. } => Some(*level),
    }
}

fn walked<E: LeafEntry + 'static>(
    shelf: &Shelf,
    tree: TreeKind,
    root: &Root,
    keys: std::ops::Range<u64>,
) -> Model<E> {
    let mut walk = Walk::new(tree, root, keys).with_window(5);
    let mut model = Model::new();
    let mut source = shelf.read();
    while let Some(batch) = walk.next(&mut source).unwrap() {
        for (key, entry) in batch.entries::<E>() {
            assert!(model.last_key_value().is_none_or(|(last, _)| *last < key));
            model.insert(key, entry.clone());
        }
    }
    model
}

fn chunk(random: &mut Random) -> ChunkEntry {
    let n = random.below(5) as u8;
    ChunkEntry::Chunk {
        id: ChunkId([n; 32]),
        place: Place {
            alias: Alias(1 + random.below(3) as u64),
            offset: random.below(4) as u64 * 100,
            length: 100,
        },
    }
}

fn any_key(random: &mut Random) -> u64 {
    let spread = [70, 300, 5000, 1 << 20, 1 << 40, u64::MAX - 1][random.below(6)];
    random.next() % spread
}

/// Where to cut: often right at or behind a key that is there.
fn any_cut<E>(random: &mut Random, model: &Model<E>) -> Option<u64> {
    let keys: Vec<u64> = model.keys().copied().collect();
    match random.below(5) {
        0 => Some(any_key(random)),
        1 if !keys.is_empty() => Some(keys[random.below(keys.len())] + random.below(2) as u64),
        _ => None,
    }
}

fn any_changes<E>(
    random: &mut Random,
    model: &Model<E>,
    mut entry: impl FnMut(&mut Random) -> E,
) -> Model<Option<E>> {
    let mut changes = Model::new();
    for _ in 0..random.below(12) {
        let key = any_key(random);
        changes.insert(key, Some(entry(random)));
    }
    // Removing what is there is what makes trees shrink, above all if it was everything that was high.
    let above = any_key(random);
    let high = random.below(3) == 0;
    if high {
        changes.split_off(&above);
    }
    for key in model.keys() {
        if high && *key >= above || random.below(6) == 0 {
            changes.insert(*key, None);
        }
    }
    changes
}

#[test]
fn a_tree_is_like_a_map_whatever_its_history() {
    for seed in 0..rounds(120) {
        let mut random = Random(seed);
        let (mut shelf, mut pair) = (Shelf::default(), Pair::new(TreeKind::Chunks));
        for _ in 0..6 {
            let changes = any_changes(&mut random, &pair.model, chunk);
            let cut = any_cut(&mut random, &pair.model);
            pair.edit(&mut shelf, changes, cut);
            pair.check(&shelf);
            let (from, to) = (any_key(&mut random), any_key(&mut random));
            let part: Model<ChunkEntry> = walked(&shelf, TreeKind::Chunks, &pair.root, from..to);
            let expected: Model<ChunkEntry> = if from < to {
                pair.model
                    .range(from..to)
                    .map(|(k, e)| (*k, e.clone()))
                    .collect()
            } else {
                Model::new()
            };
            assert_eq!(part, expected, "seed {seed}");
        }
    }
}

#[test]
fn an_edit_names_every_node_and_record_that_it_drops() {
    for seed in 0..rounds(100) {
        let mut random = Random(seed);
        let mut shelf = Shelf::default();
        let (mut root, mut model) = (Root::Empty, Model::<Vec<u8>>::new());
        for _ in 0..6 {
            let key = digest_key();
            let changes = any_changes(&mut random, &model, |random| {
                let length = [3, 511, 513, 3000][random.below(4)];
                vec![random.next() as u8; length]
            });
            let mut fresh = shelf.fresh();
            let staged =
                RecordTree::stage(TreeKind::Sessions, &key, changes.clone(), &mut fresh).unwrap();
            let tree = RecordTree {
                tree: TreeKind::Sessions,
                root,
            };
            let edited = tree
                .apply(&key, staged, &mut shelf.read(), &mut fresh)
                .unwrap();
            shelf.absorb(fresh);
            for (key, record) in changes {
                match record {
                    Some(record) => model.insert(key, record),
                    None => model.remove(&key),
                };
            }
            edited.dropped.iter().for_each(|place| shelf.forget(place));
            root = edited.root;
            let tree = RecordTree {
                tree: TreeKind::Sessions,
                root,
            };
            let all = tree.range(&mut shelf.read(), 0..u64::MAX).unwrap();
            assert_eq!(all.into_iter().collect::<Model<_>>(), model);
            assert_eq!(shelf.len(), reachable(&shelf, &root), "seed {seed}");
        }
    }
}

fn reachable(shelf: &Shelf, root: &Root) -> usize {
    let mut diff =
        Diff::<RecordEntry>::new(TreeKind::Sessions, &Root::Empty, root, Compare::Places);
    let mut count = 0;
    while let Some(batch) = diff.next(&mut shelf.read()).unwrap() {
        count += batch.new_nodes.len();
        let entries = batch.entries.iter().flat_map(|entry| &entry.new);
        count += entries.filter_map(LeafEntry::own_item).count();
    }
    count
}

#[test]
fn a_difference_is_that_of_the_maps() {
    for seed in 0..rounds(100) {
        let mut random = Random(seed);
        let (mut shelf, mut pair) = (Shelf::default(), Pair::new(TreeKind::Chunks));
        let mut history = vec![(Root::Empty, Model::new())];
        for _ in 0..4 {
            let changes = any_changes(&mut random, &pair.model, chunk);
            let cut = any_cut(&mut random, &pair.model);
            pair.edit(&mut shelf, changes, cut);
            history.push((pair.root, pair.model.clone()));
        }
        for (old, old_model) in &history {
            for (new, new_model) in &history {
                for compare in [Compare::Content, Compare::Places] {
                    let found = differences(&shelf, old, new, compare);
                    let all = expected(old_model, new_model, compare);
                    assert_eq!(found, all, "seed {seed}");
                    // Leaf by leaf it is the same.
                    for leaf in all.iter().map(|one| one.key / 64) {
                        let keys = leaf * 64..(leaf + 1) * 64;
                        let found = differences_within(&shelf, old, new, compare, keys.clone());
                        let mut here = all.clone();
                        here.retain(|one| keys.contains(&one.key));
                        assert_eq!(found, here, "seed {seed}");
                    }
                }
            }
        }
    }
}

fn differences(
    shelf: &Shelf,
    old: &Root,
    new: &Root,
    compare: Compare,
) -> Vec<Difference<ChunkEntry>> {
    differences_within(shelf, old, new, compare, 0..u64::MAX)
}

fn differences_within(
    shelf: &Shelf,
    old: &Root,
    new: &Root,
    compare: Compare,
    keys: std::ops::Range<u64>,
) -> Vec<Difference<ChunkEntry>> {
    let diff = Diff::new(TreeKind::Chunks, old, new, compare);
    let mut diff = diff.with_window(3).within(keys);
    let mut all = Vec::new();
    while let Some(batch) = diff.next(&mut shelf.read()).unwrap() {
        all.extend(batch.entries);
    }
    all
}

fn expected(
    old: &Model<ChunkEntry>,
    new: &Model<ChunkEntry>,
    compare: Compare,
) -> Vec<Difference<ChunkEntry>> {
    let keys: BTreeSet<u64> = old.keys().chain(new.keys()).copied().collect();
    let both = keys.into_iter().map(|key| Difference {
        key,
        old: old.get(&key).cloned(),
        new: new.get(&key).cloned(),
    });
    both.filter(|d| match (&d.old, &d.new, compare) {
        (Some(old), Some(new), Compare::Content) => !old.same_content(new),
        (old, new, _) => old != new,
    })
    .collect()
}

fn tebibyte(shelf: &mut Shelf, chunks: u64) -> Pair<ChunkEntry> {
    let mut pair = Pair::new(TreeKind::Chunks);
    let mut random = Random(1);
    let all = (0..chunks).map(|key| (key, Some(chunk(&mut random))));
    pair.edit(shelf, all.collect(), None);
    pair
}

#[test]
fn few_changes_write_and_compare_few_nodes() {
    let mut shelf = Shelf::default();
    let mut pair = tebibyte(&mut shelf, 64 * 64 * 20);
    let old = pair.root;
    let written = shelf.nodes_written;
    let changed = [5, 6, 64 * 64 * 7, 64 * 64 * 19 + 3];
    let id = ChunkId([99; 32]);
    let changes = changed.map(|key| (key, Some(ChunkEntry::Lost { id })));
    pair.edit(&mut shelf, changes.into(), None);
    // Three leaves, three nodes above them, the root.
    assert_eq!(shelf.nodes_written - written, 7);
    let mut source = shelf.read();
    let mut diff = Diff::<ChunkEntry>::new(TreeKind::Chunks, &old, &pair.root, Compare::Content);
    let mut found = Vec::new();
    while let Some(batch) = diff.next(&mut source).unwrap() {
        found.extend(batch.entries.into_iter().map(|entry| entry.key));
    }
    assert_eq!(found, changed);
    assert_eq!((source.nodes, source.batches), (14, 3));
}

#[test]
fn an_edit_that_changes_nothing_writes_nothing() {
    let mut shelf = Shelf::default();
    let mut pair = tebibyte(&mut shelf, 1000);
    let (root, written) = (pair.root, shelf.nodes_written);
    let mut changes: Model<_> = pair
        .model
        .range(300..500)
        .map(|(k, e)| (*k, Some(e.clone())))
        .collect();
    changes.insert(5000, None);
    let edited = pair.edit(&mut shelf, changes, Some(1000));
    assert_eq!((edited.root, edited.dropped), (root, Vec::new()));
    assert_eq!(shelf.nodes_written, written);
}

#[test]
fn a_large_volume_is_cut_without_listing_it() {
    let mut shelf = Shelf::default();
    let mut pair = tebibyte(&mut shelf, 64 * 64 * 20);
    let key = digest_key();
    let target = target(TreeKind::Chunks, &key);
    let mut source = shelf.read();
    let mut fresh = shelf.fresh();
    let none = std::iter::empty::<(u64, Option<ChunkEntry>)>();
    let edited = edit(target, &pair.root, none, Some(70), &mut source, &mut fresh).unwrap();
    assert!(source.nodes <= 3, "{} nodes read", source.nodes);
    assert_eq!(fresh.nodes_written, 2);
    shelf.absorb(fresh);
    (pair.root, pair.model) = (edited.root, pair.model.into_iter().take(70).collect());
    pair.check(&shelf);
}

#[test]
fn changes_out_of_order_are_refused() {
    let key = digest_key();
    let target = target(TreeKind::Chunks, &key);
    let changes = [5, 4].map(|key| (key, None::<ChunkEntry>));
    let shelf = Shelf::default();
    let made = edit(
        target,
        &Root::Empty,
        changes,
        None,
        &mut shelf.read(),
        &mut shelf.fresh(),
    );
    assert!(made.is_err());
}

/// A source that cannot read some nodes, and knows which it was asked for.
struct Holed<'a> {
    reading: super::memory::Reading<'a>,
    bad: BTreeSet<Place>,
    asked: BTreeSet<Place>,
}

impl NodeSource for Holed<'_> {
    type Error = FormatError;

    fn nodes(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Arc<Node>>> {
        self.asked.extend(pointers.iter().map(|p| p.place));
        if pointers.iter().any(|p| self.bad.contains(&p.place)) {
            return Err(FormatError::NotAuthentic("an index node"));
        }
        self.reading.nodes(tree, pointers)
    }

    fn records(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Vec<u8>>> {
        self.reading.records(tree, pointers)
    }
}

type Result<T> = std::result::Result<T, FormatError>;

#[test]
fn a_node_that_cannot_be_read_costs_its_own_keys_and_no_others() {
    let mut random = Random(11);
    let mut shelf = Shelf::default();
    let mut pair = Pair::<ChunkEntry>::new(TreeKind::Chunks);
    let keys: BTreeSet<u64> = (0..400).map(|_| random.below(30_000) as u64).collect();
    let entry = |key| ChunkEntry::Lost {
        id: ChunkId([key as u8; 32]),
    };
    let changes = keys.iter().map(|key| (*key, Some(entry(*key))));
    pair.edit(&mut shelf, changes.collect(), None);

    let walk = |bad: BTreeSet<Place>| {
        let mut source = Holed {
            reading: shelf.read(),
            bad,
            asked: BTreeSet::new(),
        };
        let mut walk = Walk::new(TreeKind::Chunks, &pair.root, 0..30_000).with_window(7);
        let (mut found, mut lost) = (BTreeSet::new(), Vec::new());
        while let Some(batch) = walk.next_tolerant(&mut source, &mut lost) {
            found.extend(batch.entries::<ChunkEntry>().map(|(key, _)| key));
        }
        (found, lost, source.asked)
    };
    let (found, lost, asked) = walk(BTreeSet::new());
    assert!(found == keys && lost.is_empty());
    for bad in asked {
        let (found, lost, _) = walk(BTreeSet::from([bad]));
        let [(range, _)] = &lost[..] else {
            panic!("one node is one range: {lost:?}");
        };
        let expected = keys.iter().copied().filter(|key| !range.contains(key));
        assert_eq!(found, expected.collect(), "{bad:?}");
        assert!(keys.range(range.clone()).next().is_some(), "{range:?}");
    }
}

/// A source in which one node cannot be read, and stands there empty.
struct StoodIn<'a> {
    shelf: &'a Shelf,
    lost: Place,
    level: u8,
}

impl NodeSource for StoodIn<'_> {
    type Error = FormatError;

    fn nodes(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Arc<Node>>> {
        let mut nodes = Vec::new();
        for pointer in pointers {
            if pointer.place != self.lost {
                nodes.extend(self.shelf.read().nodes(tree, &[*pointer])?);
            } else if self.level == 0 {
                nodes.push(Arc::new(Node::leaf::<RecordEntry>(tree, Vec::new())));
            } else {
                nodes.push(Arc::new(Node::inner(tree, self.level, Vec::new())));
            }
        }
        Ok(nodes)
    }

    fn records(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Vec<u8>>> {
        self.shelf.read().records(tree, pointers)
    }
}

/// A lost leaf in whose place nothing came stayed in the tree: it was damage still after the repair.
#[test]
fn a_lost_node_goes_even_if_nothing_comes_in_its_place() {
    let tree = TreeKind::Counters;
    let mut shelf = Shelf::default();
    let mut whole = Pair::<RecordEntry>::new(tree);
    let record = |key: u64| Some(RecordEntry::Inline(key.to_le_bytes().to_vec()));
    whole.edit(
        &mut shelf,
        (0..9000).step_by(7).map(|key| (key, record(key))).collect(),
        None,
    );
    let Root::Node { level: 2, pointer } = whole.root else {
        panic!("{:?}", whole.root);
    };
    let root = shelf.read().nodes(tree, &[pointer]).unwrap();
    let inner = root[0].children()[1].1;
    let below = shelf.read().nodes(tree, &[inner]).unwrap();
    let leaf = below[0].children()[2].1;
    let first = 1 << 12;
    for (lost, level, keys) in [
        (leaf.place, 0, first + 128..first + 192),
        (inner.place, 1, first..2 * first),
        (pointer.place, 2, 0..1 << 18),
    ] {
        let mut kept = shelf.clone();
        let mut fresh = kept.fresh();
        let key = digest_key();
        let changes = [(keys.start, None::<RecordEntry>)];
        let mut source = StoodIn {
            shelf: &shelf,
            lost,
            level,
        };
        let edited = edit(
            target(tree, &key),
            &whole.root,
            changes,
            None,
            &mut source,
            &mut fresh,
        );
        let edited = edited.unwrap();
        assert!(edited.dropped.contains(&lost));
        kept.absorb(fresh);
        kept.forget(&lost);
        let left = whole.model.iter().filter(|(key, _)| !keys.contains(*key));
        let left: Model<RecordEntry> = left.map(|(key, entry)| (*key, entry.clone())).collect();
        assert_eq!(
            walked(&kept, tree, &edited.root, 0..u64::MAX),
            left,
            "level {level}"
        );
    }
}
