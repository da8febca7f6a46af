//! A volume at the moment of its snapshot.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::delta::{Side, delta};
use super::identity::Difference;
use super::shelf::{Held, Shelf};
use crate::joints::{Changes, FrozenVolume, Ranges, SourceError, VolumeRange};
use crate::source::{Links, PlainVolume};

/// A snapshot being read. Dropped before `committed`, it goes, and so do what earlier runs that crashed have left.
pub struct ReflinkVolume {
    shelf: Arc<Shelf>,
    links: Links,
    local: String,
    content: PlainVolume,
    held: Held,
    /// Older snapshots that nobody used when this one was made.
    left: Vec<u64>,
    /// Those among them that a session was compared with: they stay unless this one replaces them.
    asked: Mutex<BTreeSet<u64>>,
    before: Mutex<Option<Arc<Before>>>,
    is_kept: bool,
}

/// The snapshot that was asked for last.
struct Before {
    held: Held,
    /// Its content, to be read past the page cache.
    content: PlainVolume,
    /// What changed between the snapshot asked for and this one, which stands for it.
    altered: Ranges,
}

impl Before {
    fn open(held: Held, altered: Ranges) -> Result<Self, SourceError> {
        let content = PlainVolume::open("", &held.path)?;
        Ok(Self {
            held,
            content,
            altered,
        })
    }
}

impl ReflinkVolume {
    /// For a snapshot just made.
    pub fn new(
        shelf: &Arc<Shelf>,
        links: &Links,
        names: (&str, &str),
        held: Held,
    ) -> Result<Self, SourceError> {
        let (archive, local) = names;
        let opened = PlainVolume::open(archive, &held.path).and_then(|content| {
            let older = shelf.numbers(local)?.into_iter();
            let older = older.filter(|number| *number < held.number);
            let left = older.filter(|number| shelf.is_unused(local, *number));
            Ok((content, left.collect()))
        });
        let (content, left) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let _ = rustix::fs::unlink(&held.path);
                return Err(error);
            }
        };
        Ok(Self {
            shelf: Arc::clone(shelf),
            links: links.clone(),
            local: local.to_owned(),
            content,
            held,
            left,
            asked: Mutex::default(),
            before: Mutex::default(),
            is_kept: false,
        })
    }

    /// What it is.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// What may have changed since another snapshot, to the block; otherwise why that is not known.
    pub fn delta_since(&self, old: &Held) -> Result<Ranges, String> {
        fn side(held: &Held) -> Side<'_> {
            let Held { file, identity, .. } = held;
            Side { file, identity }
        }
        delta(&side(old), &side(&self.held))
    }

    /// Older snapshots go, but for those that another process uses.
    pub fn replace_older(&mut self) -> Result<(), SourceError> {
        self.is_kept = true;
        *lock(&self.before) = None;
        for number in self.shelf.numbers(&self.local)? {
            if number < self.held.number {
                self.shelf.remove(&self.local, number)?;
            }
        }
        Ok(())
    }

    /// The snapshot with that identity, or one to which links lead from it, with what they say. Otherwise why there is none.
    fn find(&self, identity: &[u8]) -> Result<Before, String> {
        if identity.is_empty() {
            return Err("no snapshot of it was kept when it was last sent".to_owned());
        }
        let in_words = |error: SourceError| format!("its snapshots cannot be used: {error}");
        let number = Some(self.held.number);
        let mut others = self.shelf.others(&self.local, number).map_err(in_words)?;
        let exact = |held: &Held| held.identity.as_bytes() == identity;
        if let Some(at) = others.iter().position(exact) {
            return Before::open(others.swap_remove(at), Ranges::new()).map_err(in_words);
        }
        for at in 0..others.len() {
            let here = others[at].identity.as_bytes();
            let chain = self.links.between(&self.local, identity, here);
            if let Some(ranges) = chain.map_err(in_words)? {
                let altered = Ranges::of(&ranges);
                return Before::open(others.swap_remove(at), altered).map_err(in_words);
            }
        }
        Err(why_not(identity, &self.held, &others))
    }
}

/// Why the snapshot of a session is not among those that are here.
fn why_not(identity: &[u8], own: &Held, others: &[Held]) -> String {
    let differs = |held: &Held| held.identity.difference(identity);
    let why = if others.is_empty() {
        "the snapshot from which it was last sent is not here"
    } else if others
        .iter()
        .any(|held| differs(held) == Difference::Altered)
    {
        "the snapshot from which it was last sent was written to or altered"
    } else if differs(own) == Difference::OtherSystem {
        "the snapshot from which it was last sent was on another file system"
    } else {
        "the snapshot here is not the one from which it was last sent"
    };
    why.to_owned()
}

impl FrozenVolume for ReflinkVolume {
    fn name(&self) -> &str {
        self.content.name()
    }

    fn size(&self) -> u64 {
        self.content.size()
    }

    fn identity(&self) -> Vec<u8> {
        self.held.identity.as_bytes().to_vec()
    }

    fn changes_since(&self, identity: &[u8]) -> Result<Changes, SourceError> {
        *lock(&self.before) = None;
        if identity == self.held.identity.as_bytes() {
            return Ok(Changes::Ranges(Vec::new()));
        }
        let found = self.find(identity).and_then(|before| {
            let ranges = self.delta_since(&before.held)?;
            Ok((before, ranges))
        });
        Ok(match found {
            Ok((before, ranges)) => {
                let all = ranges.union(&before.altered).clip(self.size());
                lock(&self.asked).insert(before.held.number);
                *lock(&self.before) = Some(Arc::new(before));
                Changes::Ranges(all.into_vec())
            }
            Err(why) => Changes::Everything(why),
        })
    }

    fn read_before(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, SourceError> {
        // Several threads read at the same time.
        let Some(before) = lock(&self.before).clone() else {
            return Ok(false);
        };
        let end = offset.saturating_add(buffer.len() as u64);
        if before.altered.touches(offset, end) {
            return Ok(false);
        }
        before.content.read_at(offset, buffer)?;
        Ok(true)
    }

    fn next_data(&self, from: u64) -> Result<Option<VolumeRange>, SourceError> {
        self.content.next_data(from)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.content.read_at(offset, buffer)
    }

    fn snapshot(&self) -> String {
        self.held.path.display().to_string()
    }

    fn committed(&mut self) -> Result<(), SourceError> {
        // Whatever fails from here on: the head names this snapshot, so it stays. A crash leaves older ones and links that lead nowhere
        // any more, for the next commit to remove.
        self.is_kept = true;
        self.links.forget(&self.local)?;
        self.replace_older()
    }
}

impl Drop for ReflinkVolume {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // Nothing can be done where this fails; the next commit tries again.
        let _ = rustix::fs::unlink(&self.held.path);
        *lock(&self.before) = None;
        let asked = lock(&self.asked).clone();
        // What the head knows was found, so what it does not know and nobody uses was left by a crash.
        if !asked.is_empty() {
            for number in self.left.iter().filter(|number| !asked.contains(number)) {
                let _ = self.shelf.remove(&self.local, *number);
            }
        }
        self.shelf.tidy();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
