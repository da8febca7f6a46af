//! A volume in pieces that are mended one after the other, so that memory does not grow with what is lost.

use std::ops::Range;

use nacre_core::place::FAN_BITS;

use super::survey::Lost;

/// Stretches of a volume, apart and in order, that hold all that is lost of its `end` chunks: each about `most` chunks long, or as long as what
/// cannot be mended piece by piece, which is what lies below one lost node.
pub fn stretches(lost: &[Lost], most: u64, end: u64) -> Vec<Range<u64>> {
    let leaf = 1 << FAN_BITS;
    let whole = most.div_ceil(leaf).max(1).saturating_mul(leaf);
    let mut pieces: Vec<Range<u64>> = Vec::new();
    for here in lost {
        pieces.extend(here.nodes.iter().map(|node| node.keys.clone()));
        for (range, _) in here.hits.iter() {
            let behind = range.end.min(end);
            let mut start = range.start;
            while start < behind {
                let next = (start - start % whole).saturating_add(whole);
                pieces.push(start..next.min(behind));
                start = next;
            }
        }
    }
    pieces.sort_by_key(|piece| (piece.start, piece.end));
    let mut all: Vec<Range<u64>> = Vec::new();
    for piece in pieces {
        match all.last_mut() {
            Some(last)
                if piece.start < last.end || piece.end.saturating_sub(last.start) <= whole =>
            {
                last.end = last.end.max(piece.end);
            }
            _ => all.push(piece),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nacre_core::ids::{Alias, Digest};
    use nacre_core::place::{Place, Pointer};

    use super::super::survey::LostRange;
    use super::*;

    /// Pairs of first chunk and the one behind the last.
    fn lost(hits: &[(u64, u64)], nodes: &[(u64, u64)]) -> Lost {
        let range = |(start, end): &(u64, u64)| *start..*end;
        let why: Arc<str> = "x".into();
        let mut lost = Lost::default();
        for pair in hits.iter().chain(nodes) {
            lost.hits.add(range(pair), &why, false);
        }
        let node = |keys: &(u64, u64)| LostRange {
            keys: range(keys),
            level: 1,
            pointer: Pointer {
                place: Place {
                    alias: Alias(1),
                    offset: keys.0,
                    length: 1,
                },
                raw_length: 1,
                digest: Digest::default(),
            },
        };
        lost.nodes = nodes.iter().map(node).collect();
        lost
    }

    #[test]
    fn stretches_hold_all_that_is_lost_and_no_lost_node_is_cut() {
        let all = [
            lost(&[(3, 5), (100, 5000)], &[]),
            lost(&[(4, 6), (70_000, 70_001)], &[(8192, 12_288)]),
            lost(&[], &[(64, 128), (65_536, u64::MAX)]),
        ];
        for most in [1, 64, 100, 1000, 1 << 20] {
            let stretches = stretches(&all, most, 80_000);
            assert!(stretches.windows(2).all(|two| two[0].end <= two[1].start));
            for here in &all {
                for (range, _) in here.hits.iter() {
                    for chunk in range.start..range.end.min(80_000) {
                        let holding = stretches.iter().filter(|one| one.contains(&chunk));
                        assert_eq!(holding.count(), 1, "{most} {chunk}");
                    }
                }
                let parts = stretches.iter().map(|one| here.within(one));
                let nodes: usize = parts.map(|part| part.nodes.len()).sum();
                assert_eq!(nodes, here.nodes.len(), "{most}");
            }
        }
        let long = stretches(&[lost(&[(0, 1_000_000)], &[])], 1000, 1_000_000);
        assert!(long.iter().all(|one| one.end - one.start <= 1024));
        assert!(stretches(&[lost(&[(10, 20)], &[])], 1000, 5).is_empty());
    }
}
