//! What changed in a volume since it was last sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{Record, VolumeRecord, bytes};
use crate::app::world::World;
use crate::archive::{Result, parse_id};
use crate::joints::{Changes, StateDir, VolumeNames};
use crate::source::{Links, open_pool};
use crate::state::{self, Directory};

/// How many bytes a send would have to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outstanding {
    /// Nothing is known: no snapshot was kept, or nobody looked since.
    Unknown,
    /// So many when `monitor` last looked, or more since.
    Monitored(u64),
    /// So many now.
    Measured(u64),
    /// Everything: it was never sent.
    All,
}

/// For each volume of a target. With `measure` by a snapshot made for the purpose, else by what `monitor` has recorded.
pub fn of_target(
    world: &World<'_>,
    record: &Record,
    measure: bool,
) -> BTreeMap<String, Outstanding> {
    let mut found = BTreeMap::new();
    let state = match state_of(world, record) {
        Ok(Some(state)) => state,
        Ok(None) => return found,
        Err(error) => {
            world.monitor().warning(&error.to_string());
            return found;
        }
    };
    let links = Links::new(Arc::clone(&state));
    for (name, volume) in &record.volumes {
        let known = match (&volume.session, identity(volume)) {
            (None, _) => Outstanding::All,
            (_, Some((local, identity))) => links
                .since(local, &identity)
                .map_or(Outstanding::Unknown, Outstanding::Monitored),
            _ => Outstanding::Unknown,
        };
        found.insert(name.clone(), known);
    }
    if measure && let Err(error) = measured(record, &state, &mut found) {
        let text = format!("what is outstanding cannot be measured: {error}");
        world.monitor().warning(&text);
    }
    found
}

/// dom0's folder of the archive, if there is one.
fn state_of(world: &World<'_>, record: &Record) -> Result<Option<Arc<dyn StateDir>>> {
    let Some(id) = record.archive.as_deref().and_then(parse_id) else {
        return Ok(None);
    };
    let folder = state::folder(world.common.meta_dir.clone(), id);
    let opened = Directory::open(&folder)?;
    Ok(opened.map(|folder| Arc::new(folder) as Arc<dyn StateDir>))
}

fn identity(volume: &VolumeRecord) -> Option<(&str, Vec<u8>)> {
    let (_, local) = volume.local.as_ref()?;
    Some((local, bytes(volume.snapshot.as_ref()?)?))
}

/// Freezes the volumes, looks what changed, and lets go of the snapshots.
fn measured(
    record: &Record,
    state: &Arc<dyn StateDir>,
    found: &mut BTreeMap<String, Outstanding>,
) -> Result<()> {
    let Some(id) = record.archive.as_deref().and_then(parse_id) else {
        return Ok(());
    };
    let mut of_places: BTreeMap<&str, Vec<VolumeNames>> = BTreeMap::new();
    for (name, volume) in &record.volumes {
        if let (Some((place, local)), Some(_)) = (&volume.local, identity(volume)) {
            of_places.entry(place).or_default().push(VolumeNames {
                archive: name.clone(),
                local: local.clone(),
            });
        }
    }
    // A send or `monitor` would change the same snapshots.
    let _lock = state.lock("status")?;
    for (place, names) in of_places {
        let pool = open_pool(place, id, Arc::clone(state))?;
        for frozen in pool.freeze(&names)?.into_iter().flatten() {
            let known = record.volumes.get(frozen.name()).and_then(identity);
            let Some((_, identity)) = known else { continue };
            let bytes = match frozen.changes_since(&identity)? {
                Changes::Ranges(ranges) => ranges.iter().map(|range| range.end - range.start).sum(),
                Changes::Everything(_) => continue,
            };
            let name = frozen.name().to_owned();
            found.insert(name, Outstanding::Measured(bytes));
        }
    }
    Ok(())
}
