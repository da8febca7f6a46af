//! From changes of runs to dead items and new counters.

use std::collections::BTreeMap;

use super::RunChanges;
use crate::counters::Counters;
use crate::error::FormatError;
use crate::ids::Alias;
use crate::place::Place;
use crate::tree::{NodeSource, RecordTree};

/// What a commit must record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Items that no session needs any more, by pack and offset; also new ones whose only session went at once.
    pub dead: Vec<Place>,
    /// Nodes of chunk trees that no session needs any more.
    pub dead_nodes: Vec<Place>,
    /// The counter records that changed, by alias in rising order; `None`: no longer any. Ready for [`RecordTree::stage`].
    pub counters: Vec<(u64, Option<Vec<u8>>)>,
}

impl RunChanges {
    /// Adds the changes to the stored counters. `new` says which items no committed session has ever needed; every other has one run
    /// if no counter says more. Packs without change are not looked at.
    ///
    /// # Errors
    /// When runs end that were never counted: the counters are damaged and must be counted anew before anything is freed.
    pub fn settle<S: NodeSource>(
        self,
        source: &mut S,
        counters: &RecordTree,
        new: impl Fn(&Place) -> bool,
    ) -> Result<Settled, S::Error> {
        let mut settled = Settled {
            dead_nodes: self.dead_nodes,
            ..Settled::default()
        };
        let aliases: Vec<u64> = self.changes.keys().map(|alias| alias.0).collect();
        let records = counters.get_many(source, &aliases)?;
        for ((alias, changes), record) in self.changes.into_iter().zip(records) {
            let stored = match record {
                Some(bytes) => Counters::parse(&bytes)?,
                None => Counters::default(),
            };
            let counted = settle_pack(alias, &changes, &stored, &new, &mut settled.dead)?;
            if counted != stored {
                let record = (!counted.is_empty()).then(|| counted.encode());
                settled.counters.push((alias.0, record));
            }
        }
        Ok(settled)
    }
}

fn settle_pack(
    alias: Alias,
    changes: &BTreeMap<u64, (u32, i64)>,
    stored: &Counters,
    new: impl Fn(&Place) -> bool,
    dead: &mut Vec<Place>,
) -> Result<Counters, FormatError> {
    let mut counted = stored.clone();
    for (&offset, &(length, change)) in changes {
        let place = Place {
            alias,
            offset,
            length,
        };
        let before = stored
            .get(offset)
            .unwrap_or_else(|| u64::from(!new(&place)));
        let after = before
            .checked_add_signed(change)
            .ok_or(FormatError::Mismatch("a run counter record"))?;
        counted.set(offset, after);
        if after == 0 {
            dead.push(place);
        }
    }
    Ok(counted)
}
