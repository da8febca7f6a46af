//! Which packs to put together or to compact (DESIGN 4.1, 4.2).

use std::collections::BTreeSet;

use super::{PackKind, PackRecord, PackState};
use crate::ids::Alias;

/// When packs are copied into new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovePolicy {
    /// A pack below this many bytes is small.
    pub small: u64,
    /// So many small packs of a kind may there be.
    pub small_packs: usize,
    /// Bytes that a new pack should hold.
    pub target: u64,
    /// A pack of which less than this share is alive, in percent, is compacted.
    pub live_percent: u64,
    /// Whether the store gives space back when it is told to punch: then data packs are not copied for that.
    pub punch: bool,
}

impl Default for MovePolicy {
    fn default() -> Self {
        Self {
            small: 8 << 20,
            small_packs: 64,
            target: 64 << 20,
            live_percent: 50,
            punch: false,
        }
    }
}

impl MovePolicy {
    fn is_small(&self, pack: &PackRecord) -> bool {
        pack.size < self.small
    }

    fn is_sparse(&self, pack: &PackRecord) -> bool {
        let live = pack.live().saturating_mul(100);
        (pack.kind == PackKind::Index || !self.punch)
            && live < pack.size.saturating_mul(self.live_percent)
    }

    /// Whether a search must look at this pack, now or when there are more of its kind. Of others [`choose_moves`] would choose none.
    pub fn watches(&self, pack: &PackRecord) -> bool {
        pack.state == PackState::Live && (self.is_small(pack) || self.is_sparse(pack))
    }
}

impl PackRecord {
    /// Bytes of items that something may still need.
    pub fn live(&self) -> u64 {
        self.size
            .saturating_sub(self.dead.total())
            .saturating_sub(self.own)
    }
}

/// Chooses groups of packs, each to become one new pack. Homes of the pack tree are never among them, nor packs that are gone or wholly dead.
pub fn choose_moves<'a>(
    packs: impl IntoIterator<Item = (Alias, &'a PackRecord)>,
    homes: &BTreeSet<Alias>,
    policy: &MovePolicy,
) -> Vec<Vec<Alias>> {
    let movable = packs.into_iter().filter(|(alias, pack)| {
        pack.state == PackState::Live && !homes.contains(alias) && !pack.all_dead()
    });
    let movable: Vec<(Alias, &PackRecord)> = movable.collect();
    let mut groups = Vec::new();
    for kind in [PackKind::Data, PackKind::Index] {
        let of_kind = movable.iter().filter(|(_, pack)| pack.kind == kind);
        groups.extend(choose_of_kind(of_kind.copied().collect(), policy));
    }
    groups
}

fn choose_of_kind(packs: Vec<(Alias, &PackRecord)>, policy: &MovePolicy) -> Vec<Vec<Alias>> {
    let small = packs.iter().filter(|(_, pack)| policy.is_small(pack));
    let merging = small.count() > policy.small_packs;
    let mut groups: Vec<(Vec<Alias>, bool)> = Vec::new();
    let mut filled = policy.target;
    for (alias, pack) in packs {
        let sparse = policy.is_sparse(pack);
        let chosen = sparse || merging && policy.is_small(pack);
        if !chosen {
            continue;
        }
        if filled.saturating_add(pack.live()) > policy.target {
            groups.push((Vec::new(), false));
            filled = 0;
        }
        filled = filled.saturating_add(pack.live());
        if let Some((group, saves)) = groups.last_mut() {
            *saves |= sparse || !group.is_empty();
            group.push(alias);
        }
    }
    let worthwhile = groups.into_iter().filter(|(_, saves)| *saves);
    worthwhile.map(|(group, _)| group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{KeyGeneration, PackName};

    fn pack(kind: PackKind, size: u64, dead: u64) -> PackRecord {
        let mut pack = PackRecord::new(kind, PackName([1; 16]), KeyGeneration(0), size, 100);
        pack.dead.insert(0, dead);
        pack
    }

    fn chosen(packs: &[PackRecord], homes: &[u64], policy: &MovePolicy) -> Vec<Vec<u64>> {
        let homes = homes.iter().map(|alias| Alias(*alias)).collect();
        let groups = choose_moves((0..).map(Alias).zip(packs), &homes, policy);
        let plain = |group: Vec<Alias>| group.into_iter().map(|alias| alias.0).collect();
        groups.into_iter().map(plain).collect()
    }

    #[test]
    fn small_packs_are_merged_when_there_are_more_than_64() {
        let mut packs = vec![pack(PackKind::Index, 100_000, 0); 64];
        let policy = MovePolicy::default();
        assert_eq!(chosen(&packs, &[], &policy).len(), 0);
        packs.push(packs[0].clone());
        assert_eq!(
            chosen(&packs, &[], &policy),
            [(0..65).collect::<Vec<u64>>()]
        );
        assert_eq!(chosen(&packs, &[3], &policy).len(), 0);
    }

    #[test]
    fn groups_do_not_outgrow_a_pack() {
        let packs = vec![pack(PackKind::Data, 7 << 20, 0); 70];
        let groups = chosen(&packs, &[], &MovePolicy::default());
        assert_eq!(
            groups.iter().map(Vec::len).collect::<Vec<_>>(),
            [9, 9, 9, 9, 9, 9, 9, 7]
        );
    }

    #[test]
    fn sparse_packs_are_compacted_unless_they_can_be_punched() {
        let sparse = |kind| pack(kind, 64 << 20, 40 << 20);
        let packs = [sparse(PackKind::Data), sparse(PackKind::Index)];
        let mut policy = MovePolicy::default();
        assert_eq!(chosen(&packs, &[], &policy), [[0], [1]]);
        policy.punch = true;
        assert_eq!(chosen(&packs, &[], &policy), [[1]]);
    }

    #[test]
    fn what_is_not_watched_is_never_chosen_and_makes_nothing_else_chosen() {
        let sizes = [
            (9 << 20, 0),
            (64 << 20, 20 << 20),
            (64 << 20, 40 << 20),
            (100_000, 0),
        ];
        let each = |kind| sizes.map(|(size, dead)| pack(kind, size, dead));
        let mut packs = [each(PackKind::Data), each(PackKind::Index)].concat();
        packs.extend(vec![pack(PackKind::Index, 100_000, 0); 64]);
        packs.push(PackRecord {
            state: PackState::Moved,
            ..pack(PackKind::Index, 100_000, 0)
        });
        for punch in [false, true] {
            let policy = MovePolicy {
                punch,
                ..MovePolicy::default()
            };
            let all = || (0..).map(Alias).zip(&packs);
            let watched: Vec<_> = all().filter(|(_, pack)| policy.watches(pack)).collect();
            assert_eq!(watched.len(), if punch { 67 } else { 68 });
            let homes = BTreeSet::new();
            assert_eq!(
                choose_moves(watched, &homes, &policy),
                choose_moves(all(), &homes, &policy)
            );
        }
    }

    #[test]
    fn what_is_wholly_dead_or_gone_is_not_copied() {
        let mut moved = pack(PackKind::Data, 64 << 20, 40 << 20);
        moved.state = PackState::Moved;
        let packs = [pack(PackKind::Data, 1000, 900), moved];
        assert_eq!(chosen(&packs, &[], &MovePolicy::default()).len(), 0);
    }
}
