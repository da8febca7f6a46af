//! Which versions of volumes were read back whole on this machine, and when.
//!
//! A version is known by a hash of its tree, not by its session's number: what a repair changed, or an older state of the store that came back,
//! is another version and counts as not read. The file is a convenience. Anything odd in it counts as nothing, and two commands that write it at
//! the same time cost at most one of the two notes.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::bytes::Writer;
use nacre_core::ids::{HeaderHash, VolumeId};
use nacre_core::place::Root;

use super::{Memory, Result, Sessions};

/// The file in dom0's memory of the archive: a line for each version, with the volume's number, the mark and the time.
const FILE: &str = "verified-versions";
const LIMIT: usize = 16 << 20;
/// Lines beyond this are not kept, the oldest first: a line takes some 55 bytes.
const MOST: usize = 200_000;

/// A volume in the state of a session, whatever the session is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    volume: VolumeId,
    tree: u128,
}

impl Mark {
    fn of(volume: VolumeId, root: &Root, size: u64) -> Self {
        let mut writer = Writer::new();
        root.encode(&mut writer);
        writer.varint(size);
        // Half a hash is more than enough to tell the versions of one volume apart.
        let hash = HeaderHash::of(writer.as_bytes()).0;
        let half = hash.first_chunk().copied().unwrap_or_default();
        Self {
            volume,
            tree: u128::from_le_bytes(half),
        }
    }
}

/// When which versions were read and every chunk of them was right, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifiedVersions {
    times: BTreeMap<Mark, i64>,
}

impl VerifiedVersions {
    /// Reads what is remembered.
    pub fn load(memory: &Memory) -> Result<Self> {
        let bytes = memory.dir().read(FILE, LIMIT)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(Self::parse(&text.unwrap_or_default()))
    }

    /// Remembers it, as far as the archive still has the versions.
    pub fn save(&mut self, memory: &Memory, sessions: &Sessions) -> Result<()> {
        let every = sessions.iter().flat_map(|(_, session)| &session.volumes);
        let there: BTreeSet<Mark> = every
            .map(|at| Mark::of(at.volume, &at.root, at.size))
            .collect();
        self.times.retain(|mark, _| there.contains(mark));
        Ok(memory.dir().replace(FILE, self.encode().as_bytes())?)
    }

    /// Notes that a version was read: whole, or not, after which nothing good is remembered of it.
    pub fn note(&mut self, volume: VolumeId, root: &Root, size: u64, whole: bool, now: i64) {
        let mark = Mark::of(volume, root, size);
        if whole {
            self.times.insert(mark, now);
        } else {
            self.times.remove(&mark);
        }
    }

    /// When a version was last read whole; `None` if it never was on this machine.
    pub fn when(&self, volume: VolumeId, root: &Root, size: u64) -> Option<i64> {
        self.times.get(&Mark::of(volume, root, size)).copied()
    }

    fn encode(&self) -> String {
        let mut lines: Vec<(&Mark, &i64)> = self.times.iter().collect();
        if lines.len() > MOST {
            lines.sort_by_key(|(_, time)| std::cmp::Reverse(**time));
            lines.truncate(MOST);
        }
        let line =
            |(mark, time): &(&Mark, &i64)| format!("{} {:032x} {time}\n", mark.volume, mark.tree);
        lines.iter().map(line).collect()
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut fields = line.split(' ');
            let volume = VolumeId(fields.next()?.parse().ok()?);
            let tree = u128::from_str_radix(fields.next()?, 16).ok()?;
            let time: i64 = fields.next()?.parse().ok()?;
            let whole = fields.next().is_none() && time >= 0;
            whole.then_some((Mark { volume, tree }, time))
        };
        Self {
            times: text.lines().filter_map(line).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_back_and_what_is_odd_counts_as_nothing() {
        let mut verified = VerifiedVersions::default();
        verified.note(VolumeId(3), &Root::Empty, 4096, true, 1_800_000_000);
        verified.note(VolumeId(3), &Root::Empty, 8192, true, 1_800_000_060);
        verified.note(VolumeId(9), &Root::Empty, 4096, true, 1_800_000_120);
        assert_eq!(VerifiedVersions::parse(&verified.encode()), verified);
        for odd in ["", "1", "1 2", "x 2 3", "1 zz 3", "1 2 -3", "1 2 3 4"] {
            assert_eq!(
                VerifiedVersions::parse(odd),
                VerifiedVersions::default(),
                "{odd}"
            );
        }
    }

    #[test]
    fn a_version_is_forgotten_when_it_is_found_damaged() {
        let mut verified = VerifiedVersions::default();
        let when =
            |verified: &VerifiedVersions, size| verified.when(VolumeId(3), &Root::Empty, size);
        verified.note(VolumeId(3), &Root::Empty, 4096, true, 17);
        assert_eq!(
            (when(&verified, 4096), when(&verified, 8192)),
            (Some(17), None)
        );
        verified.note(VolumeId(3), &Root::Empty, 4096, false, 18);
        assert_eq!(when(&verified, 4096), None);
    }
}
