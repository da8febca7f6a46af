//! Counting by brute force what every item is needed for, and comparing that with the counters and dead ranges that commits have kept (DESIGN 4.5).
//!
//! Memory is bounded: items are counted pack by pack in rising order of aliases, as many packs at a time as fit, with a walk through the index for
//! each such stretch. Up to some thirty million items one walk is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use nacre_core::counters::Counters;
use nacre_core::ids::{Alias, SessionSeq};
use nacre_core::node::{ChunkEntry, RecordEntry};
use nacre_core::pack::{DirectoryEntry, PackRecord, PackState};
use nacre_core::place::{Place, Root, TreeKind};
use nacre_core::ranges::RangeSet;
use nacre_core::tree::{Compare, Diff, RecordTree};

use super::survey::Point;
use crate::archive::{Archive, Error, Nodes, Result};

/// Items that are counted at a time: 24 bytes each and as much again for the map.
const AT_ONCE: usize = 3 << 20;

/// What is wrong with the counters and dead ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Packs in which something is marked as dead that is needed, and the records as they must be.
    pub needed: Vec<Alias>,
    /// Packs with items that are counted as needed less often than they are.
    pub undercounted: Vec<Alias>,
    /// Packs with items that are counted as needed more often than they are.
    pub overcounted: Vec<Alias>,
    /// Bytes that nothing needs and that are not marked as dead.
    pub unmarked: u64,
    /// The records of packs as they must be, where they differ.
    pub packs: BTreeMap<Alias, PackRecord>,
    /// The records of counters as they must be, where they differ; `None`: there must be none.
    pub counters: BTreeMap<Alias, Option<Counters>>,
}

impl Books {
    /// Whether a prune that believes them could free what is needed.
    pub fn is_dangerous(&self) -> bool {
        !self.needed.is_empty() || !self.undercounted.is_empty()
    }

    /// Whether nothing is wrong.
    pub fn are_right(&self) -> bool {
        self.packs.is_empty() && self.counters.is_empty()
    }
}

/// The items of one pack that are needed: sealed length and number of runs, by offset.
type Needed = BTreeMap<u64, (u32, u32)>;

/// Counts items of a stretch of packs.
struct Count {
    packs: BTreeMap<Alias, Needed>,
    items: usize,
    at_once: usize,
    /// Packs from here on are left for the next walk.
    end: Option<Alias>,
    start: Alias,
}

impl Count {
    /// Counts an item in the pack that names it, and enters it in the one that holds it, if that is another.
    fn item(&mut self, nodes: &Nodes, place: &Place, counted: bool) -> Result<()> {
        self.add(place, counted);
        if nodes.packs().record(place.alias).is_none() {
            nodes.pack_record(place.alias)?;
        }
        let moved = nodes.packs().record(place.alias);
        let moved = moved.filter(|record| record.state == PackState::Moved);
        if let Some((alias, offset)) = moved.and_then(|record| record.resolve(*place)) {
            let there = Place {
                alias,
                offset,
                length: place.length,
            };
            self.add(&there, false);
        }
        Ok(())
    }

    /// One more run of an item; a node or record is entered once, however often it is met.
    fn add(&mut self, place: &Place, counted: bool) {
        if place.alias < self.start || self.end.is_some_and(|end| place.alias >= end) {
            return;
        }
        let needed = self.packs.entry(place.alias).or_default();
        let before = needed.len();
        let item = needed.entry(place.offset).or_insert((place.length, 0));
        item.1 = if counted { item.1.saturating_add(1) } else { 1 };
        self.items += needed.len() - before;
        while self.items > self.at_once && self.packs.len() > 1 {
            // The last pack goes; the next walk begins with it.
            if let Some((alias, dropped)) = self.packs.pop_last() {
                self.items -= dropped.len();
                self.end = Some(alias);
            }
        }
    }
}

/// Recounts the whole archive. `volumes`: the sessions of each, in order of time. With `correct` the
/// records as they must be are made too. The answer is `None` where a part of the index cannot be read.
pub fn recount(
    archive: &Archive,
    volumes: &[Vec<Point>],
    correct: bool,
    stop: &AtomicBool,
) -> Result<Option<Books>> {
    recount_at_once(archive, volumes, correct, stop, AT_ONCE)
}

fn recount_at_once(
    archive: &Archive,
    volumes: &[Vec<Point>],
    correct: bool,
    stop: &AtomicBool,
    at_once: usize,
) -> Result<Option<Books>> {
    let mut books = Books::default();
    let mut start = Alias(0);
    loop {
        let mut count = Count {
            packs: BTreeMap::new(),
            items: 0,
            at_once,
            end: None,
            start,
        };
        let counted = walk(archive, volumes, stop, &mut count).and_then(|()| {
            let end = count.end.unwrap_or(archive.head().next.alias);
            compare(archive, (start, end), &count.packs, correct, &mut books)
        });
        match (counted, count.end) {
            (Err(error), _) if error.is_damage() => return Ok(None),
            (Err(error), _) => return Err(error),
            (Ok(()), Some(end)) => start = end,
            (Ok(()), None) => break,
        }
    }
    Ok(Some(books))
}

/// Meets every item that is needed.
fn walk(
    archive: &Archive,
    volumes: &[Vec<Point>],
    stop: &AtomicBool,
    count: &mut Count,
) -> Result<()> {
    let nodes = archive.nodes();
    let mut source: &Nodes = &nodes;
    for points in volumes {
        let mut before = Root::Empty;
        for point in points {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let tree = TreeKind::Chunks;
            let mut diff = Diff::<ChunkEntry>::new(tree, &before, &point.root, Compare::Places);
            while let Some(batch) = diff.next(&mut source)? {
                for cell in &batch.entries {
                    let had: Vec<Place> = cell.old.iter().flat_map(ChunkEntry::items).collect();
                    let has = cell.new.iter().flat_map(ChunkEntry::items);
                    for item in has.filter(|item| !had.contains(item)) {
                        count.item(&nodes, &item, true)?;
                    }
                }
                for node in &batch.new_nodes {
                    count.item(&nodes, node, false)?;
                }
            }
            before = point.root;
        }
    }
    let head = archive.head();
    let trees = [
        (TreeKind::Sessions, head.sessions),
        (TreeKind::Counters, head.counters),
        (TreeKind::Heads, head.history),
    ];
    for (tree, root) in trees {
        let mut diff = Diff::<RecordEntry>::new(tree, &Root::Empty, &root, Compare::Places);
        while let Some(batch) = diff.next(&mut source)? {
            for cell in &batch.entries {
                if let Some(RecordEntry::Record(pointer)) = &cell.new {
                    count.item(&nodes, &pointer.place, false)?;
                }
            }
            for node in &batch.new_nodes {
                count.item(&nodes, node, false)?;
            }
        }
    }
    Ok(())
}

/// Compares the packs of a stretch with what was counted.
fn compare(
    archive: &Archive,
    (start, end): (Alias, Alias),
    counted: &BTreeMap<Alias, Needed>,
    correct: bool,
    books: &mut Books,
) -> Result<()> {
    let nodes = archive.nodes();
    let mut source: &Nodes = &nodes;
    let head = archive.head();
    let packs = RecordTree {
        tree: TreeKind::Packs,
        root: head.packs,
    };
    let empty = Needed::new();
    packs.each(&mut source, start.0..end.0, |key, bytes| {
        let alias = Alias(key);
        let record = PackRecord::parse(&bytes)?;
        let needed = counted.get(&alias).unwrap_or(&empty);
        let is_home = head.homes.iter().any(|home| home.alias == alias);
        compare_pack(&nodes, (alias, is_home), &record, needed, correct, books)
    })?;
    let tree = RecordTree {
        tree: TreeKind::Counters,
        root: head.counters,
    };
    let mut stored = BTreeMap::new();
    tree.each(&mut source, start.0..end.0, |key, bytes| {
        stored.insert(Alias(key), Counters::parse(&bytes)?);
        Ok(())
    })?;
    let both: BTreeSet<Alias> = stored.keys().chain(counted.keys()).copied().collect();
    for alias in both {
        let mut right = Counters::default();
        for (offset, (_, runs)) in counted.get(&alias).unwrap_or(&empty) {
            right.set(*offset, u64::from(*runs));
        }
        let kept = stored.remove(&alias).unwrap_or_default();
        if kept == right {
            continue;
        }
        let runs = |counters: &Counters, offset| counters.get(offset).unwrap_or(1);
        if right.iter().any(|(at, n)| n > runs(&kept, at)) {
            books.undercounted.push(alias);
        }
        if kept.iter().any(|(at, n)| n > runs(&right, at)) {
            books.overcounted.push(alias);
        }
        let right = (!right.is_empty()).then_some(right);
        books.counters.insert(alias, right);
    }
    Ok(())
}

/// Compares the record of a pack with what is needed of it. With `correct` the record as it must be is made, for which the pack's directory is read.
/// Homes of the pack tree hold nodes that are not counted here.
fn compare_pack(
    nodes: &Nodes,
    (alias, is_home): (Alias, bool),
    record: &PackRecord,
    needed: &Needed,
    correct: bool,
    books: &mut Books,
) -> Result<()> {
    // What names an item there is damaged, and was met on the way.
    if record.state == PackState::Void {
        return Ok(());
    }
    let dead = |(offset, (length, _)): (&u64, &(u32, u32))| {
        let end = offset.saturating_add(u64::from(*length));
        record
            .dead
            .iter()
            .any(|(from, to)| from < end && *offset < to)
    };
    let hurt = needed.iter().any(dead);
    if hurt {
        books.needed.push(alias);
    }
    let live: u64 = needed.values().map(|(length, _)| u64::from(*length)).sum();
    let told = live
        .saturating_add(record.own)
        .saturating_add(record.dead.total());
    let unmarked = record.size.saturating_sub(told);
    books.unmarked = books.unmarked.saturating_add(unmarked);
    if correct
        && (hurt || unmarked > 0)
        && let Some(dead) = dead_of(nodes, (record, is_home), needed, hurt)?
    {
        let right = PackRecord {
            dead,
            ..record.clone()
        };
        books.packs.insert(alias, right);
    }
    Ok(())
}

/// What is dead of a pack, if that can be told.
fn dead_of(
    nodes: &Nodes,
    (record, is_home): (&PackRecord, bool),
    needed: &Needed,
    hurt: bool,
) -> Result<Option<RangeSet>> {
    // The pack tree's own nodes stand behind all others.
    let own = record.size.saturating_sub(record.own);
    let mut dead = RangeSet::default();
    if record.state == PackState::Moved {
        // Its directory is gone with it, and nothing of what it does not hold any more is to be freed.
        let mut at = 0;
        for (offset, (length, _)) in needed {
            dead.insert(at, *offset);
            at = offset.saturating_add(u64::from(*length));
        }
        dead.insert(at, own);
        return Ok(Some(dead));
    }
    match nodes.directory(record.name, record.size) {
        Ok(found) => {
            let items = found.directory.items.iter();
            for item in items.filter(|item| !is_own(&item.entry)) {
                if !needed.contains_key(&item.offset) {
                    let end = item.offset.saturating_add(u64::from(item.length));
                    dead.insert(item.offset, end);
                }
            }
        }
        // Without its directory nobody knows where its items begin and end. What is needed is kept all the same.
        Err(error) if error.is_damage() && hurt => {}
        // Nothing is needed of it, wherever its items are: it can be given up.
        Err(error) if error.is_damage() && needed.is_empty() && !is_home => dead.insert(0, own),
        Err(error) if error.is_damage() => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(dead))
}

/// Whether an item belongs to the pack tree, and so is not counted as an item of others.
fn is_own(entry: &DirectoryEntry) -> bool {
    matches!(
        entry,
        DirectoryEntry::Node { tree, .. } | DirectoryEntry::Record { tree, .. }
            if *tree == TreeKind::Packs
    )
}

/// Sessions of volumes in order of time, as [`recount`] wants them.
pub fn by_volume(archive: &Archive, sessions: &crate::archive::Sessions) -> Vec<Vec<Point>> {
    let volumes = archive.head().volumes.iter();
    let points = |(seq, _, at): (SessionSeq, _, &nacre_core::session::SessionVolume)| Point {
        seq,
        root: at.root,
        size: at.size,
    };
    volumes
        .map(|volume| sessions.of_volume(volume.id).map(points).collect())
        .collect()
}
