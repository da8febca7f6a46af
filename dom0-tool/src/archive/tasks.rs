//! Cuts a tree's entries into tasks, each of which reads one stretch of one pack.

use nacre_core::ids::Alias;
use nacre_core::node::ChunkEntry;
use nacre_core::place::Place;

/// Sealed bytes that one task reads, at most (one chunk may be more).
const TASK: u64 = 2 << 20;
/// Chunks in one task, at most: those that compare equal read nothing.
const CHUNKS: usize = 64;

/// Chunks whose items lie close together.
pub type Task = Vec<(u64, ChunkEntry)>;

/// Sorts entries by where they lie and cuts them into tasks.
pub fn cut(mut entries: Vec<(u64, ChunkEntry)>) -> Vec<Task> {
    entries.sort_by_key(|(chunk, entry)| (first_place(entry), *chunk));
    let mut tasks: Vec<Task> = Vec::new();
    let mut begin = None;
    for (chunk, entry) in entries {
        let place = first_place(&entry);
        match (tasks.last_mut(), begin) {
            (Some(task), Some(start)) if task.len() < CHUNKS && together(start, place) => {
                task.push((chunk, entry));
            }
            _ => {
                begin = Some(place);
                tasks.push(vec![(chunk, entry)]);
            }
        }
    }
    // Read with one range in any order, they are written in the volume's: several workers had filled the pack in turn.
    for task in &mut tasks {
        task.sort_by_key(|(chunk, _)| *chunk);
    }
    tasks
}

/// Alias and offset of what must be read first; lost chunks come before all.
fn first_place(entry: &ChunkEntry) -> Option<(Alias, u64, u32)> {
    let parts = |place: &Place| (place.alias, place.offset, place.length);
    match entry {
        ChunkEntry::Chunk { place, .. } => Some(parts(place)),
        ChunkEntry::Patched(patched) => Some(parts(&patched.base_place)),
        ChunkEntry::Lost { .. } => None,
    }
}

fn together(start: Option<(Alias, u64, u32)>, next: Option<(Alias, u64, u32)>) -> bool {
    match (start, next) {
        (Some((first, from, _)), Some((alias, offset, length))) => {
            first == alias && offset + u64::from(length) - from <= TASK
        }
        (None, None) => true,
        _ => false,
    }
}
