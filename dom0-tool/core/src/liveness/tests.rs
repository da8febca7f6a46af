#![allow(
    clippy::cast_possible_truncation,
    reason = "short tests; the numbers are small"
)]

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::ids::{ChunkId, SessionSeq, VolumeId};
use crate::mutation::{Random, rounds};
use crate::node::{Bitmap, ChunkFormat, Patched};
use crate::tree::memory::{Shelf, digest_key};
use crate::tree::{EditTarget, RecordTree, edit};

type Cells = BTreeMap<u64, ChunkEntry>;

#[derive(Clone, Default)]
struct Volume {
    domain: usize,
    sessions: Vec<(Cells, Root)>,
}

/// An archive in which everything is also kept in plain maps.
struct Archive {
    shelf: Shelf,
    volumes: Vec<Volume>,
    counters: RecordTree,
    /// Every item that was written and is not dead.
    live: BTreeSet<Place>,
    /// Every node of a chunk tree that was written and is not dead.
    live_nodes: BTreeSet<Place>,
    /// Items by domain and content, for dedup.
    known: BTreeMap<(usize, u8), Place>,
    /// Written since the last commit.
    new: BTreeSet<Place>,
    next: u64,
}

const DATA: u64 = 1 << 32;

impl Archive {
    fn new(volumes: usize) -> Self {
        let volume = |n| Volume {
            domain: n % 2,
            ..Volume::default()
        };
        Self {
            shelf: Shelf::default(),
            volumes: (0..volumes).map(volume).collect(),
            counters: RecordTree {
                tree: TreeKind::Counters,
                root: Root::Empty,
            },
            live: BTreeSet::new(),
            live_nodes: BTreeSet::new(),
            known: BTreeMap::new(),
            new: BTreeSet::new(),
            next: 0,
        }
    }

    fn item(&mut self) -> Place {
        self.next += 1;
        let place = Place {
            alias: Alias(DATA + self.next / 7),
            offset: self.next % 7 * 100,
            length: 100,
        };
        self.live.insert(place);
        self.new.insert(place);
        place
    }

    fn whole(&mut self, domain: usize, content: u8) -> ChunkEntry {
        let id = ChunkId([content; 32]);
        if let Some(place) = self.known.get(&(domain, content))
            && self.live.contains(place)
        {
            return ChunkEntry::Chunk { id, place: *place };
        }
        let place = self.item();
        if content < 6 {
            self.known.insert((domain, content), place);
        }
        ChunkEntry::Chunk { id, place }
    }

    fn patch(&mut self, old: &ChunkEntry, content: u8) -> ChunkEntry {
        let (base, base_place) = match old {
            ChunkEntry::Chunk { id, place } => (*id, *place),
            ChunkEntry::Patched(patched) => (patched.base, patched.base_place),
            ChunkEntry::Lost { .. } => unreachable!(),
        };
        let mut bitmap = Bitmap::empty(ChunkFormat::new(17).unwrap());
        bitmap.set(usize::from(content % 32));
        ChunkEntry::Patched(Box::new(Patched {
            id: ChunkId([content; 32]),
            base,
            base_place,
            bitmap,
            place: self.item(),
        }))
    }

    /// The cells of a volume after some writes over older cells; content also returns from older sessions.
    fn written(&mut self, random: &mut Random, volume: usize, old: &Cells) -> Cells {
        let mut cells = old.clone();
        if random.below(8) == 0 {
            cells.split_off(&(random.below(300) as u64));
        }
        let domain = self.volumes[volume].domain;
        for _ in 0..random.below(6) {
            let key =
                [random.below(6), random.below(200), random.below(9000)][random.below(3)] as u64;
            let content = random.below(40) as u8;
            let past = self.volumes[volume].sessions.len();
            let entry = match (random.below(6), cells.get(&key).cloned()) {
                (0, _) => None,
                (1, _) if past > 0 => self.volumes[volume].sessions[random.below(past)]
                    .0
                    .get(&key)
                    .cloned(),
                (2 | 3, Some(old)) => Some(self.patch(&old, content)),
                _ => Some(self.whole(domain, content)),
            };
            match entry {
                Some(entry) => cells.insert(key, entry),
                None => cells.remove(&key),
            };
        }
        cells
    }

    /// Edits the tree of one volume from `old` to `cells`.
    fn tree(&mut self, old: &(Cells, Root), cells: Cells) -> (Cells, Root) {
        let keys: BTreeSet<u64> = old.0.keys().chain(cells.keys()).copied().collect();
        let changes = keys.into_iter().map(|key| (key, cells.get(&key).cloned()));
        let key = digest_key();
        let target = EditTarget {
            tree: TreeKind::Chunks,
            volume: VolumeId(1),
            session: SessionSeq(1),
            key: &key,
        };
        let mut fresh = self.shelf.fresh();
        let edited = edit(
            target,
            &old.1,
            changes,
            None,
            &mut self.shelf.read(),
            &mut fresh,
        )
        .unwrap();
        self.live_nodes.extend(fresh.places());
        self.shelf.absorb(fresh);
        (cells, edited.root)
    }

    fn step(&mut self, random: &mut Random, changes: &mut RunChanges) {
        let volume = random.below(self.volumes.len());
        let sessions = &self.volumes[volume].sessions;
        let root = |at: Option<usize>| {
            let session = at.and_then(|at| sessions.get(at));
            session.map_or(Root::Empty, |(_, root)| *root)
        };
        match random.below(6) {
            5 if !sessions.is_empty() => self.rewrite(random, volume, changes),
            0 | 1 if !sessions.is_empty() => {
                let from = random.below(sessions.len());
                let to = (from + 1 + random.below(3)).min(sessions.len());
                let forgotten: Vec<Root> = (from..to).map(|at| root(Some(at))).collect();
                let (before, next) = (root(from.checked_sub(1)), root(Some(to)));
                changes
                    .forget(&mut self.shelf.read(), &before, &forgotten, &next)
                    .unwrap();
                self.volumes[volume].sessions.drain(from..to);
            }
            2 if !sessions.is_empty() => {
                // A checkpoint goes on, or starts again from the session before.
                let last = sessions.len() - 1;
                let before = root(last.checked_sub(1));
                let again = random.below(2) == 0 && last > 0;
                let from = sessions[if again { last - 1 } else { last }].clone();
                let old = sessions[last].1;
                let cells = self.written(random, volume, &from.0);
                let new = self.tree(&from, cells);
                changes
                    .replace(&mut self.shelf.read(), &before, &old, &new.1, |_| false)
                    .unwrap();
                self.volumes[volume].sessions[last] = new;
            }
            _ => {
                let from = sessions.last().cloned().unwrap_or_default();
                let cells = self.written(random, volume, &from.0);
                let new = self.tree(&from, cells);
                changes
                    .extend(&mut self.shelf.read(), &from.1, &new.1, |_| false)
                    .unwrap();
                self.volumes[volume].sessions.push(new);
            }
        }
    }

    /// The last sessions become others. Nodes never come back, so each is made of the one before it.
    fn rewrite(&mut self, random: &mut Random, volume: usize, changes: &mut RunChanges) {
        let sessions = self.volumes[volume].sessions.clone();
        let from = random.below(sessions.len());
        let mut base = sessions[from + random.below(sessions.len() - from)].clone();
        let mut new: Vec<(Cells, Root)> = Vec::new();
        for _ in 0..random.below(4) {
            let cells = self.written(random, volume, &base.0);
            base = self.tree(&base, cells);
            new.push(base.clone());
        }
        let before = from.checked_sub(1).map_or(Root::Empty, |at| sessions[at].1);
        let old: Vec<Root> = sessions[from..].iter().map(|(_, root)| *root).collect();
        let roots: Vec<Root> = new.iter().map(|(_, root)| *root).collect();
        changes
            .rewrite(&mut self.shelf.read(), &before, &old, &roots, &Root::Empty)
            .unwrap();
        self.volumes[volume].sessions.splice(from.., new);
    }

    fn commit(&mut self, changes: RunChanges) {
        let new = std::mem::take(&mut self.new);
        let settled = changes
            .settle(&mut self.shelf.read(), &self.counters, |place| {
                new.contains(place)
            })
            .unwrap();
        let key = digest_key();
        let mut fresh = self.shelf.fresh();
        let staged =
            RecordTree::stage(TreeKind::Counters, &key, settled.counters, &mut fresh).unwrap();
        let edited = self
            .counters
            .apply(&key, staged, &mut self.shelf.read(), &mut fresh)
            .unwrap();
        self.shelf.absorb(fresh);
        self.counters.root = edited.root;
        for place in settled.dead {
            assert!(self.live.remove(&place), "died twice");
        }
        for place in settled.dead_nodes {
            assert!(self.live_nodes.remove(&place), "died twice");
        }
        // What was written and overwritten before any commit was never needed; its writer knows that.
        let runs = self.runs();
        self.live
            .retain(|place| runs.contains_key(place) || !new.contains(place));
        self.check(&runs);
    }

    /// Runs of every item, counted by brute force.
    fn runs(&self) -> BTreeMap<Place, u64> {
        let mut runs = BTreeMap::new();
        for volume in &self.volumes {
            let mut before: BTreeSet<(u64, Place)> = BTreeSet::new();
            for (cells, _) in &volume.sessions {
                let needs = cells.iter().flat_map(|(key, entry)| {
                    let key = *key;
                    entry.items().map(move |item| (key, item))
                });
                let needs: BTreeSet<(u64, Place)> = needs.collect();
                for (_, item) in needs.difference(&before) {
                    *runs.entry(*item).or_insert(0) += 1;
                }
                before = needs;
            }
        }
        runs
    }

    fn check(&self, runs: &BTreeMap<Place, u64>) {
        let needed: BTreeSet<Place> = runs.keys().copied().collect();
        assert_eq!(needed, self.live);
        let many = runs.iter().filter(|(_, runs)| **runs > 1);
        let many = many.map(|(place, runs)| ((place.alias.0, place.offset), *runs));
        let stored = self
            .counters
            .range(&mut self.shelf.read(), 0..u64::MAX)
            .unwrap();
        let stored = stored.into_iter().flat_map(|(alias, bytes)| {
            let counters = crate::counters::Counters::parse(&bytes).unwrap();
            let runs: Vec<_> = counters.iter().map(|(at, n)| ((alias, at), n)).collect();
            runs
        });
        assert_eq!(many.collect::<BTreeMap<_, _>>(), stored.collect());
        let mut reached = BTreeSet::new();
        for (_, root) in self.volumes.iter().flat_map(|volume| &volume.sessions) {
            each(&mut self.shelf.read(), &Root::Empty, root, |batch| {
                reached.extend(batch.new_nodes);
            })
            .unwrap();
        }
        assert_eq!(reached, self.live_nodes);
    }
}

#[test]
fn what_dies_is_what_a_full_mark_does_not_reach() {
    for seed in 0..rounds(400) {
        let mut random = Random(seed);
        let mut archive = Archive::new(1 + random.below(4));
        for _ in 0..10 {
            let mut changes = RunChanges::default();
            for _ in 0..=random.below(3) {
                archive.step(&mut random, &mut changes);
            }
            archive.commit(changes);
        }
    }
}

#[test]
fn a_node_shared_with_the_session_before_outlives_a_checkpoint_that_lost_it() {
    // The left inner node differs because the tree shrank, with no cell below it that does.
    let cells = |archive: &mut Archive, keys: &[u64]| -> Cells {
        let mut cell = |key: &u64| (*key, archive.whole(0, (key % 5) as u8));
        keys.iter().map(&mut cell).collect()
    };
    let mut archive = Archive::new(1);
    let mut session = (Cells::new(), Root::Empty);
    for keys in [&[1, 20_000, 20_001][..], &[1, 20_000]] {
        let cells = cells(&mut archive, keys);
        session = archive.tree(&session, cells);
        archive.volumes[0].sessions.push(session.clone());
    }
    let [before, old] = [0, 1].map(|at: usize| archive.volumes[0].sessions[at].1);
    let cells = cells(&mut archive, &[1]);
    let new = archive.tree(&session, cells).1;
    let mut changes = RunChanges::default();
    let mut source = archive.shelf.read();
    changes
        .replace(&mut source, &before, &old, &new, |_| false)
        .unwrap();
    each(&mut source, &Root::Empty, &before, |batch| {
        let shared = batch
            .new_nodes
            .iter()
            .any(|node| changes.dead_nodes.contains(node));
        assert!(!shared);
    })
    .unwrap();
}

#[test]
fn forgetting_a_session_costs_its_difference() {
    let mut archive = Archive::new(1);
    let mut changes = RunChanges::default();
    let cells: Cells = (0..64 * 64 * 4)
        .map(|key| (key, archive.whole(0, 50)))
        .collect();
    let mut session = archive.tree(&Default::default(), cells);
    for at in 0..4 {
        let before = session.1;
        archive.volumes[0].sessions.push(session.clone());
        let mut cells = session.0.clone();
        cells.insert(at * 64, archive.whole(0, 60));
        session = archive.tree(&session, cells);
        assert_ne!(before, session.1);
    }
    archive.volumes[0].sessions.push(session);
    let roots: Vec<Root> = archive.volumes[0]
        .sessions
        .iter()
        .map(|(_, root)| *root)
        .collect();
    for (forgotten, next) in [(0..1_usize, 1), (2..3, 3), (4..5, 5)] {
        let before = forgotten
            .start
            .checked_sub(1)
            .map_or(Root::Empty, |at: usize| roots[at]);
        let next = roots.get(next).copied().unwrap_or_default();
        let mut source = archive.shelf.read();
        changes
            .forget(&mut source, &before, &roots[forgotten], &next)
            .unwrap();
        assert!(source.nodes <= 20, "{} nodes read", source.nodes);
    }
}
