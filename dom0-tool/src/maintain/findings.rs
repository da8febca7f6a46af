//! What a check has found, in the words of a user: volumes, sessions, ranges of bytes.

use std::collections::HashMap;

use nacre_core::session_name::SessionName;

use super::hits::Hits;
use super::objects::Orphans;
use super::recount::Books;
use crate::joints::VolumeRange;

/// A range of a volume that is lost in one or more sessions that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRange {
    /// The volume's name.
    pub volume: String,
    /// The oldest of the sessions.
    pub oldest: SessionName,
    /// The newest of the sessions.
    pub newest: SessionName,
    /// How many they are.
    pub sessions: usize,
    /// Bytes of the volume.
    pub range: VolumeRange,
    /// Why the first of them is.
    pub why: String,
    /// Whether an earlier repair had found it.
    pub known: bool,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// What of volumes is lost, newest sessions first.
    pub lost: Vec<LostRange>,
    /// What of the archive's own records is damaged: sentences.
    pub index: Vec<String>,
    /// What is wrong with counters and dead ranges; `None` when they could not be, or were not to be, recounted.
    pub books: Option<Books>,
    /// Packs that belong to nothing.
    pub orphans: Orphans,
    /// Sessions that were looked at, counted once for each volume.
    pub sessions: u64,
    /// Chunks whose content was read.
    pub chunks: u64,
    /// What this machine has read before, and now.
    pub memory: DataMemory,
}

/// How much of the archive's data this machine has read, in this check and in earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataMemory {
    /// Packs with data.
    pub packs: usize,
    /// Those of them that were never read.
    pub never: usize,
    /// When the one was read that was read longest ago, in seconds since 1970.
    pub oldest: Option<i64>,
}

impl CheckReport {
    /// Whether anything is damaged that no repair has dealt with.
    pub fn is_damaged(&self) -> bool {
        let books = self.books.as_ref().is_some_and(Books::is_dangerous);
        books || !self.index.is_empty() || self.lost.iter().any(|lost| !lost.known)
    }
}

/// Puts the hits of sessions together that follow one another, newest first.
pub struct Grouping<'a> {
    volume: &'a str,
    chunk_size: u64,
    open: HashMap<(VolumeRange, bool), LostRange>,
    closed: Vec<LostRange>,
}

impl<'a> Grouping<'a> {
    /// For a volume.
    pub fn new(volume: &'a str, chunk_size: u64) -> Self {
        Self {
            volume,
            chunk_size,
            open: HashMap::new(),
            closed: Vec::new(),
        }
    }

    /// The next older session.
    pub fn session(&mut self, name: SessionName, size: u64, hits: &Hits) {
        let mut still = HashMap::new();
        for (chunks, hit) in hits.iter() {
            let range = VolumeRange {
                start: chunks.start.saturating_mul(self.chunk_size),
                end: chunks.end.saturating_mul(self.chunk_size).min(size),
            };
            if range.start >= range.end {
                continue;
            }
            let key = (range, hit.known);
            let mut lost = self.open.remove(&key).unwrap_or_else(|| LostRange {
                volume: self.volume.to_owned(),
                oldest: name,
                newest: name,
                sessions: 0,
                range,
                why: hit.why.to_string(),
                known: hit.known,
            });
            lost.oldest = name;
            lost.sessions += 1;
            still.insert(key, lost);
        }
        self.closed.extend(self.open.drain().map(|(_, lost)| lost));
        self.open = still;
    }

    /// All of them, newest first.
    pub fn finish(mut self) -> Vec<LostRange> {
        self.closed.extend(self.open.drain().map(|(_, lost)| lost));
        self.closed
            .sort_by(|one, two| (two.newest, one.range).cmp(&(one.newest, two.range)));
        self.closed
    }
}
