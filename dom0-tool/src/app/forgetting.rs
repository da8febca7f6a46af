//! `delete --forget`: this machine forgets an archive: where it is, the newest state it saw of it, and what it kept for it. The archive itself is
//! not even reached: it may be gone, or another one may lie in its place.
//!
//! Order: local snapshots, for which the archive's folder is needed; then that folder; the targets' memory last. Whenever the power goes, the
//! same command goes on.

use std::collections::BTreeSet;

use nacre_core::ids::ArchiveId;

use super::opening::unanswered;
use super::reaching::{pin_name, place};
use super::status::record;
use super::storages::{self, Storage};
use super::world::World;
use crate::archive::{Error, Memory, Pin, Result};
use crate::cli::{Delete, Exit, Local};
use crate::joints::{KeyPrompt, StateDir, StateLock};
use crate::report::text;
use crate::unlock::KeyCache;

/// A target's memory is one short line.
const PIN_LIMIT: usize = 256;

/// Forgets the archive that this machine knows at the target.
pub fn run(world: &World<'_>, wanted: &Delete) -> Result<Exit> {
    let targets = Targets::find(world)?;
    let locks = lock(world, &targets.archives)?;
    let plan = Plan {
        snapshots: snapshots(world, &targets, &wanted.local)?,
        targets,
    };
    plan.tell(world)?;
    if world.common.dry_run {
        return Ok(Exit::Done);
    }
    if !wanted.force {
        let question = "Forget it on this machine?";
        if !world.prompt.confirm(question).map_err(unanswered)? {
            return Err(Error::refused("nothing was forgotten", ""));
        }
    }
    plan.carry_out(world)?;
    drop(locks);
    Ok(Exit::Done)
}

/// What this machine remembers, by way of targets.
struct Targets {
    /// The archive at the target; two while its identity is being changed, none if what is remembered cannot be read.
    archives: BTreeSet<ArchiveId>,
    /// Under which names targets are remembered at which it is.
    pins: BTreeSet<String>,
    /// What these were called last, and where its volumes were read from.
    places: Vec<String>,
    storages: BTreeSet<String>,
}

impl Targets {
    fn find(world: &World<'_>) -> Result<Self> {
        let (folder, own) = (world.targets()?, pin_name(world)?);
        let Some(pin) = folder.read(&own, PIN_LIMIT)? else {
            return Err(Error::refused(
                format!("this machine remembers no archive at {}", place(world)?),
                "Give --dest as it was when the archive was used; `nacre status` shows what is remembered.",
            ));
        };
        let pin = Pin::parse(&pin);
        let ids = pin
            .iter()
            .flat_map(|pin| [Some(pin.archive), pin.successor]);
        let archives: BTreeSet<ArchiveId> = ids.flatten().collect();
        let mut pins = BTreeSet::from([own]);
        for name in folder.list()? {
            let other = folder.read(&name, PIN_LIMIT)?;
            let other = other.and_then(|bytes| Pin::parse(&bytes));
            if other.is_some_and(|other| archives.contains(&other.archive)) {
                pins.insert(name);
            }
        }
        let (mut places, mut storages) = (Vec::new(), BTreeSet::new());
        for (name, record) in record::all(world)? {
            if pins.contains(&name) {
                let volumes = record.volumes.into_values();
                storages.extend(volumes.filter_map(|volume| Some(volume.local?.0)));
                places.push(record.target);
            }
        }
        if places.is_empty() {
            places.push(place(world)?);
        }
        Ok(Self {
            archives,
            pins,
            places,
            storages,
        })
    }
}

/// Nobody works with the archive while it is forgotten.
fn lock(world: &World<'_>, archives: &BTreeSet<ArchiveId>) -> Result<Vec<Box<dyn StateLock>>> {
    let lock = |id: &ArchiveId| Ok(world.memory_of(*id)?.lock("delete --forget")?);
    archives.iter().map(lock).collect()
}

/// A storage, and the volumes in it of which the archive has snapshots there.
type Kept = (Storage, Vec<String>);

/// The archive's snapshots, where the user says that there are some, and where its volumes were read from.
fn snapshots(world: &World<'_>, targets: &Targets, told: &Local) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for id in &targets.archives {
        let mut all = storages::open(world, *id, told)?;
        for place in &targets.storages {
            if all.iter().any(|storage| storage.place.as_str() == place) {
                continue;
            }
            let opened = match place.parse() {
                Ok(place) => storages::open(world, *id, &Local::Place(place)),
                Err(error) => Err(Error::State(error.to_string())),
            };
            match opened {
                Ok(opened) => all.extend(opened),
                Err(error) => world.monitor().warning(&format!(
                    "snapshots that are left in {place} stay there: {error}"
                )),
            }
        }
        for storage in all {
            let names = storage.pool.snapshots()?;
            kept.push((storage, names));
        }
    }
    Ok(kept)
}

/// What goes.
struct Plan {
    targets: Targets,
    snapshots: Vec<Kept>,
}

impl Plan {
    fn tell(&self, world: &World<'_>) -> Result<()> {
        let monitor = world.monitor();
        let places = self.targets.places.join(", ");
        if self.targets.archives.is_empty() {
            monitor.note(&format!("what is remembered of {places} cannot be read"));
        }
        for id in &self.targets.archives {
            // An anchor that cannot be read is none.
            let anchor = Memory::new(world.memory_of(*id)?).anchor();
            let newest = anchor.ok().flatten().map_or_else(String::new, |anchor| {
                format!(", of which this machine has seen epoch {}", anchor.epoch)
            });
            monitor.note(&format!("archive {id} at {places}{newest}"));
        }
        monitor.warning(
            "the archive itself stays as it is. If it is opened here again, this machine cannot tell any more whether it was set back to an older \
             state, and its next send compares everything",
        );
        if world.common.dry_run {
            monitor.note("would forget where it is, its newest state, and what was kept for it");
            for (storage, names) in &self.snapshots {
                for name in names {
                    let place = &storage.place;
                    monitor.note(&format!("would remove the snapshots of {name} in {place}"));
                }
            }
        }
        Ok(())
    }

    fn carry_out(self, world: &World<'_>) -> Result<()> {
        let monitor = world.monitor();
        for (storage, names) in &self.snapshots {
            for name in names {
                let count = storage.pool.remove_snapshots(name)?;
                let count = text::count(count, "snapshot", "snapshots");
                monitor.note(&format!("{count} of {name} in {} removed", storage.place));
            }
        }
        world.forget(&self.targets.archives)?;
        for id in &self.targets.archives {
            if let Some(Err(error)) = KeyCache::of_this_user().map(|cache| cache.forget(*id)) {
                monitor.warning(&error.to_string());
            }
        }
        let (statuses, targets) = (world.statuses()?, world.targets()?);
        for pin in &self.targets.pins {
            statuses.remove(pin)?;
            targets.remove(pin)?;
        }
        monitor.note(&format!(
            "{} forgotten: the next command there takes what it finds",
            self.targets.places.join(", ")
        ));
        Ok(())
    }
}
