//! Chunks of one volume in one session whose content is gone, as ranges.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A range that is hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// First chunk behind it.
    pub end: u64,
    /// Why the first of it is lost.
    pub why: Arc<str>,
    /// Whether an earlier repair found it, so that the index says so already.
    pub known: bool,
}

/// Ranges of chunks, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    ranges: BTreeMap<u64, Hit>,
}

impl Hits {
    /// Adds a range, in the place of what was said of it before.
    pub fn add(&mut self, chunks: Range<u64>, why: &Arc<str>, known: bool) {
        if chunks.is_empty() {
            return;
        }
        self.remove(chunks.clone());
        let (mut start, mut end, mut why) = (chunks.start, chunks.end, Arc::clone(why));
        if let Some((before, hit)) = self.ranges.range(..start).next_back()
            && hit.end == start
            && hit.known == known
        {
            start = *before;
            why = Arc::clone(&hit.why);
        }
        if let Some(next) = self.ranges.get(&end)
            && next.known == known
        {
            let behind = next.end;
            self.ranges.remove(&end);
            end = behind;
        }
        self.ranges.insert(start, Hit { end, why, known });
    }

    /// Takes a range out.
    pub fn remove(&mut self, chunks: Range<u64>) {
        if chunks.is_empty() {
            return;
        }
        let touched = self.ranges.range(..chunks.end).rev();
        let touched: Vec<u64> = touched
            .take_while(|(_, hit)| hit.end > chunks.start)
            .map(|(start, _)| *start)
            .collect();
        for start in touched {
            let Some(hit) = self.ranges.remove(&start) else {
                continue;
            };
            if hit.end > chunks.end {
                self.ranges.insert(chunks.end, hit.clone());
            }
            if start < chunks.start {
                let end = chunks.start;
                self.ranges.insert(start, Hit { end, ..hit });
            }
        }
    }

    /// Puts all ranges of `other` over these.
    pub fn overlay(&mut self, other: &Self) {
        for (chunks, hit) in other.iter() {
            self.add(chunks, &hit.why, hit.known);
        }
    }

    /// Those that lie in some chunks, or what of them does.
    pub fn within(&self, chunks: &Range<u64>) -> Self {
        let mut inside = Self::default();
        let before = self.ranges.range(..chunks.start).next_back();
        let touching = before.into_iter().chain(self.ranges.range(chunks.clone()));
        for (start, hit) in touching {
            let range = (*start).max(chunks.start)..hit.end.min(chunks.end);
            inside.add(range, &hit.why, hit.known);
        }
        inside
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = (Range<u64>, &Hit)> {
        let range = |(start, hit): (&u64, _)| (*start, hit);
        self.ranges
            .iter()
            .map(range)
            .map(|(start, hit): (u64, &Hit)| (start..hit.end, hit))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn taking_nothing_out_does_not_cut_a_range_in_two() {
        let why: Arc<str> = "x".into();
        let mut hits = Hits::default();
        hits.add(18..33, &why, false);
        hits.remove(19..19);
        assert_eq!(hits.iter().count(), 1);
    }

    proptest! {
        #[test]
        fn hits_are_the_map_of_their_chunks(steps: Vec<(bool, bool, u8, u8)>) {
            let why: Arc<str> = "x".into();
            let mut hits = Hits::default();
            let mut model: BTreeMap<u64, bool> = BTreeMap::new();
            for (add, known, start, length) in steps {
                let range = u64::from(start % 64)..u64::from(start % 64) + u64::from(length % 16);
                if add {
                    hits.add(range.clone(), &why, known);
                    model.extend(range.map(|chunk| (chunk, known)));
                } else {
                    hits.remove(range.clone());
                    model.retain(|chunk, _| !range.contains(chunk));
                }
            }
            let flat = |hits: &Hits| -> BTreeMap<u64, bool> {
                let ranges = hits.iter();
                ranges.flat_map(|(range, hit)| range.map(|chunk| (chunk, hit.known))).collect()
            };
            for part in [0..17, 17..40, 40..200] {
                let mut inside = model.clone();
                inside.retain(|chunk, _| part.contains(chunk));
                prop_assert_eq!(flat(&hits.within(&part)), inside);
            }
            prop_assert_eq!(flat(&hits), model);
            let all: Vec<_> = hits.iter().collect();
            for pair in all.windows(2) {
                let apart = pair[0].0.end < pair[1].0.start;
                prop_assert!(apart || pair[0].0.end == pair[1].0.start && pair[0].1.known != pair[1].1.known);
            }
        }
    }
}
