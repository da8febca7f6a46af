//! Sets of byte ranges of a volume: what changed, what is known.

use super::source::VolumeRange;

/// Ranges that a set keeps apart, at most. With more, those that lie closest together become one: a set may say that too much changed,
/// never too little. 16 MiB of memory.
const MOST: usize = 1 << 20;

/// The gap that is closed first when a set becomes too long; doubled until it fits.
const FIRST_GAP: u64 = 64 << 10;

/// Ranges of a volume, sorted, not empty, neither overlapping nor touching.
///
/// Used for what *may* have changed, so that too much is only slow: a set of more than a million ranges closes its smallest gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: Vec<VolumeRange>,
}

impl Ranges {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// One range; nothing if it is empty.
    pub fn one(start: u64, end: u64) -> Self {
        let mut set = Self::new();
        set.push(VolumeRange { start, end });
        set
    }

    /// Ranges in any order, also overlapping ones.
    pub fn of(ranges: &[VolumeRange]) -> Self {
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable();
        let mut set = Self::new();
        for range in sorted {
            set.push(range);
        }
        set
    }

    /// What changed in a volume by its size alone: everything behind the smaller end, and the byte before it, so that the last chunk that is
    /// left counts as well.
    pub fn of_resize(old: u64, new: u64) -> Self {
        if old == new {
            return Self::new();
        }
        Self::one(old.min(new).saturating_sub(1), old.max(new))
    }

    /// Adds a range. Cheap if none begins behind it.
    pub fn push(&mut self, range: VolumeRange) {
        if range.start >= range.end {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if range.start < last.start => {
                *self = self.union(&Self {
                    ranges: vec![range],
                });
            }
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => self.ranges.push(range),
        }
        if self.ranges.len() > MOST {
            self.coarsen(MOST / 2);
        }
    }

    /// What is in one of the two.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (mut left, mut right) = (
            self.ranges.iter().peekable(),
            other.ranges.iter().peekable(),
        );
        let mut set = Self::new();
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.start <= b.start => left.next(),
                (Some(_), None) => left.next(),
                (_, Some(_)) => right.next(),
                (None, None) => return set,
            };
            if let Some(range) = next {
                set.push(*range);
            }
        }
    }

    /// What lies before `end` and is not in the set.
    #[must_use]
    pub fn complement(&self, end: u64) -> Self {
        let mut set = Self::new();
        let mut at = 0;
        for range in &self.ranges {
            set.push(VolumeRange {
                start: at,
                end: range.start.min(end),
            });
            at = range.end;
        }
        set.push(VolumeRange { start: at, end });
        set
    }

    /// What of the set lies before `end`.
    #[must_use]
    pub fn clip(mut self, end: u64) -> Self {
        let keep = self.ranges.partition_point(|range| range.start < end);
        self.ranges.truncate(keep);
        if let Some(last) = self.ranges.last_mut() {
            last.end = last.end.min(end);
        }
        self
    }

    /// Whether a byte of `start..end` is in the set.
    pub fn touches(&self, start: u64, end: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.end <= start);
        let found = self.ranges.get(at);
        start < end && found.is_some_and(|range| range.start < end)
    }

    /// Bytes in the set.
    pub fn total(&self) -> u64 {
        self.ranges.iter().fold(0, |sum: u64, range| {
            sum.saturating_add(range.end - range.start)
        })
    }

    /// The ranges, in order.
    pub fn as_slice(&self) -> &[VolumeRange] {
        &self.ranges
    }

    /// The ranges, in order.
    pub fn into_vec(self) -> Vec<VolumeRange> {
        self.ranges
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Closes gaps, small ones first, until at most `most` ranges are left (at least one).
    pub fn coarsen(&mut self, most: usize) {
        let mut gap = FIRST_GAP;
        while self.ranges.len() > most.max(1) {
            self.ranges.dedup_by(|next, last| {
                let close = next.start - last.end <= gap;
                if close {
                    last.end = next.end;
                }
                close
            });
            gap = gap.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    type Bytes = BTreeSet<u64>;

    fn made(pairs: &[(u8, u8)]) -> (Ranges, Bytes) {
        let ranges: Vec<VolumeRange> = pairs
            .iter()
            .map(|(start, length)| VolumeRange {
                start: u64::from(*start),
                end: u64::from(*start) + u64::from(length % 16),
            })
            .collect();
        let bytes = ranges.iter().flat_map(|r| r.start..r.end).collect();
        let mut pushed = Ranges::new();
        for range in &ranges {
            pushed.push(*range);
        }
        assert_eq!(pushed, Ranges::of(&ranges));
        (pushed, bytes)
    }

    fn bytes(set: &Ranges) -> Bytes {
        let apart = set.ranges.windows(2).all(|two| two[0].end < two[1].start);
        assert!(apart && set.ranges.iter().all(|r| r.start < r.end));
        set.ranges.iter().flat_map(|r| r.start..r.end).collect()
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_the_set_of_its_bytes(
            a: Vec<(u8, u8)>, b: Vec<(u8, u8)>, end in 0_u64..300, from in 0_u64..300,
        ) {
            let ((a, of_a), (b, of_b)) = (made(&a), made(&b));
            prop_assert_eq!(bytes(&a), of_a.clone());
            prop_assert_eq!(bytes(&a.union(&b)), &of_a | &of_b);
            prop_assert_eq!(bytes(&a.complement(end)), &(0..end).collect::<Bytes>() - &of_a);
            let before: Bytes = of_a.iter().copied().filter(|byte| *byte < end).collect();
            prop_assert_eq!(bytes(&a.clone().clip(end)), before);
            prop_assert_eq!(a.touches(from, end), (from..end).any(|byte| of_a.contains(&byte)));
            prop_assert_eq!(a.total(), of_a.len() as u64);
        }

        #[test]
        fn a_coarser_set_holds_the_finer_one(starts: BTreeSet<u32>, most in 1_usize..20) {
            let fine: Vec<VolumeRange> = starts
                .iter()
                .map(|start| VolumeRange { start: u64::from(*start), end: u64::from(*start) + 1 })
                .collect();
            let mut coarse = Ranges::of(&fine);
            coarse.coarsen(most);
            prop_assert!(coarse.as_slice().len() <= most);
            prop_assert!(starts.iter().all(|at| coarse.touches(u64::from(*at), u64::from(*at) + 1)));
        }
    }

    #[test]
    fn the_last_byte_that_is_left_counts_as_changed() {
        assert_eq!(
            Ranges::of_resize(100, 50).as_slice(),
            Ranges::one(49, 100).as_slice()
        );
        assert_eq!(Ranges::of_resize(0, 7), Ranges::one(0, 7));
        assert!(Ranges::of_resize(7, 7).is_empty());
    }
}
