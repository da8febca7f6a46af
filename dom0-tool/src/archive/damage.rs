//! What of a volume could not be restored, told as byte ranges.

use std::collections::BTreeMap;

use crate::joints::VolumeRange;

/// So many ranges are told, each with why; of those that come later only the bytes are counted. A store that is all bad costs no more memory than
/// this.
const MOST: usize = 4096;

/// Ranges that are lost, and why the first of each run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Ends and reasons, by where they start. No two touch.
    ranges: BTreeMap<u64, (u64, String)>,
    /// Bytes of further ranges.
    untold: u64,
}

impl Damage {
    /// Adds a range that was not added before; neighbours are put together, in whatever order they come.
    pub fn add(&mut self, range: VolumeRange, why: String) {
        let VolumeRange { mut start, mut end } = range;
        let mut why = why;
        let before = self.ranges.range(..=start).next_back();
        let before = before.map(|(at, (end, _))| (*at, *end));
        let before = before.filter(|(_, end)| *end >= start);
        if self.ranges.len() >= MOST && before.is_none() && !self.ranges.contains_key(&end) {
            self.untold = self.untold.saturating_add(end.saturating_sub(start));
            return;
        }
        if let Some((at, _)) = before
            && let Some((its_end, its_why)) = self.ranges.remove(&at)
        {
            (start, end, why) = (at, end.max(its_end), its_why);
        }
        while let Some((at, _)) = self.ranges.range(start..=end).next() {
            let at = *at;
            if let Some((its_end, _)) = self.ranges.remove(&at) {
                end = end.max(its_end);
            }
        }
        self.ranges.insert(start, (end, why));
    }

    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges that are told, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (VolumeRange, &str)> {
        let all = self.ranges.iter();
        all.map(|(start, (end, why))| {
            let (start, end) = (*start, *end);
            (VolumeRange { start, end }, why.as_str())
        })
    }

    /// Number of bytes that are lost in further ranges.
    pub fn untold(&self) -> u64 {
        self.untold
    }

    /// Number of bytes that are lost.
    pub fn bytes(&self) -> u64 {
        let lengths = self.ranges().map(|(range, _)| range.end - range.start);
        lengths.fold(self.untold, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> VolumeRange {
        VolumeRange { start, end }
    }

    #[test]
    fn neighbours_are_told_as_one_range() {
        let mut damage = Damage::default();
        damage.add(range(20, 30), "b".into());
        damage.add(range(0, 10), "a".into());
        damage.add(range(10, 20), "c".into());
        damage.add(range(50, 60), "d".into());
        let told: Vec<_> = damage.ranges().collect();
        assert_eq!(told, [(range(0, 30), "a"), (range(50, 60), "d")]);
        assert_eq!(damage.bytes(), 40);
    }

    #[test]
    fn a_volume_that_is_all_lost_is_one_range_in_whatever_order_its_chunks_come() {
        let mut damage = Damage::default();
        let chunks = 100_000;
        // Each as far from the one before as several threads bring them, and further.
        for number in 0..chunks {
            let chunk = number * 7 % 64 + number / 64 * 64;
            if chunk < chunks / 64 * 64 {
                damage.add(range(chunk, chunk + 1), format!("chunk {chunk}"));
            }
            assert!(damage.ranges.len() <= 64, "{number}");
        }
        let all = range(0, chunks / 64 * 64);
        assert_eq!(damage.ranges().collect::<Vec<_>>(), [(all, "chunk 0")]);
    }

    #[test]
    fn more_ranges_than_anybody_reads_are_counted_and_not_kept() {
        let mut damage = Damage::default();
        for number in 0..100_000 {
            damage.add(range(number * 10, number * 10 + 5), "lost".into());
        }
        assert_eq!(damage.ranges().count(), MOST);
        assert_eq!(damage.bytes(), 500_000);
        assert_eq!(damage.untold(), 5 * (100_000 - MOST as u64));
        // What fills a gap between two that are told is told with them.
        damage.add(range(5, 10), "between".into());
        assert_eq!(damage.ranges().next(), Some((range(0, 15), "lost")));
        assert_eq!(damage.bytes(), 500_005);
    }
}
