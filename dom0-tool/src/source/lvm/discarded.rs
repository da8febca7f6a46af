//! What of a device was discarded, and not looked at since.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::joints::VolumeRange;

/// So many ranges are remembered.
const MOST: usize = 1 << 16;

/// Ranges, neither overlapping nor touching: where each ends, by where it begins.
#[derive(Default)]
pub struct Discarded(Mutex<BTreeMap<u64, u64>>);

impl Discarded {
    /// Adds a range. Whether it is time to look at them.
    pub fn add(&self, mut range: VolumeRange) -> bool {
        let mut ranges = self.ranges();
        while let Some((start, end)) = last_before(&ranges, range.end)
            && range.start <= end
        {
            ranges.remove(&start);
            range.start = range.start.min(start);
            range.end = range.end.max(end);
        }
        ranges.insert(range.start, range.end);
        ranges.len() >= MOST
    }

    /// Whether something of the range was discarded.
    pub fn touches(&self, range: VolumeRange) -> bool {
        let last = range.end.checked_sub(1).filter(|last| range.start <= *last);
        let before = last.and_then(|last| last_before(&self.ranges(), last));
        before.is_some_and(|(_, end)| range.start < end)
    }

    /// Takes them all out, in order.
    pub fn take(&self) -> Vec<VolumeRange> {
        let ranges = std::mem::take(&mut *self.ranges()).into_iter();
        ranges
            .map(|(start, end)| VolumeRange { start, end })
            .collect()
    }

    fn ranges(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last range that begins at `at` or before.
fn last_before(ranges: &BTreeMap<u64, u64>, at: u64) -> Option<(u64, u64)> {
    let found = ranges.range(..=at).next_back();
    found.map(|(start, end)| (*start, *end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_known_as_a_set_of_bytes_is(
            added in proptest::collection::vec((0..40_u64, 1..9_u64), 0..12),
            asked in (0..50_u64, 0..9_u64),
        ) {
            let discarded = Discarded::default();
            let mut bytes = [false; 50];
            for (start, length) in added {
                let end = start + length;
                let many = discarded.add(VolumeRange { start, end });
                prop_assert!(!many);
                (start..end).for_each(|at| bytes[usize::try_from(at).unwrap()] = true);
            }
            let is_in = |at: u64| bytes.get(usize::try_from(at).unwrap()) == Some(&true);
            let (start, length) = asked;
            let end = start + length;
            let touches = discarded.touches(VolumeRange { start, end });
            prop_assert_eq!(touches, (start..end).any(is_in));
            let all = discarded.take();
            prop_assert!(all.windows(2).all(|pair| pair[0].end < pair[1].start));
            for at in 0..50 {
                let known = all.iter().any(|range| range.start <= at && at < range.end);
                prop_assert_eq!(known, is_in(at), "byte {}", at);
            }
            prop_assert!(discarded.take().is_empty());
        }
    }
}
