//! Sets of byte ranges, kept sorted, apart and merged.

use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};

/// Sorted ranges of bytes `start..end` that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<(u64, u64)>,
}

impl RangeSet {
    /// Adds a range; what is in the set already stays.
    pub fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        // Everything that overlaps or touches the new range is replaced by their union.
        let from = self.ranges.partition_point(|(_, stop)| *stop < start);
        let to = self.ranges.partition_point(|(begin, _)| *begin <= end);
        let first = self.ranges.get(from).filter(|_| from < to);
        let last = to.checked_sub(1).and_then(|at| self.ranges.get(at));
        let merged = (
            first.map_or(start, |(begin, _)| start.min(*begin)),
            last.filter(|_| from < to)
                .map_or(end, |(_, stop)| end.max(*stop)),
        );
        self.ranges.splice(from..to.max(from), [merged]);
    }

    /// Whether the whole range is in the set.
    pub fn contains(&self, start: u64, end: u64) -> bool {
        let at = self.ranges.partition_point(|(_, stop)| *stop < end);
        self.ranges
            .get(at)
            .is_some_and(|(begin, stop)| *begin <= start && end <= *stop)
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of bytes in the set.
    pub fn total(&self) -> u64 {
        self.ranges.iter().fold(0, |sum: u64, (start, end)| {
            sum.saturating_add(end.saturating_sub(*start))
        })
    }

    /// Writes the ranges as gaps and lengths.
    pub fn encode(&self, writer: &mut Writer) {
        writer.count(self.ranges.len());
        let mut at = 0_u64;
        for (start, end) in &self.ranges {
            writer.varint(start.saturating_sub(at));
            writer.varint(end.saturating_sub(*start));
            at = *end;
        }
    }

    /// Reads ranges that end at or before `limit`.
    pub fn parse(reader: &mut Reader<'_>, limit: u64) -> Result<Self> {
        let out_of_range = FormatError::OutOfRange(reader.what());
        let mut ranges = Vec::new();
        let mut at = 0_u64;
        for index in 0..reader.count(2)? {
            let (gap, length) = (reader.varint()?, reader.varint()?);
            let start = at.checked_add(gap);
            let end = start.and_then(|start| start.checked_add(length));
            match (start, end) {
                // Ranges that touch would have been written as one.
                (Some(start), Some(end))
                    if length > 0 && end <= limit && (gap > 0 || index == 0) =>
                {
                    ranges.push((start, end));
                    at = end;
                }
                _ => return Err(out_of_range),
            }
        }
        Ok(Self { ranges })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_ranges_is_the_set_of_its_bytes(pairs: Vec<(u8, u8)>) {
            let mut set = RangeSet::default();
            let mut model = BTreeSet::new();
            for (start, length) in pairs {
                let (start, end) = (u64::from(start), u64::from(start) + u64::from(length % 16));
                set.insert(start, end);
                model.extend(start..end);
            }
            prop_assert_eq!(set.total(), model.len() as u64);
            let bytes: BTreeSet<u64> = set.iter().flat_map(|(start, end)| start..end).collect();
            prop_assert_eq!(&bytes, &model);
            let merged = set.ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
            prop_assert!(merged);
            for byte in 0..300 {
                prop_assert_eq!(set.contains(byte, byte + 1), model.contains(&byte));
            }
            let mut writer = Writer::new();
            set.encode(&mut writer);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new("x", &bytes);
            prop_assert_eq!(RangeSet::parse(&mut reader, 300), Ok(set));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }
}
