//! Marking items as dead, and giving up packs of which nothing lives (DESIGN 4.2, 4.4).

use std::collections::{BTreeMap, BTreeSet};

use super::{PackKind, PackRecord, PackState};
use crate::error::{FormatError, Result};
use crate::ids::Alias;
use crate::place::Place;

/// Smallest unit in which stores give space back.
const BLOCK: u64 = 4096;

/// Packs of which nothing lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Void from now on: the object may be deleted once a head that says so is behind a barrier.
    pub void: Vec<Alias>,
    /// Moved earlier, so that there is no object; the record leaves the pack tree.
    pub gone: Vec<Alias>,
}

/// Marks items as dead, in the pack that names them and, where that was moved, in the one that holds them. The records of both must be in
/// `packs`. The answer is the packs whose records changed.
///
/// # Errors
/// When a record is missing, or an item does not lie in its pack: then nothing may be freed.
pub fn kill<'a>(
    packs: &mut BTreeMap<Alias, PackRecord>,
    places: impl IntoIterator<Item = &'a Place>,
) -> Result<BTreeSet<Alias>> {
    let mut touched = BTreeSet::new();
    let mismatch = || FormatError::Mismatch("a pack record");
    for place in places {
        let record = packs.get_mut(&place.alias).ok_or_else(mismatch)?;
        let (alias, offset) = record.resolve(*place).ok_or_else(mismatch)?;
        record.kill(place);
        touched.insert(place.alias);
        if alias != place.alias {
            let there = Place {
                alias,
                offset,
                length: place.length,
            };
            let holder = packs.get_mut(&alias).ok_or_else(mismatch)?;
            holder.kill(&there);
            touched.insert(alias);
        }
    }
    Ok(touched)
}

/// Gives up those of the packs of which every item is dead. Homes of the pack tree stay. What leaves the tree is removed from `packs` and
/// from the sources of the packs that held its parts; parts that lie in what is given up go too. The records of holders and sources must be in
/// `packs`; their aliases are added to `touched`.
pub fn retire(
    packs: &mut BTreeMap<Alias, PackRecord>,
    touched: &mut BTreeSet<Alias>,
    homes: &BTreeSet<Alias>,
) -> Retired {
    let mut retired = Retired::default();
    let dead = touched.iter().copied();
    let dead = dead.filter(|alias| packs.get(alias).is_some_and(PackRecord::all_dead));
    for alias in dead.collect::<Vec<_>>() {
        match packs.get_mut(&alias) {
            Some(record) if record.state == PackState::Live && !homes.contains(&alias) => {
                record.state = PackState::Void;
                retired.void.push(alias);
                // What was moved here is dead too: no part may point at a pack that is gone.
                for source in std::mem::take(&mut record.sources) {
                    let Some(record) = packs.get_mut(&source) else {
                        continue;
                    };
                    record.parts.retain(|part| part.alias != alias);
                    if record.state == PackState::Moved && record.parts.is_empty() {
                        // Nothing says where any of it lies. A lost pack is given up whole, without its items being known one by one.
                        packs.remove(&source);
                        retired.gone.push(source);
                    }
                    touched.insert(source);
                }
            }
            Some(record) if record.state == PackState::Moved => {
                let holders: Vec<Alias> = record.part_aliases().collect();
                packs.remove(&alias);
                retired.gone.push(alias);
                for holder in holders {
                    if let Some(record) = packs.get_mut(&holder) {
                        record.sources.retain(|source| *source != alias);
                        touched.insert(holder);
                    }
                }
            }
            _ => {}
        }
    }
    retired
}

impl PackRecord {
    /// The dead ranges that a store may punch, rounded inwards to whole blocks: data packs only, and only while they are there.
    pub fn punchable(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let punched = self.kind == PackKind::Data && self.state == PackState::Live;
        let ranges = self.dead.iter().filter(move |_| punched);
        ranges.filter_map(|(start, end)| {
            let start = start.checked_next_multiple_of(BLOCK)?;
            let end = end & !(BLOCK.wrapping_sub(1));
            (start < end).then_some((start, end))
        })
    }
}
