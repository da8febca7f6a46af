//! Several packs that claim one alias: a run that was cut short leaves packs under the aliases that the next run uses too. As long as the table of packs
//! can be read it says which one is meant. Where its record is lost, the index itself tells: what it expects at a place lies there in the right pack.

mod claim;
mod judge;

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::ids::{Alias, PackName};
use nacre_core::pack::{FoundPack, rebuild_packs};

use self::claim::{Claim, claims, leave_out_held, reject};
use self::judge::Judge;
use crate::archive::{Archive, Error, Nodes, Result};

/// Of several packs that claim one of the lost aliases, leaves the one that is meant: where the index needs none of them, none. An error where that cannot
/// be told; then nothing may be changed, for what is not chosen counts as left behind and may be removed.
pub fn settle(
    archive: &Archive,
    mut found: Vec<FoundPack>,
    is_lost: &dyn Fn(Alias) -> bool,
) -> Result<Vec<FoundPack>> {
    let mut claims = claims(&found, is_lost);
    let mut wrong: BTreeSet<(Alias, PackName)> = BTreeSet::new();
    for home in &archive.head().homes {
        if let Some(claims) = claims.get_mut(&home.alias) {
            claims.retain(|claim| {
                let right = claim.name == home.name;
                if !right {
                    wrong.insert((home.alias, claim.name));
                }
                right
            });
        }
    }
    claims.retain(|_, claims| claims.len() > 1);
    for (alias, claims) in &claims {
        wrong.extend(claims.iter().map(|claim| (*alias, claim.name)));
    }
    if claims.is_empty() {
        reject(&mut found, &wrong);
        return Ok(found);
    }
    leave_out_held(&found, is_lost, &wrong, &mut claims);
    let complete = sort_out(archive, &found, is_lost, &wrong, &mut claims)?;
    for (alias, claims) in claims {
        match decide(&claims, complete) {
            Decision::Right(name) => {
                wrong.remove(&(alias, name));
            }
            Decision::None => {}
            Decision::Unsure => return Err(unsure(alias, &claims)),
        }
    }
    reject(&mut found, &wrong);
    Ok(found)
}

/// Takes out the claims that the index contradicts, until it contradicts no other. Returns whether all of the index could be read then.
fn sort_out(
    archive: &Archive,
    found: &[FoundPack],
    is_lost: &dyn Fn(Alias) -> bool,
    disputed: &BTreeSet<(Alias, PackName)>,
    claims: &mut BTreeMap<Alias, Vec<Claim>>,
) -> Result<bool> {
    let nodes = archive.nodes();
    loop {
        let tried = try_first(claims);
        let wrong = disputed.difference(&tried).copied().collect();
        let shown = show(&nodes, found, is_lost, &wrong);
        let mut judge = Judge::new(&nodes, found, std::mem::take(claims), &shown);
        let complete = judge.walk(archive)?;
        *claims = judge.into_claims();
        for alias in shown.iter().chain(claims.keys()) {
            nodes.packs().loaded(*alias, None);
        }
        let before: usize = claims.values().map(Vec::len).sum();
        for claims in claims.values_mut() {
            claims.retain(|claim| claim.misses == 0);
        }
        let after: usize = claims.values().map(Vec::len).sum();
        if complete || before == after {
            return Ok(complete);
        }
    }
}

/// Begins anew with what is left, and with those from which the index is read first: what was moved can be found through them only.
fn try_first(claims: &mut BTreeMap<Alias, Vec<Claim>>) -> BTreeSet<(Alias, PackName)> {
    let mut tried = BTreeSet::new();
    for (alias, claims) in claims {
        claims.sort_by_key(|claim| std::cmp::Reverse(claim.copies.len()));
        for claim in claims.iter_mut() {
            (claim.hits, claim.tried) = (0, false);
        }
        if let Some(first) = claims.first_mut().filter(|claim| !claim.copies.is_empty()) {
            first.tried = true;
            tried.insert((*alias, first.name));
        }
    }
    tried
}

/// Lets the lost aliases mean the packs that are not wrong. The answer is which have a record now.
fn show(
    nodes: &Nodes,
    found: &[FoundPack],
    is_lost: &dyn Fn(Alias) -> bool,
    wrong: &BTreeSet<(Alias, PackName)>,
) -> BTreeSet<Alias> {
    let mut sure = found.to_vec();
    reject(&mut sure, wrong);
    let mut shown = BTreeSet::new();
    for (alias, record) in rebuild_packs(&sure) {
        if is_lost(alias) {
            nodes.packs().loaded(alias, Some(record));
            shown.insert(alias);
        }
    }
    shown
}

enum Decision {
    Right(PackName),
    None,
    Unsure,
}

/// Of claims that nothing contradicts. `complete`: whether everything was seen that the index needs.
fn decide(claims: &[Claim], complete: bool) -> Decision {
    match claims {
        [] => return Decision::None,
        [one] => return Decision::Right(one.name),
        _ if !complete => return Decision::Unsure,
        _ => {}
    }
    let is_needed = |claim: &Claim| claim.hits > 0 || !claim.copies.is_empty();
    if !claims.iter().any(is_needed) {
        return Decision::None;
    }
    // All of them hold the same as far as anything needs it. What was copied is needed under other aliases: one must hold all that the others have.
    let holds_all = |claim: &&Claim| {
        let mut others = claims.iter();
        others.all(|other| other.copies.is_subset(&claim.copies))
    };
    let best = claims.iter().find(holds_all);
    best.map_or(Decision::Unsure, |claim| Decision::Right(claim.name))
}

fn unsure(alias: Alias, claims: &[Claim]) -> Error {
    let names: Vec<String> = claims
        .iter()
        .map(|claim| nacre_core::object_name::ObjectName::Pack(claim.name).to_string())
        .collect();
    Error::refused(
        format!(
            "the record of pack {alias} is lost, and nothing tells which of {} it is: at most one of them is no leftover of an interrupted run. Nothing was \
             changed",
            names.join(" and ")
        ),
        "Copy the archive. In the copy take away all of these but one, and repair it. The right one is that with which the least is marked as lost.",
    )
}
