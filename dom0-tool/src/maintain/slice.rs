//! Which part of the data is read in this run, and what was read when.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::ids::Alias;
use nacre_core::node::ChunkEntry;

use crate::archive::{Memory, Result};

/// The file in dom0's memory of the archive.
const FILE: &str = "verified";
/// It has a line for each stretch of packs that were read in the same run.
const LIMIT: usize = 16 << 20;

/// How much of the data is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// Every byte.
    All,
    /// Packs whose number leaves the rest `part - 1` when divided by `of`: `part` of `of` equal parts.
    Part {
        /// Which part, from 1.
        part: u32,
        /// How many there are.
        of: u32,
    },
    /// So many percent of the bytes, those first that were read longest ago.
    Percent(u8),
}

/// When which packs were read and found right or wrong, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    packs: BTreeMap<Alias, i64>,
}

impl Verified {
    /// Reads what is remembered. Anything odd counts as nothing: it costs a reading more.
    pub fn load(memory: &Memory) -> Result<Self> {
        let bytes = memory.dir().read(FILE, LIMIT)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(Self::parse(&text.unwrap_or_default()))
    }

    /// Remembers it.
    pub fn save(&self, memory: &Memory) -> Result<()> {
        Ok(memory.dir().replace(FILE, self.encode().as_bytes())?)
    }

    /// Notes that packs were read.
    pub fn note(&mut self, packs: &BTreeSet<Alias>, now: i64) {
        self.packs.extend(packs.iter().map(|pack| (*pack, now)));
    }

    /// Forgets packs that the archive no longer has.
    pub fn keep(&mut self, packs: &BTreeMap<Alias, u64>) {
        self.packs.retain(|pack, _| packs.contains_key(pack));
    }

    /// Of these packs: how many were never read, and when the one was that was read longest ago.
    pub fn age(&self, packs: &BTreeMap<Alias, u64>) -> (usize, Option<i64>) {
        let never = packs.keys().filter(|pack| !self.packs.contains_key(pack));
        let times = packs.keys().filter_map(|pack| self.packs.get(pack));
        (never.count(), times.min().copied())
    }

    /// The packs of a slice, given all with their sizes.
    pub fn choose(&self, slice: Slice, packs: &BTreeMap<Alias, u64>) -> BTreeSet<Alias> {
        match slice {
            Slice::All => packs.keys().copied().collect(),
            Slice::Part { part, of } => {
                let mine = |alias: &&Alias| {
                    alias.0.checked_rem(u64::from(of)) == Some(u64::from(part.saturating_sub(1)))
                };
                packs.keys().filter(mine).copied().collect()
            }
            Slice::Percent(percent) => {
                let total: u128 = packs.values().map(|size| u128::from(*size)).sum();
                let wanted = (total * u128::from(percent)).div_ceil(100);
                let mut order: Vec<Alias> = packs.keys().copied().collect();
                order.sort_by_key(|pack| (self.packs.get(pack).copied(), *pack));
                let mut sum = 0_u128;
                let enough = |pack: &Alias| {
                    let before = sum;
                    sum += u128::from(packs.get(pack).copied().unwrap_or(0));
                    before < wanted
                };
                order.into_iter().take_while(enough).collect()
            }
        }
    }

    fn encode(&self) -> String {
        let mut lines: Vec<(u64, u64, i64)> = Vec::new();
        for (alias, time) in &self.packs {
            match lines.last_mut() {
                Some((_, last, when)) if *last + 1 == alias.0 && when == time => *last = alias.0,
                _ => lines.push((alias.0, alias.0, *time)),
            }
        }
        let line = |(first, last, time): &(u64, u64, i64)| format!("{first} {last} {time}\n");
        lines.iter().map(line).collect()
    }

    fn parse(text: &str) -> Self {
        /// A stretch longer than any archive's is no stretch.
        const LONGEST: u64 = 1 << 24;
        let mut verified = Self::default();
        for line in text.lines() {
            let mut fields = line.split(' ');
            let mut number = || fields.next()?.parse::<u64>().ok();
            let (Some(first), Some(last), Some(time)) = (number(), number(), number()) else {
                continue;
            };
            let (Some(length), Ok(time)) = (last.checked_sub(first), i64::try_from(time)) else {
                continue;
            };
            if length < LONGEST {
                let aliases = (first..=last).map(|alias| (Alias(alias), time));
                verified.packs.extend(aliases);
            }
        }
        verified
    }
}

/// Whether any item of an entry lies in these packs.
pub fn touches(packs: &BTreeSet<Alias>, entry: &ChunkEntry) -> bool {
    entry.items().any(|item| packs.contains(&item.alias))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs(count: u64) -> BTreeMap<Alias, u64> {
        (1..=count).map(|alias| (Alias(alias), 100)).collect()
    }

    #[test]
    fn what_is_remembered_is_read_back() {
        let mut verified = Verified::default();
        verified.note(&[1, 2, 3, 7].map(Alias).into(), 1_800_000_000);
        verified.note(&[4, 9].map(Alias).into(), 1_800_000_060);
        assert_eq!(Verified::parse(&verified.encode()), verified);
        assert_eq!(verified.encode().lines().count(), 4);
        for odd in ["", "1", "5 1 9", "a b c", "1 99999999999 7", "1 2 -5"] {
            assert_eq!(Verified::parse(odd), Verified::default(), "{odd}");
        }
    }

    #[test]
    fn percentages_go_round_until_every_pack_was_read() {
        let all = packs(10);
        let mut verified = Verified::default();
        let mut seen = BTreeSet::new();
        for run in 0..4 {
            let chosen = verified.choose(Slice::Percent(30), &all);
            assert_eq!(chosen.len(), 3);
            seen.extend(chosen.iter().copied());
            verified.note(&chosen, 1_000 + run);
        }
        assert_eq!(seen.len(), 10);
        // The first two of the first run were read a second time in the last.
        assert_eq!(verified.age(&all), (0, Some(1_000)));
    }

    #[test]
    fn the_parts_of_a_whole_are_apart_and_leave_nothing_out() {
        let (all, verified) = (packs(50), Verified::default());
        let mut seen = BTreeSet::new();
        for part in 1..=7 {
            for pack in verified.choose(Slice::Part { part, of: 7 }, &all) {
                assert!(seen.insert(pack), "{pack} twice");
            }
        }
        assert_eq!(seen.len(), 50);
    }
}
