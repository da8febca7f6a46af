//! What may be freed: runs of items over the sessions of a volume (DESIGN 4.5).
//!
//! A run begins at every session that needs an item at a chunk number where the session before does not. So an item has as many runs as there are such
//! beginnings, over all volumes and chunk numbers, and equally many endings; both are read off the differences of neighbours. What is
//! counted here is how these numbers change; [`RunChanges::settle`] adds that to the stored counters and says what is dead at zero.
//!
//! Nodes are never shared between volumes and never come back, so those of a forgotten session are dead if neither neighbour has them.

mod settle;

pub use settle::Settled;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::ids::Alias;
use crate::node::ChunkEntry;
use crate::place::{Place, Root, TreeKind};
use crate::tree::{Compare, Diff, DiffBatch, NodeSource, lookup};

/// How the numbers of runs change with one commit. Operations follow one another as if each were done before the next; [`Root::Empty`] stands for
/// "no such session". Memory: a few words for each item that begins or ends a run.
#[derive(Clone, Debug, Default)]
pub struct RunChanges {
    /// By pack and offset: sealed length and change.
    changes: BTreeMap<Alias, BTreeMap<u64, (u32, i64)>>,
    dead_nodes: Vec<Place>,
}

/// The items that a cell of a volume needs in one of two sessions but not in the other.
fn only<'a>(
    one: Option<&'a ChunkEntry>,
    other: Option<&'a ChunkEntry>,
) -> impl Iterator<Item = Place> + 'a {
    let one = one.into_iter().flat_map(ChunkEntry::items);
    one.filter(move |item| !needs(other, item))
}

fn needs(entry: Option<&ChunkEntry>, item: &Place) -> bool {
    entry.is_some_and(|entry| entry.items().any(|other| other == *item))
}

impl RunChanges {
    /// A volume got a session `new` behind its newest, `before`. `single` may name items that the run wrote itself and that nothing
    /// but one chunk of `new` needs: they take no memory here.
    pub fn extend<S: NodeSource>(
        &mut self,
        source: &mut S,
        before: &Root,
        new: &Root,
        single: impl Fn(&Place) -> bool,
    ) -> Result<(), S::Error> {
        each(source, before, new, |batch| {
            for cell in &batch.entries {
                let begun = only(cell.new.as_ref(), cell.old.as_ref());
                self.count(begun.filter(|item| !single(item)), 1);
            }
        })
    }

    /// A volume's newest session, which stands behind `before`, now is `new` where it was `old`: a checkpoint goes on, or a finished session replaces
    /// an unfinished one.
    pub fn replace<S: NodeSource>(
        &mut self,
        source: &mut S,
        before: &Root,
        old: &Root,
        new: &Root,
        single: impl Fn(&Place) -> bool,
    ) -> Result<(), S::Error> {
        let mut diff = differ(old, new);
        let mut gone = Vec::new();
        let mut kept = HashSet::new();
        while let Some(batch) = diff.next(source)? {
            // A node of `old` can differ without any cell below it that does: it was written again with the same entries, or stands at the left edge
            // of a tree that grew or shrank. So the session before is asked for the nodes as well as for the cells.
            let cells = batch.entries.iter().map(|cell| cell.key);
            let mut keys: Vec<u64> = cells.chain(batch.old_firsts.iter().copied()).collect();
            keys.sort_unstable();
            keys.dedup();
            let found = lookup::<ChunkEntry, S>(source, TreeKind::Chunks, before, &keys)?;
            for cell in &batch.entries {
                let before = keys.binary_search(&cell.key).ok();
                let before = before.and_then(|at| found.entries.get(at)?.as_ref());
                let begun = only(cell.new.as_ref(), before);
                self.count(
                    begun.filter(|item| !single(item) || needs(cell.old.as_ref(), item)),
                    1,
                );
                self.count(only(cell.old.as_ref(), before), -1);
            }
            gone.extend(batch.old_nodes);
            kept.extend(found.nodes);
        }
        gone.retain(|node| !kept.contains(node));
        self.dead_nodes.extend(gone);
        Ok(())
    }

    /// A volume loses some sessions that follow one another. `before` and `next` are the neighbours that stay.
    pub fn forget<S: NodeSource>(
        &mut self,
        source: &mut S,
        before: &Root,
        forgotten: &[Root],
        next: &Root,
    ) -> Result<(), S::Error> {
        match (before, next) {
            (Root::Empty, Root::Node { .. }) => self.forget_first(source, forgotten, next),
            (_, Root::Empty) => self.forget_last(source, before, forgotten),
            _ => self.forget_between(source, before, forgotten, next),
        }
    }

    /// Some sessions of a volume that follow one another become others, in whatever number: `before` and `next` are the neighbours that stay.
    /// The general case. A node that an old session and a neighbour share must not be left out in between: nodes never come back. It costs the differences along both chains, and memory for a pointer to each node that `old` and `new` do not share
    /// with `before`.
    pub fn rewrite<S: NodeSource>(
        &mut self,
        source: &mut S,
        before: &Root,
        old: &[Root],
        new: &[Root],
        next: &Root,
    ) -> Result<(), S::Error> {
        let gone = self.chain(source, before, old, next, -1)?;
        let kept = self.chain(source, before, new, next, 1)?;
        self.dead_nodes.extend(gone.difference(&kept));
        Ok(())
    }

    /// Counts the runs that begin along a chain of sessions; the answer is the nodes that `before` does not have.
    fn chain<S: NodeSource>(
        &mut self,
        source: &mut S,
        before: &Root,
        between: &[Root],
        next: &Root,
        by: i64,
    ) -> Result<BTreeSet<Place>, S::Error> {
        let mut nodes = BTreeSet::new();
        let following = between.iter().chain([next]);
        for (one, other) in [before].into_iter().chain(between).zip(following) {
            each(source, one, other, |batch| {
                for cell in &batch.entries {
                    self.count(only(cell.new.as_ref(), cell.old.as_ref()), by);
                }
                nodes.extend(batch.new_nodes);
            })?;
        }
        Ok(nodes)
    }

    /// Nothing is left before them: the runs that end in them are gone.
    fn forget_first<S: NodeSource>(
        &mut self,
        source: &mut S,
        forgotten: &[Root],
        next: &Root,
    ) -> Result<(), S::Error> {
        let following = forgotten.iter().skip(1).chain([next]);
        for (old, new) in forgotten.iter().zip(following) {
            each(source, old, new, |batch| {
                for cell in &batch.entries {
                    self.count(only(cell.old.as_ref(), cell.new.as_ref()), -1);
                }
                self.dead_nodes.extend(batch.old_nodes);
            })?;
        }
        Ok(())
    }

    /// Nothing is left behind them: the runs that begin in them are gone.
    fn forget_last<S: NodeSource>(
        &mut self,
        source: &mut S,
        before: &Root,
        forgotten: &[Root],
    ) -> Result<(), S::Error> {
        for (old, new) in [before].into_iter().chain(forgotten).zip(forgotten) {
            each(source, old, new, |batch| {
                for cell in &batch.entries {
                    self.count(only(cell.new.as_ref(), cell.old.as_ref()), -1);
                }
                self.dead_nodes.extend(batch.new_nodes);
            })?;
        }
        Ok(())
    }

    /// The runs that begin between the neighbours are gone, but for those that begin at `next` when it stands right behind `before`.
    fn forget_between<S: NodeSource>(
        &mut self,
        source: &mut S,
        before: &Root,
        forgotten: &[Root],
        next: &Root,
    ) -> Result<(), S::Error> {
        let mut kept = HashSet::new();
        each(source, before, next, |batch| {
            for cell in &batch.entries {
                self.count(only(cell.new.as_ref(), cell.old.as_ref()), 1);
            }
            kept.extend(batch.old_nodes);
        })?;
        let following = forgotten.iter().chain([next]);
        for (at, (old, new)) in [before]
            .into_iter()
            .chain(forgotten)
            .zip(following)
            .enumerate()
        {
            each(source, old, new, |batch| {
                for cell in &batch.entries {
                    self.count(only(cell.new.as_ref(), cell.old.as_ref()), -1);
                }
                if at > 0 {
                    let ended = batch.old_nodes.into_iter();
                    self.dead_nodes
                        .extend(ended.filter(|node| !kept.contains(node)));
                }
            })?;
        }
        Ok(())
    }

    fn count(&mut self, items: impl Iterator<Item = Place>, by: i64) {
        for item in items {
            let pack = self.changes.entry(item.alias).or_default();
            let (_, change) = pack.entry(item.offset).or_insert((item.length, 0));
            *change = change.saturating_add(by);
        }
    }
}

fn differ(old: &Root, new: &Root) -> Diff<ChunkEntry> {
    Diff::new(TreeKind::Chunks, old, new, Compare::Places)
}

fn each<S: NodeSource>(
    source: &mut S,
    old: &Root,
    new: &Root,
    mut visit: impl FnMut(DiffBatch<ChunkEntry>),
) -> Result<(), S::Error> {
    let mut diff = differ(old, new);
    while let Some(batch) = diff.next(source)? {
        visit(batch);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
