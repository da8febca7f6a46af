//! What the archive must show: after every head that was ever put, and what a command may make of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use blake3::Hash;
use nacre_core::ids::{Epoch, HeadHash, SessionSeq};

use super::machine::CHUNK;

/// Stands for a chunk whose content is gone.
pub const LOST: Hash = Hash::from_bytes([0xff; 32]);

/// What a version of a volume holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub finished: bool,
    pub size: u64,
    /// Hashes of its chunks, the last one filled up with zeros.
    pub chunks: Vec<Hash>,
}

impl Content {
    /// What a finished session of these bytes holds.
    pub fn of(bytes: &[u8]) -> Self {
        let mut chunk = vec![0; CHUNK];
        let hash = |bytes: &[u8]| {
            chunk.fill(0);
            chunk[..bytes.len()].copy_from_slice(bytes);
            blake3::hash(&chunk)
        };
        Self {
            finished: true,
            size: bytes.len() as u64,
            chunks: bytes.chunks(CHUNK).map(hash).collect(),
        }
    }

    fn holds_what(&self, other: &Self) -> bool {
        self.size == other.size && self.chunks == other.chunks
    }

    /// Whether it is `whole`, but for chunks that are gone.
    pub fn is_left_of(&self, whole: &Self) -> bool {
        let mut both = self.chunks.iter().zip(&whole.chunks);
        self.size == whole.size && both.all(|(here, there)| here == there || *here == LOST)
    }

    /// How many chunks are gone.
    pub fn lost(&self) -> usize {
        self.chunks.iter().filter(|chunk| **chunk == LOST).count()
    }
}

pub type Versions = BTreeMap<SessionSeq, Content>;

/// The versions of each volume.
pub type Volumes = BTreeMap<String, Versions>;

/// Where one differs from the other, in few words.
pub fn difference(was: &Volumes, is: &Volumes) -> String {
    let mut lines = Vec::new();
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let none = Versions::new();
    for name in names {
        let of = |all: &'_ Volumes| all.get(name).cloned().unwrap_or_else(|| none.clone());
        let (was, is) = (of(was), of(is));
        let numbers: BTreeSet<&SessionSeq> = was.keys().chain(is.keys()).collect();
        for seq in numbers {
            if was.get(seq) != is.get(seq) {
                let told = |content: Option<&Content>| {
                    content.map_or("nothing".to_owned(), |content| {
                        let chunks = content.chunks.iter();
                        let chunks: Vec<String> =
                            chunks.map(|chunk| chunk.to_hex()[..4].to_owned()).collect();
                        let word = if content.finished { "whole" } else { "part" };
                        format!("{word} {} {}", content.size, chunks.join(" "))
                    })
                };
                let (was, is) = (told(was.get(seq)), told(is.get(seq)));
                lines.push(format!("{name} in session {}: {was} became {is}", seq.0));
            }
        }
    }
    lines.join("; ")
}

/// What a head shows, and the keys that open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub volumes: Volumes,
    pub keys: BTreeSet<u8>,
}

/// What a command wants to change.
#[derive(Clone, Debug)]
pub enum Change {
    Rename(String, String),
    Delete(String),
    Add(String),
    Forget(BTreeSet<(String, SessionSeq)>),
    Keys(BTreeSet<u8>),
    /// Volumes as they are in local storage.
    Send(BTreeMap<String, Content>),
}

impl Change {
    /// Whether a commit of the command may have made `now` of `before`; `None`: it does not, `Some(true)`: all that the command wanted is there.
    pub fn explains(&self, before: &State, now: &Volumes) -> Option<bool> {
        let mut then = before.volumes.clone();
        match self {
            Self::Rename(old, new) => {
                let versions = then.remove(old)?;
                then.insert(new.clone(), versions);
            }
            Self::Delete(name) => {
                then.remove(name)?;
            }
            Self::Add(name) => {
                then.entry(name.clone()).or_default();
            }
            Self::Forget(versions) => {
                for (volume, seq) in versions {
                    then.get_mut(volume)?.remove(seq)?;
                }
            }
            Self::Keys(_) => {}
            Self::Send(contents) => return sent(contents, &before.volumes, now),
        }
        (then == *now).then_some(true)
    }

    /// The keys that open what a commit with this change made.
    pub fn keys(&self, before: &State) -> BTreeSet<u8> {
        match self {
            Self::Keys(keys) => keys.clone(),
            _ => before.keys.clone(),
        }
    }
}

/// A commit of a send. Finished sessions stay as they were; what is new is what was sent, or a part of it.
fn sent(contents: &BTreeMap<String, Content>, before: &Volumes, now: &Volumes) -> Option<bool> {
    let others = |volumes: &Volumes| -> Volumes {
        let others = volumes
            .iter()
            .filter(|(name, _)| !contents.contains_key(*name));
        others
            .map(|(name, versions)| (name.clone(), versions.clone()))
            .collect()
    };
    if others(before) != others(now) {
        return None;
    }
    let finished = |(_, version): &(&SessionSeq, &Content)| version.finished;
    let newest = before
        .values()
        .flatten()
        .filter(finished)
        .map(|(seq, _)| *seq)
        .max();
    let none = Versions::new();
    let mut done = true;
    for (name, content) in contents {
        let was = before.get(name).unwrap_or(&none);
        let is = now.get(name).unwrap_or(&none);
        let stays = |(seq, version)| is.get(seq) == Some(version);
        if !was.iter().filter(finished).all(stays) {
            return None;
        }
        let base = was.values().next_back();
        for (seq, version) in is
            .iter()
            .filter(|(seq, version)| was.get(seq) != Some(version))
        {
            let right = if version.finished {
                version.holds_what(content)
            } else {
                is_part(version, content, base)
            };
            if !right || Some(*seq) <= newest {
                return None;
            }
        }
        done &= is
            .values()
            .next_back()
            .is_some_and(|newest| newest.finished && newest.holds_what(content));
    }
    Some(done)
}

/// Whether an unfinished version is on its way from `base` to `content`.
fn is_part(version: &Content, content: &Content, base: Option<&Content>) -> bool {
    let zeros = blake3::hash(&vec![0; CHUNK]);
    let known = base.map_or(&[][..], |base| &base.chunks);
    version.chunks.iter().enumerate().all(|(at, chunk)| {
        let old = known.get(at).unwrap_or(&zeros);
        chunk == old || content.chunks.get(at) == Some(chunk)
    })
}

/// A head that was put once.
pub struct Known {
    pub epoch: Epoch,
    pub before: Option<HeadHash>,
    pub state: Arc<State>,
}

/// All heads that were ever put, in whichever copy of the store.
#[derive(Default)]
pub struct History {
    heads: HashMap<HeadHash, Known>,
}

impl History {
    pub fn get(&self, head: HeadHash) -> Option<&Known> {
        self.heads.get(&head)
    }

    pub fn enter(&mut self, head: HeadHash, known: Known) {
        self.heads.insert(head, known);
    }

    /// After a repair a head shows this.
    pub fn becomes(&mut self, head: HeadHash, volumes: Volumes) {
        if let Some(known) = self.heads.get_mut(&head) {
            let keys = known.state.keys.clone();
            known.state = Arc::new(State { volumes, keys });
        }
    }

    /// Everything that any head has shown.
    pub fn states(&self) -> impl Iterator<Item = &Volumes> {
        self.heads.values().map(|known| &known.state.volumes)
    }

    pub fn state(&self, head: HeadHash) -> Arc<State> {
        Arc::clone(&self.heads[&head].state)
    }

    /// Whether `head` is `ancestor` or descends from it.
    pub fn descends(&self, head: HeadHash, ancestor: HeadHash) -> bool {
        let mut at = Some(head);
        while let Some(head) = at {
            if head == ancestor {
                return true;
            }
            at = self.heads.get(&head).and_then(|known| known.before);
        }
        false
    }
}
