//! Phase two of an edit: inner nodes, one level at a time, until the root.

use super::{Edit, Edited, New};
use crate::error::FormatError;
use crate::node::{LeafEntry, Node, Slots, child, first_key, prefix, slot};
use crate::place::{FAN_BITS, Pointer, Root};
use crate::tree::{NodeSink, NodeSource, fetch};

impl<E: LeafEntry + 'static> Edit<'_, E> {
    /// Writes the changed nodes of the next level. `false` when nothing was left to write: the top is reached.
    pub fn raise<S, K>(&mut self, source: &mut S, sink: &mut K) -> Result<bool, S::Error>
    where
        S: NodeSource,
        K: NodeSink,
        S::Error: From<K::Error>,
    {
        if self.at_top() {
            return Ok(false);
        }
        self.keep_old_root();
        let below = self.level;
        let level = below.saturating_add(1);
        let changed = std::mem::take(&mut self.changed);
        let mut numbers: Vec<u64> = changed.iter().map(|(n, _)| *n >> FAN_BITS).collect();
        if let Some(number) = self.divided_at(level) {
            numbers.push(number);
            numbers.sort_unstable();
        }
        numbers.dedup();
        let firsts: Vec<u64> = numbers.iter().map(|number| number << FAN_BITS).collect();
        self.old.load(source, &firsts, below)?;
        let mut changed = changed.into_iter().peekable();
        for number in numbers {
            let mine = std::iter::from_fn(|| changed.next_if(|(n, _)| *n >> FAN_BITS == number));
            let pointer = self.old.pointer(level, number);
            let node = self.old.node(level, number).cloned();
            let before = node.as_ref().map(|node| node.children());
            let before = before.unwrap_or_default();
            let stays = |at: u8| !self.old.is_cut(below, child(number, at));
            let after = merge(before, mine, stays);
            let is_empty = node.is_some() || self.old.is_empty_above(level, number);
            let stood_in = before.is_empty() && is_empty;
            if unchanged(before, &after) && !stood_in {
                continue;
            }
            self.dropped.extend(pointer.map(|pointer| pointer.place));
            let new = match after.as_slice() {
                [] => None,
                [(0, (only, fresh))] if number == 0 => Some(only.lowered(below, *fresh)),
                _ => Some(New::At(self.put_inner(sink, number, after)?)),
            };
            self.changed.push((number, new));
        }
        self.old.forget(level);
        self.level = level;
        Ok(true)
    }

    /// Ends the edit once [`raise`](Self::raise) has said that the top is reached.
    pub fn finish<S: NodeSource>(mut self, source: &mut S) -> Result<Edited, S::Error> {
        if !self.at_top() || !self.changes.is_empty() {
            return Err(FormatError::OutOfOrder("an edit of a tree").into());
        }
        let root = match self.changed.first() {
            None => *self.old.root(),
            Some((_, None)) => Root::Empty,
            Some((_, Some(New::At(pointer)))) => Root::Node {
                level: self.level,
                pointer: *pointer,
            },
            Some((
                _,
                Some(New::Below {
                    level,
                    pointer,
                    fresh,
                }),
            )) => {
                let root = (*level, *pointer);
                let (level, pointer) = if *fresh {
                    root
                } else {
                    self.lowest(source, root)?
                };
                Root::Node { level, pointer }
            }
        };
        Ok(Edited {
            root,
            dropped: self.dropped,
        })
    }

    /// Goes down from an old node through nodes that hold nothing but their leftmost child.
    fn lowest<S: NodeSource>(
        &mut self,
        source: &mut S,
        (mut level, mut pointer): (u8, Pointer),
    ) -> Result<(u8, Pointer), S::Error> {
        while let Some(below) = level.checked_sub(1) {
            let nodes = fetch(source, self.target.tree, level, &[pointer])?;
            let Some([(0, only)]) = nodes.first().map(|node| node.children()) else {
                break;
            };
            self.dropped.push(pointer.place);
            (level, pointer) = (below, *only);
        }
        Ok((level, pointer))
    }

    /// Whether no level above can change.
    fn at_top(&self) -> bool {
        let Some(height) = self.old.height() else {
            return self.changed.iter().all(|(number, _)| *number == 0);
        };
        if self.level >= height {
            return self.changed.iter().all(|(number, _)| *number == 0);
        }
        let above = self.level.saturating_add(1)..=height;
        self.changed.is_empty() && above.into_iter().all(|n| self.divided_at(n).is_none())
    }

    /// The node of a level that the cut divides.
    fn divided_at(&self, level: u8) -> Option<u64> {
        let cut = self.old.cut()?;
        let number = prefix(cut, level);
        let inside = self.old.height().is_some_and(|height| level <= height);
        (inside && first_key(number, level) < cut).then_some(number)
    }

    /// When the tree grows above the old root, that becomes the leftmost child.
    fn keep_old_root(&mut self) {
        if let Root::Node { level, pointer } = *self.old.root()
            && level == self.level
            && self.changed.first().is_none_or(|(number, _)| *number != 0)
        {
            let old = New::Below {
                level,
                pointer,
                fresh: false,
            };
            self.changed.insert(0, (0, Some(old)));
        }
    }

    fn put_inner<K: NodeSink>(
        &self,
        sink: &mut K,
        number: u64,
        children: Slots<(New, bool)>,
    ) -> Result<Pointer, K::Error> {
        let tree = self.target.tree;
        let mut slots = Vec::with_capacity(children.len());
        for (at, (new, _)) in children {
            let pointer = match new {
                New::At(pointer) => pointer,
                New::Below { level, pointer, .. } => {
                    // The levels that were left out are needed after all.
                    let mut pointer = pointer;
                    for between in level.saturating_add(1)..=self.level {
                        let node = Node::inner(tree, between, vec![(0, pointer)]);
                        pointer = self.target.put(sink, 0, &node)?;
                    }
                    pointer
                }
            };
            slots.push((at, pointer));
        }
        let level = self.level.saturating_add(1);
        self.target
            .put(sink, number, &Node::inner(tree, level, slots))
    }
}

impl New {
    /// The same content as the only content of the node above. `level` is the level at which `self` stands.
    fn lowered(&self, level: u8, fresh: bool) -> Self {
        match *self {
            Self::At(pointer) => Self::Below {
                level,
                pointer,
                fresh,
            },
            below @ Self::Below { .. } => below,
        }
    }
}

/// Children after the change, each with whether this edit wrote it.
fn merge(
    before: &[(u8, Pointer)],
    changes: impl Iterator<Item = (u64, Option<New>)>,
    stays: impl Fn(u8) -> bool,
) -> Slots<(New, bool)> {
    let mut after = Vec::with_capacity(before.len());
    let mut rest = before.iter().filter(|(at, _)| stays(*at)).peekable();
    for (number, new) in changes {
        let at = slot(number);
        while let Some((other, old)) = rest.next_if(|(other, _)| *other < at) {
            after.push((*other, (New::At(*old), false)));
        }
        rest.next_if(|(other, _)| *other == at);
        after.extend(new.map(|new| (at, (new, true))));
    }
    after.extend(rest.map(|(at, old)| (*at, (New::At(*old), false))));
    after
}

fn unchanged(before: &[(u8, Pointer)], after: &Slots<(New, bool)>) -> bool {
    before.len() == after.len()
        && before
            .iter()
            .zip(after)
            .all(|((at, old), (other, (new, _)))| at == other && *new == New::At(*old))
}
