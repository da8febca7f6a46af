//! What of a volume could not be restored, told as byte ranges.

use crate::joints::VolumeRange;

/// Ranges that are lost, and why the first of each run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    ranges: Vec<(VolumeRange, String)>,
}

impl Damage {
    /// Adds a range; neighbours that are told one behind the other are put together.
    pub fn add(&mut self, range: VolumeRange, why: String) {
        self.ranges.push((range, why));
    }

    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges in order, neighbours put together.
    pub fn ranges(&self) -> Vec<(VolumeRange, String)> {
        let mut sorted = self.ranges.clone();
        sorted.sort_by_key(|(range, _)| *range);
        let mut merged: Vec<(VolumeRange, String)> = Vec::new();
        for (range, why) in sorted {
            match merged.last_mut() {
                Some((last, _)) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push((range, why)),
            }
        }
        merged
    }

    /// Number of bytes that are lost.
    pub fn bytes(&self) -> u64 {
        let length = |(range, _): &(VolumeRange, String)| range.end - range.start;
        self.ranges().iter().map(length).sum()
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
        assert_eq!(
            damage.ranges(),
            [(range(0, 30), "a".into()), (range(50, 60), "d".into())]
        );
        assert_eq!(damage.bytes(), 40);
    }
}
