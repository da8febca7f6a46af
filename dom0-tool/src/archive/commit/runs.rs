//! Counts, for every commit alike, what the change of sessions means for the items and nodes that they need (DESIGN 4.5).
//!
//! A volume's sessions are a line of trees. What a commit does to a line is read off its old and its new state, so that no command can
//! forget to count.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::ids::{SessionSeq, VolumeId};
use nacre_core::liveness::RunChanges;
use nacre_core::place::{Place, Root};
use nacre_core::session::Session;

use super::super::{Result, Sessions};
use super::fresh::Overlay;

/// How runs change when `changed` is done to `sessions`. `single`: items that this commit brings and that one chunk alone needs.
pub fn count(
    mut nodes: Overlay<'_>,
    sessions: &Sessions,
    changed: &BTreeMap<SessionSeq, Option<Session>>,
    single: impl Fn(&Place) -> bool,
) -> Result<RunChanges> {
    let mut runs = RunChanges::default();
    for volume in volumes(sessions, changed) {
        let (old, new) = lines(sessions, changed, volume);
        follow(&mut nodes, &mut runs, &old, &new, &single)?;
    }
    Ok(runs)
}

/// The volumes of the sessions that change, before or after.
fn volumes(
    sessions: &Sessions,
    changed: &BTreeMap<SessionSeq, Option<Session>>,
) -> BTreeSet<VolumeId> {
    let before = changed.keys().filter_map(|seq| sessions.get(*seq));
    let after = changed.values().flatten();
    let members = before.chain(after).flat_map(|session| &session.volumes);
    members.map(|member| member.volume).collect()
}

/// The trees of a volume's sessions before and after, oldest first.
fn lines(
    sessions: &Sessions,
    changed: &BTreeMap<SessionSeq, Option<Session>>,
    volume: VolumeId,
) -> (Vec<Root>, Vec<Root>) {
    let old: BTreeMap<SessionSeq, Root> = sessions
        .of_volume(volume)
        .map(|(seq, _, member)| (seq, member.root))
        .collect();
    let mut new = old.clone();
    for (seq, session) in changed {
        let member = session.as_ref().and_then(|session| session.volume(volume));
        match member {
            Some(member) => new.insert(*seq, member.root),
            None => new.remove(seq),
        };
    }
    (old.into_values().collect(), new.into_values().collect())
}

/// Follows a line from what it was to what it is. Sessions that stay at its ends cost nothing.
fn follow(
    source: &mut Overlay<'_>,
    runs: &mut RunChanges,
    old: &[Root],
    new: &[Root],
    single: &impl Fn(&Place) -> bool,
) -> Result<()> {
    let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let before = same
        .checked_sub(1)
        .and_then(|at| old.get(at))
        .copied()
        .unwrap_or_default();
    let (old, new) = (&old[same..], &new[same..]);
    let ends = old.iter().rev().zip(new.iter().rev());
    let same = ends.take_while(|(a, b)| a == b).count();
    let (old, rest) = old.split_at(old.len() - same);
    let new = &new[..new.len() - same];
    let next = rest.first().copied().unwrap_or_default();
    match (old, new) {
        ([], []) => {}
        (_, []) => runs.forget(source, &before, old, &next)?,
        ([], _) if rest.is_empty() => {
            for (one, other) in [before].iter().chain(new).zip(new) {
                runs.extend(source, one, other, single)?;
            }
        }
        ([one], [other]) if rest.is_empty() => {
            runs.replace(source, &before, one, other, single)?;
        }
        _ => match groups(old, new) {
            Some(groups) => {
                for group in groups {
                    let before = group.kept.unwrap_or(before);
                    let next = group.next.unwrap_or(next);
                    runs.forget(source, &before, group.forgotten, &next)?;
                }
            }
            None => runs.rewrite(source, &before, old, new, &next)?,
        },
    }
    Ok(())
}

/// Sessions that follow one another and go. Neighbours: `None` stands for what lies beyond the stretch that was looked at.
struct Group<'a> {
    kept: Option<Root>,
    forgotten: &'a [Root],
    next: Option<Root>,
}

/// What is left out of `old` to get `new`, if nothing else was done to it.
fn groups<'a>(old: &'a [Root], new: &[Root]) -> Option<Vec<Group<'a>>> {
    let mut groups = Vec::new();
    let mut rest = old;
    let mut kept = None;
    for root in new.iter().map(Some).chain([None]) {
        let at = match root {
            Some(root) => rest.iter().position(|one| one == root)?,
            None => rest.len(),
        };
        let (forgotten, behind) = rest.split_at(at);
        if !forgotten.is_empty() {
            groups.push(Group {
                kept,
                forgotten,
                next: root.copied(),
            });
        }
        kept = root.copied();
        rest = behind.get(1..).unwrap_or_default();
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nacre_core::ids::Alias;
    use nacre_core::place::Pointer;

    fn root(number: u64) -> Root {
        let place = Place {
            alias: Alias(number),
            offset: 0,
            length: 1,
        };
        let pointer = Pointer {
            place,
            raw_length: 1,
            digest: nacre_core::ids::Digest::default(),
        };
        Root::Node { level: 0, pointer }
    }

    #[test]
    fn what_is_left_out_of_a_line_is_found_with_its_neighbours() {
        let old: Vec<Root> = (0..6).map(root).collect();
        let groups = groups(&old, &[root(1), root(4)]).unwrap();
        let shape: Vec<_> = groups
            .iter()
            .map(|group| (group.kept, group.forgotten.to_vec(), group.next))
            .collect();
        assert_eq!(
            shape,
            [
                (None, vec![root(0)], Some(root(1))),
                (Some(root(1)), vec![root(2), root(3)], Some(root(4))),
                (Some(root(4)), vec![root(5)], None),
            ]
        );
        assert!(super::groups(&old, &[root(4), root(1)]).is_none());
        assert!(super::groups(&old, &[root(9)]).is_none());
    }
}
