//! Files of this machine, in an order that depends on the seed: programs and libraries on one hand, text on the other.

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{BLOCK, Random};

/// Larger files would decide the figures alone.
const LARGEST: u64 = 64 << 20;

/// The two kinds of files that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineKind {
    /// A zero byte is in the first block.
    Binary,
    /// None is.
    Text,
}

/// The machine's files, handed out one by one, again from the start when they run out.
pub struct MachineFiles {
    files: Vec<PathBuf>,
    /// The first file that nobody has looked at in this round.
    next: usize,
    round: usize,
    /// Files that were looked at when one of the other kind was wanted: binary, text.
    passed_over: [VecDeque<PathBuf>; 2],
    random: Random,
}

impl MachineFiles {
    /// Finds the files below the folders. What cannot be read is left out: the image is made of what is there.
    pub fn find(folders: &[PathBuf], seed: u64) -> Self {
        let mut paths = Vec::new();
        for folder in folders {
            collect(folder, &mut paths);
        }
        // The order of a folder's entries is the file system's business; the order in the image must not be.
        let mut keyed: Vec<(u64, PathBuf)> = paths
            .into_iter()
            .map(|path| (Random::new(seed, &path.to_string_lossy()).bits(), path))
            .collect();
        keyed.sort();
        Self {
            files: keyed.into_iter().map(|(_, path)| path).collect(),
            next: 0,
            round: 0,
            passed_over: [VecDeque::new(), VecDeque::new()],
            random: Random::new(seed, "machine"),
        }
    }

    /// The content of the next file of a kind, at most `most` bytes of it; nothing if there is no such file.
    ///
    /// From the second round on, a few bytes of each KiB are altered: the copies compress as well as the originals, but no chunk of
    /// them is one that was seen before.
    pub fn next(&mut self, kind: MachineKind, most: usize, out: &mut Vec<u8>) {
        // Files that cannot be read give nothing; all of them may be such.
        for _ in 0..=self.files.len() {
            let Some(path) = self.next_path(kind) else {
                return;
            };
            if let Ok(file) = fs::File::open(path) {
                // A file that cannot be read to its end counts with what it gave.
                let _ = file.take(most as u64).read_to_end(out);
            }
            if !out.is_empty() {
                break;
            }
        }
        if self.round > 0 {
            for piece in out.chunks_mut(1024) {
                let altered = piece.len().min(4);
                self.random.fill(&mut piece[..altered]);
            }
        }
    }

    fn next_path(&mut self, kind: MachineKind) -> Option<PathBuf> {
        let mut looked_at = 0;
        loop {
            if let Some(path) = self.passed_over[kind as usize].pop_front() {
                return Some(path);
            }
            if looked_at > self.files.len() {
                return None; // All of them are of the other kind.
            }
            if self.next == self.files.len() {
                (self.next, self.round) = (0, self.round + 1);
            }
            let path = self.files.get(self.next)?;
            self.passed_over[kind_of(path) as usize].push_back(path.clone());
            self.next += 1;
            looked_at += 1;
        }
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            collect(&entry.path(), found);
        } else if metadata.is_file() && (1..=LARGEST).contains(&metadata.len()) {
            found.push(entry.path());
        }
    }
}

fn kind_of(path: &Path) -> MachineKind {
    let mut head = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(BLOCK as u64).read_to_end(&mut head));
    match read {
        Ok(_) if !head.contains(&0) => MachineKind::Text,
        _ => MachineKind::Binary,
    }
}
