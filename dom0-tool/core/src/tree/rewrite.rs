//! Replacing entries in all sessions of a volume at once: what the sessions share stays shared.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{NodeSink, NodeSource, WINDOW, fetch};
use crate::hash::DigestKey;
use crate::ids::{SessionSeq, VolumeId};
use crate::node::{ChunkEntry, LeafEntry, Node, child, prefix};
use crate::place::{MAX_LEVEL, Place, Pointer, Root, TreeKind};

use super::edit::{EditTarget, put};

/// What is rewritten.
#[derive(Clone, Copy, Debug)]
pub struct RewriteTarget<'a> {
    /// The volume.
    pub volume: VolumeId,
    /// Key of the digests.
    pub key: &'a DigestKey,
    /// Leaves before this one are left as they are: the chunks from 64 times this number on are looked at.
    pub from: u64,
    /// Stop behind the leaf number by which so many leaves were written, so that the index pack stays small.
    pub most: usize,
}

/// What was made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The new trees, in the order of the old ones.
    pub roots: Vec<Root>,
    /// Leaves written.
    pub leaves: usize,
    /// Where to go on; `None`: all was looked at.
    pub next: Option<u64>,
}

/// Nodes of a level that any of the trees has: by prefix and place, with the oldest session that has it.
type Level = BTreeMap<(u64, Place), (SessionSeq, Pointer)>;

/// A leaf of any of the trees.
struct LeafAt {
    number: u64,
    session: SessionSeq,
    pointer: Pointer,
}

/// A node above the leaves of any of the trees.
#[derive(Clone)]
struct Inner {
    number: u64,
    session: SessionSeq,
    place: Place,
    node: Arc<Node>,
}

/// Replaces entries in the trees of a volume's sessions. `replace` gives the entry that is to stand in place of one, or `None`; it is asked once for
/// each entry of each leaf. Content does not change by it, so neither do digests. Memory: the inner nodes of all trees, and a pointer
/// for each of their leaves.
pub fn rewrite<S, K>(
    target: RewriteTarget<'_>,
    trees: &[(SessionSeq, Root)],
    source: &mut S,
    sink: &mut K,
    mut replace: impl FnMut(u64, &ChunkEntry) -> Option<ChunkEntry>,
) -> Result<Rewritten, S::Error>
where
    S: NodeSource,
    K: NodeSink,
    S::Error: From<K::Error>,
{
    let (leaves, inner) = gather(target.from, trees, source)?;
    let mut moved: HashMap<Place, Pointer> = HashMap::new();
    let mut next = None;
    let mut rest = leaves.as_slice();
    while !rest.is_empty() {
        let (window, behind) = rest.split_at(window(rest));
        rest = behind;
        let pointers: Vec<Pointer> = window.iter().map(|at| at.pointer).collect();
        let nodes = fetch(source, TreeKind::Chunks, 0, &pointers)?;
        for (at, node) in window.iter().zip(nodes) {
            if let Some(leaf) = leaf(at.number, &node, &mut replace) {
                let edit = edit_target(&target, at.session);
                let new = put(&edit, sink, at.number, &leaf)?;
                moved.insert(at.pointer.place, new);
            }
        }
        if moved.len() >= target.most && !rest.is_empty() {
            next = rest.first().map(|at| at.number);
            break;
        }
    }
    let leaves = moved.len();
    raise(&target, inner, &mut moved, sink)?;
    let roots = trees.iter().map(|(_, root)| led_on(root, &moved));
    Ok(Rewritten {
        roots: roots.collect(),
        leaves,
        next,
    })
}

/// The leaves in order of their numbers, and by level what is above them.
type Gathered = (Vec<LeafAt>, Vec<Vec<Inner>>);

/// How many leaves to read at once: whole prefixes, so that a stop never divides the versions of one leaf.
fn window(rest: &[LeafAt]) -> usize {
    let number = |at: usize| rest.get(at).map(|leaf| leaf.number);
    let mut end = rest.len().min(WINDOW);
    while end < rest.len() && number(end) == number(end.saturating_sub(1)) {
        end = end.saturating_add(1);
    }
    end
}

/// The leaves of all trees from a number on, and the nodes above them by level, each once.
fn gather<S: NodeSource>(
    from: u64,
    trees: &[(SessionSeq, Root)],
    source: &mut S,
) -> Result<Gathered, S::Error> {
    let top = usize::from(MAX_LEVEL).saturating_add(1);
    let mut waiting: Vec<Level> = vec![Level::new(); top];
    let mut inner = vec![Vec::new(); top];
    let wait = |waiting: &mut Vec<Level>, level: u8, number: u64, session, pointer: Pointer| {
        if let Some(level) = waiting.get_mut(usize::from(level)) {
            let known = level
                .entry((number, pointer.place))
                .or_insert((session, pointer));
            known.0 = known.0.min(session);
        }
    };
    for (session, root) in trees {
        if let Root::Node { level, pointer } = root {
            wait(&mut waiting, *level, 0, *session, *pointer);
        }
    }
    // The first leaf's number as a key, to ask for its ancestors.
    let first = from.saturating_mul(64);
    for level in (1..=MAX_LEVEL).rev() {
        let here = waiting.get_mut(usize::from(level)).map(std::mem::take);
        let here: Vec<_> = here.unwrap_or_default().into_iter().collect();
        for window in here.chunks(WINDOW) {
            let pointers: Vec<Pointer> = window.iter().map(|(_, (_, at))| *at).collect();
            let nodes = fetch(source, TreeKind::Chunks, level, &pointers)?;
            for (((number, place), (session, _)), node) in window.iter().zip(nodes) {
                let below = level.saturating_sub(1);
                for (slot, pointer) in node.children() {
                    let number = child(*number, *slot);
                    if number >= prefix(first, below) {
                        wait(&mut waiting, below, number, *session, *pointer);
                    }
                }
                if let Some(inner) = inner.get_mut(usize::from(level)) {
                    inner.push(Inner {
                        number: *number,
                        session: *session,
                        place: *place,
                        node,
                    });
                }
            }
        }
    }
    let leaves = waiting.into_iter().next().unwrap_or_default();
    let leaves = leaves
        .into_iter()
        .map(|((number, _), (session, pointer))| LeafAt {
            number,
            session,
            pointer,
        });
    Ok((leaves.filter(|leaf| leaf.number >= from).collect(), inner))
}

/// The leaf with what replaces its entries, if anything does.
fn leaf(
    number: u64,
    node: &Node,
    replace: &mut impl FnMut(u64, &ChunkEntry) -> Option<ChunkEntry>,
) -> Option<Node> {
    let mut changed = false;
    let entries = node.entries::<ChunkEntry>().iter();
    let entries = entries.map(|(slot, entry)| {
        let new = replace(child(number, *slot), entry);
        // Only where it lies may change.
        let new = new.filter(|new| new != entry && new.same_content(entry));
        changed |= new.is_some();
        (*slot, new.unwrap_or_else(|| entry.clone()))
    });
    let entries = entries.collect();
    changed.then(|| Node::leaf(TreeKind::Chunks, entries))
}

/// Writes the nodes above those that were written, level by level.
fn raise<K: NodeSink>(
    target: &RewriteTarget<'_>,
    inner: Vec<Vec<Inner>>,
    moved: &mut HashMap<Place, Pointer>,
    sink: &mut K,
) -> Result<(), K::Error> {
    for (level, nodes) in (0_u8..).zip(inner) {
        for at in nodes {
            let mut children = at.node.children().to_vec();
            let mut changed = false;
            for (_, pointer) in &mut children {
                if let Some(new) = moved.get(&pointer.place) {
                    *pointer = *new;
                    changed = true;
                }
            }
            if changed {
                let node = Node::inner(TreeKind::Chunks, level, children);
                let edit = edit_target(target, at.session);
                let new = put(&edit, sink, at.number, &node)?;
                moved.insert(at.place, new);
            }
        }
    }
    Ok(())
}

fn led_on(root: &Root, moved: &HashMap<Place, Pointer>) -> Root {
    match root {
        Root::Empty => Root::Empty,
        Root::Node { level, pointer } => Root::Node {
            level: *level,
            pointer: *moved.get(&pointer.place).unwrap_or(pointer),
        },
    }
}

fn edit_target<'a>(target: &RewriteTarget<'a>, session: SessionSeq) -> EditTarget<'a> {
    EditTarget {
        tree: TreeKind::Chunks,
        volume: target.volume,
        session,
        key: target.key,
    }
}
