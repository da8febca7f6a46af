//! `arch-deduplicate`.

use nacre_core::ids::VolumeId;

use super::opening::changing;
use super::room::tell_untried;
use super::selection::volume;
use super::world::World;
use crate::archive::{Archive, Result};
use crate::cli::{Deduplicate, Exit};
use crate::maintain::deduplicate;
use crate::report::text::{count, size};

/// Shares equal chunks within the dedup domains.
pub fn run(world: &World<'_>, wanted: &Deduplicate) -> Result<Exit> {
    let mut connections = 0;
    // What was shared before a connection broke is shared.
    world.tries().until(|| {
        connections += 1;
        let anew = connections > 1;
        changing(world, "arch-deduplicate", |archive| {
            once(world, archive, wanted, anew)
        })
    })
}

/// `anew`: a part may have been done before.
fn once(
    world: &World<'_>,
    archive: &mut Archive,
    wanted: &Deduplicate,
    anew: bool,
) -> Result<Exit> {
    let volumes: Vec<VolumeId> = if wanted.volumes.is_empty() {
        let all = archive.head().volumes.iter();
        all.map(|volume| volume.id).collect()
    } else {
        let named = wanted.volumes.iter();
        let named = named.map(|name| Ok(volume(archive, name.as_str())?.id));
        named.collect::<Result<_>>()?
    };
    let dry_run = world.common.dry_run;
    let shared = deduplicate(archive, &volumes, dry_run, world.clock(), world.stop())?;
    if shared.index_full {
        world
            .monitor()
            .note("there are more different chunks than the index takes: some are not shared");
    }
    if shared.lost > 0 {
        let chunks = count(shared.lost, "chunk is", "chunks are");
        world.monitor().warning(&format!(
            "{chunks} not shared: the store has lost the copy that would have stayed; `nacre arch-check` says more"
        ));
    }
    let (items, bytes) = (shared.items, size(shared.bytes));
    let text = match (items, dry_run) {
        (0, _) if anew => "nothing is stored twice any more".to_owned(),
        (0, _) => "nothing is stored twice".to_owned(),
        (_, true) => format!("would share {items} chunks, {bytes} as stored"),
        (_, false) => format!("shared {items} chunks, {bytes} as stored"),
    };
    let text = match (items, anew) {
        (1.., true) => format!("{text}, since the connection was made anew"),
        _ => text,
    };
    world.monitor().note(&text);
    if let Some(measured) = shared.freed.measured.filter(|_| items > 0) {
        let text = format!("the store has {} more free space", size(measured));
        world.monitor().note(&text);
    }
    tell_untried(world, &shared.freed);
    if shared.freed.append_only {
        let text = "the store is append-only: nothing is freed there";
        world.monitor().note(text);
    }
    Ok(Exit::Done)
}
