//! One volume through its sessions, newest first, reading of each older tree only what the newer one does not share.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use nacre_core::ids::SessionSeq;
use nacre_core::node::ChunkEntry;
use nacre_core::place::{Place, Pointer, Root, TreeKind};
use nacre_core::tree::{Compare, Diff, LostNode};

use super::hits::Hits;
use super::objects::Objects;
use crate::archive::{Error, Nodes, Result};

/// A volume in one session.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The session.
    pub seq: SessionSeq,
    /// The volume's tree in it.
    pub root: Root,
    /// The volume's size in bytes.
    pub size: u64,
}

/// Entries whose content was read and is not what it must be, by the items that they need.
pub type Bad = HashMap<(Place, Option<Place>), Arc<str>>;

/// What an entry is known by among the bad ones; `None` for one that needs nothing.
pub fn bad_key(entry: &ChunkEntry) -> Option<(Place, Option<Place>)> {
    let mut items = entry.items();
    Some((items.next()?, items.next()))
}

/// What a survey reads from.
#[derive(Clone, Copy)]
pub struct Survey<'a> {
    /// The index.
    pub nodes: &'a Nodes,
    /// The store's listing.
    pub objects: &'a Objects,
    /// What reading has found to be bad.
    pub bad: &'a Bad,
}

/// A node of a volume's tree that cannot be read.
#[derive(Clone, Debug)]
pub struct LostRange {
    /// The chunks below it.
    pub keys: Range<u64>,
    /// Its level.
    pub level: u8,
    /// What its parent says of it.
    pub pointer: Pointer,
}

/// What is lost of a volume in one session.
#[derive(Clone, Debug, Default)]
pub struct Lost {
    /// Chunks, in ranges that may reach behind the volume's end.
    pub hits: Hits,
    /// The nodes that are the reason for some of it.
    pub nodes: Vec<LostRange>,
}

impl Lost {
    /// What of it lies in some chunks. A lost node lies in them with all its keys, or not at all.
    pub fn within(&self, chunks: &Range<u64>) -> Self {
        let inside = |keys: &Range<u64>| chunks.start <= keys.start && keys.end <= chunks.end;
        let nodes = self.nodes.iter().filter(|node| inside(&node.keys));
        Self {
            hits: self.hits.within(chunks),
            nodes: nodes.cloned().collect(),
        }
    }
}

/// Chunks with their entries.
pub type Entries = Vec<(u64, ChunkEntry)>;

impl Survey<'_> {
    /// Walks the sessions, which are given newest first. `each` gets the entries that a session does not share with the next newer one, as far as the
    /// listing has nothing against them; `done` gets what is lost in the session, in whole chunks, which may lie behind the volume's end.
    pub fn run(
        &self,
        points: &[Point],
        each: &mut dyn FnMut(Entries) -> Result<()>,
        done: &mut dyn FnMut(usize, &Lost) -> Result<()>,
    ) -> Result<()> {
        let mut newer = Root::Empty;
        let mut lost = Lost::default();
        for (index, point) in points.iter().enumerate() {
            self.one(&newer, &point.root, &mut lost, each)?;
            done(index, &lost)?;
            newer = point.root;
        }
        Ok(())
    }

    /// From what is lost in the newer session to what is lost in the older one.
    fn one(
        &self,
        newer: &Root,
        older: &Root,
        gone: &mut Lost,
        each: &mut dyn FnMut(Entries) -> Result<()>,
    ) -> Result<()> {
        let mut diff = Diff::<ChunkEntry>::new(TreeKind::Chunks, newer, older, Compare::Places);
        let mut source = self.nodes;
        let mut lost: Vec<LostNode<Error>> = Vec::new();
        let mut fresh = Hits::default();
        loop {
            let batch = diff.next_tolerant(&mut source, &mut lost);
            for node in lost.drain(..) {
                if !node.error.is_damage() {
                    return Err(node.error);
                }
                if node.new {
                    let why = node.error.to_string().into();
                    fresh.add(node.keys.clone(), &why, false);
                    gone.nodes.push(LostRange {
                        keys: node.keys,
                        level: node.level,
                        pointer: node.pointer,
                    });
                } else {
                    // It was told for the newer session. Here other nodes stand in its place, and tell for themselves.
                    gone.hits.remove(node.keys);
                    gone.nodes.retain(|known| known.pointer != node.pointer);
                }
            }
            let Some(batch) = batch else {
                break;
            };
            let mut entries = Vec::with_capacity(batch.entries.len());
            for cell in batch.entries {
                gone.hits.remove(cell.key..cell.key.saturating_add(1));
                entries.extend(cell.new.map(|entry| (cell.key, entry)));
            }
            let whole = self.judge(entries, &mut fresh)?;
            if !whole.is_empty() {
                each(whole)?;
            }
        }
        gone.hits.overlay(&fresh);
        Ok(())
    }

    /// Sorts out what is known to be lost.
    fn judge(&self, entries: Entries, fresh: &mut Hits) -> Result<Entries> {
        let places: Vec<Place> = entries.iter().flat_map(|(_, e)| e.items()).collect();
        let mut located = self.nodes.locate_all(&places).into_iter();
        let mut whole = Vec::with_capacity(entries.len());
        for (chunk, entry) in entries {
            let mut why: Option<Arc<str>> = None;
            for found in located.by_ref().take(entry.items().count()) {
                let fault = match found {
                    Ok(found) => self.objects.fault(&found)?,
                    Err(error) if error.is_damage() => Some(error.to_string()),
                    Err(error) => return Err(error),
                };
                why = why.or_else(|| fault.map(Into::into));
            }
            if why.is_none() && !self.bad.is_empty() {
                why = bad_key(&entry).and_then(|key| self.bad.get(&key).cloned());
            }
            let keys = chunk..chunk.saturating_add(1);
            if entry.is_lost() {
                fresh.add(keys, &"it was found damaged before".into(), true);
            } else if let Some(why) = why {
                fresh.add(keys, &why, false);
            } else {
                whole.push((chunk, entry));
            }
        }
        Ok(whole)
    }
}
