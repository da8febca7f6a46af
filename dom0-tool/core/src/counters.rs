//! Run counters: items that more than one run needs (doc/FORMAT.md, 7.3).

use std::collections::BTreeMap;

use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::place::MAX_PACK;

const WHAT: &str = "a run counter record";

/// The items of one pack that have more than one run, by offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    runs: BTreeMap<u64, u64>,
}

impl Counters {
    /// Runs of the item at an offset, if it has more than one.
    pub fn get(&self, offset: u64) -> Option<u64> {
        self.runs.get(&offset).copied()
    }

    /// Sets the runs of an item; one or none is not kept.
    pub fn set(&mut self, offset: u64, runs: u64) {
        if runs > 1 {
            self.runs.insert(offset, runs);
        } else {
            self.runs.remove(&offset);
        }
    }

    /// Whether no item has more than one run: then there is no record.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Offsets and runs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(offset, runs)| (*offset, *runs))
    }

    /// Writes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.count(self.runs.len());
        let mut before = 0_u64;
        for (offset, runs) in &self.runs {
            writer.varint(offset.saturating_sub(before));
            writer.varint(*runs);
            before = *offset;
        }
        writer.into_bytes()
    }

    /// Reads a record.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, bytes);
        let mut counters = Self::default();
        let mut before = 0_u64;
        for index in 0..reader.count(2)? {
            let (gap, runs) = (reader.varint()?, reader.varint()?);
            let offset = before.checked_add(gap).filter(|offset| *offset < MAX_PACK);
            match offset {
                Some(offset) if runs > 1 && (gap > 0 || index == 0) => {
                    counters.runs.insert(offset, runs);
                    before = offset;
                }
                _ => return Err(FormatError::OutOfRange(WHAT)),
            }
        }
        reader.finish()?;
        if counters.is_empty() {
            return Err(FormatError::OutOfRange(WHAT));
        }
        Ok(counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Counters {
        let mut counters = Counters::default();
        for (offset, runs) in [(0, 2), (100, 1), (4000, 700), (4001, 3)] {
            counters.set(offset, runs);
        }
        counters
    }

    #[test]
    fn counters_are_read_back_and_single_runs_are_not_kept() {
        assert_eq!(sample().get(100), None);
        assert_eq!(Counters::parse(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn mutated_counters_are_refused_or_read_in_their_only_form() {
        crate::mutation::write_seeds("records", Some(2), &[sample().encode()]);
        crate::mutation::each_mutation(&[sample().encode()], |bytes| {
            if let Ok(counters) = Counters::parse(bytes) {
                assert_eq!(counters.encode(), bytes);
            }
        });
    }
}
