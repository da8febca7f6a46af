//! `key list`.

use nacre_core::header::SlotKind;

use super::super::listing::{Cell, Rows};
use super::super::opening::open_archive;
use super::super::world::World;
use super::kind_name;
use crate::archive::Result;
use crate::cli::Exit;
use crate::entry;
use crate::joints::Moment;
use crate::report::Align;

/// Shows the keys. None of them is tried but the one that opened the archive.
pub fn run(world: &World<'_>) -> Result<Exit> {
    let archive = open_archive(world)?;
    let mut rows = Rows::new(
        &[
            ("KEY", Align::Right),
            ("KIND", Align::Left),
            ("NAME", Align::Left),
            ("CREATED", Align::Left),
            ("MEMORY", Align::Right),
        ],
        "The archive was made with --encrypt=off and has no keys.".to_owned(),
    );
    for (number, slot) in (1_u64..).zip(archive.header().slots()) {
        let memory = match slot.kind {
            SlotKind::Passphrase(params) => params.memory_needed(),
            SlotKind::KeyFile | SlotKind::RecoveryCode => 0,
        };
        rows.lines.push(vec![
            Cell::Number(number),
            Cell::Text(kind_name(slot.kind).to_owned()),
            Cell::Text(slot.label.clone()),
            Cell::Text(day(world, slot.created)),
            Cell::Bytes(memory),
        ]);
    }
    let old = archive.old_headers();
    if old > 0 {
        world.monitor().warning(&format!(
            "{old} older headers are still in the store: keys that were removed since open them, but not the archive as it is"
        ));
    }
    Ok(if world.common.json {
        entry::show(&rows.json())
    } else {
        entry::show(&rows.text())
    })
}

/// The day, in local time.
pub fn day(world: &World<'_>, seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    let name = world.clock().civil(Moment { seconds, nanos: 0 }).name;
    match (name.get(..4), name.get(4..6), name.get(6..8)) {
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => name,
    }
}
