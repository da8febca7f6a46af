//! `status`: how old the backups are, what is outstanding, and what failed; from this machine's own memory, without reaching any target.
//!
//! [`collect`] makes a [`Status`] of what is remembered; `text`, `json` and `prometheus` show that value and look at nothing else. Further kinds
//! of things that are backed up become further parts of the value.

mod collect;
mod json;
mod outstanding;
mod prometheus;
mod qubes;
pub mod record;
mod text;

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub use collect::{Status, TargetStatus, VolumeStatus, collect};
pub use outstanding::Outstanding;
pub use qubes::QubeStatus;

use super::world::World;
use crate::archive::{Error, Result};
use crate::cli::{Exit, Status as Wanted};
use crate::entry;

/// Shows it. `others` are the further targets that are meant.
pub fn run(worlds: &[&World<'_>], wanted: &Wanted) -> Result<Exit> {
    let Some(world) = worlds.first() else {
        return Err(Error::internal());
    };
    let status = collect(worlds, wanted)?;
    if let Some(path) = &wanted.prometheus {
        write_whole(path, &prometheus::text(&status))?;
        // For a timer, which wants to hear of nothing but errors.
        if !world.common.json {
            return Ok(Exit::Done);
        }
    }
    Ok(if world.common.json {
        entry::show(&json::lines(&status))
    } else {
        entry::show(&text::text(world, &status))
    })
}

/// Whoever reads the file at any instant reads all of the old or all of the new one.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let failed = |error: &std::io::Error| {
        Error::refused(
            format!("{} cannot be written: {error}", path.display()),
            "Give --prometheus a file in a folder that you may write to.",
        )
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Not of a form that the collector reads.
    name.push(format!(".new-{}", std::process::id()));
    let unfinished = path.with_file_name(name);
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        // The collector is another user.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    });
    written.map_err(|error| {
        drop(fs::remove_file(&unfinished));
        failed(&error)
    })
}
