//! Looking up single keys of a tree, a level of all of them at a time.

use super::{NodeSource, fetch};
use crate::node::{LeafEntry, prefix, slot};
use crate::place::{Place, Pointer, Root, TreeKind};

/// What was found, and which nodes were passed on the way.
#[derive(Clone, Debug)]
pub struct Found<E> {
    /// For each key, its entry.
    pub entries: Vec<Option<E>>,
    /// The nodes read.
    pub nodes: Vec<Place>,
}

/// Looks up sorted keys. Reads each node on the way once, and all of a level in one batch.
pub fn lookup<E: LeafEntry + 'static, S: NodeSource>(
    source: &mut S,
    tree: TreeKind,
    root: &Root,
    keys: &[u64],
) -> Result<Found<E>, S::Error> {
    let mut found = Found {
        entries: Vec::with_capacity(keys.len()),
        nodes: Vec::new(),
    };
    let mut here: Vec<(u64, Pointer)> = Vec::new();
    let mut height = 0;
    if let Root::Node { level, pointer } = root {
        here.push((0, *pointer));
        height = *level;
    }
    let wanted = |number: u64, level: u8| {
        let at = keys.partition_point(|key| prefix(*key, level) < number);
        keys.get(at)
            .is_some_and(|key| prefix(*key, level) == number)
    };
    here.retain(|(number, _)| wanted(*number, height));
    for level in (0..=height).rev() {
        let pointers: Vec<Pointer> = here.iter().map(|(_, pointer)| *pointer).collect();
        let nodes = fetch(source, tree, level, &pointers)?;
        found.nodes.extend(pointers.iter().map(|node| node.place));
        if let Some(below) = level.checked_sub(1) {
            let parents = here.iter().zip(&nodes);
            here = parents
                .flat_map(|((number, _), node)| {
                    let children = node.children().iter();
                    children.map(|(at, pointer)| (crate::node::child(*number, *at), *pointer))
                })
                .filter(|(number, _)| wanted(*number, below))
                .collect();
        } else {
            found.entries.extend(keys.iter().map(|key| {
                let leaf = here
                    .binary_search_by_key(&prefix(*key, 0), |(number, _)| *number)
                    .ok()?;
                let entries = nodes.get(leaf)?.entries::<E>();
                let at = entries
                    .binary_search_by_key(&slot(*key), |(at, _)| *at)
                    .ok()?;
                entries.get(at).map(|(_, entry)| entry.clone())
            }));
        }
    }
    Ok(found)
}
