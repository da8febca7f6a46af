//! `key`: what opens the archive.

mod identity;
mod list;
mod recovery;
mod rotate;
mod sheet;
mod slots;

use nacre_core::header::{ChangeError, Slot, SlotKind, Unlocked};
use nacre_core::ids::HeaderHash;

use super::opening::{open_to_write, remember_new_master, retried_with};
use super::world::World;
use crate::archive::{Archive, Error, OldHeaders, Result};
use crate::cli::{Exit, Key};
use crate::joints::StateLock;

/// Carries out an action on keys.
pub fn run(world: &World<'_>, wanted: &Key) -> Result<Exit> {
    match wanted {
        Key::List => return list::run(world),
        Key::Add {
            label,
            key_file,
            passcmd,
        } => slots::add(world, label.as_ref(), key_file.as_deref(), passcmd.as_ref())?,
        Key::Remove { key, force } => slots::remove(world, key, *force)?,
        Key::Passphrase { key, passcmd } => {
            slots::passphrase(world, key.as_ref(), passcmd.as_ref())?;
        }
        Key::Recovery { label, untested } => recovery::run(world, label.as_ref(), *untested)?,
        Key::RotateMaster {
            key_files,
            passcmds,
            force,
        } => rotate::run(world, key_files, passcmds, *force)?,
        Key::ChangeUuid => identity::run(world)?,
    }
    Ok(Exit::Done)
}

/// An archive whose keys are to be changed.
fn open(world: &World<'_>) -> Result<(Archive, Box<dyn StateLock>)> {
    let (archive, lock) = open_to_write(world, "key")?;
    if archive.header().description().encrypted {
        Ok((archive, lock))
    } else {
        Err(refused(ChangeError::NotEncrypted))
    }
}

/// Puts the new header in force and says what became of the one before. Another writer who was first does not matter unless he changed the keys
/// too: then somebody has to look.
fn put(world: &World<'_>, archive: &mut Archive, next: &Unlocked) -> Result<()> {
    let before = archive.header().hash();
    let change = retried_with(world, archive, |archive| {
        follows(next, archive, before)?;
        archive.replace_header(next.clone(), world.clock())
    })?;
    remember_new_master(world, archive.header());
    if change.old == OldHeaders::Kept {
        world.monitor().warning(
            "this store removes nothing: the headers from before stay there, and whoever reads it can open them with the keys they had",
        );
    }
    Ok(())
}

/// Whether a header can still follow the one that it was made from.
fn follows(next: &Unlocked, archive: &Archive, before: HeaderHash) -> Result<()> {
    if archive.header().hash() != before {
        return Err(Error::refused(
            "somebody else has changed the keys of this archive meanwhile, and nothing was changed here",
            "Look at `nacre key list`, then run the same command again.",
        ));
    }
    if archive.header().taken() >= next.description().generation {
        return Err(Error::refused(
            "another change of keys is under way, or was cut short this very moment, and nothing was changed here",
            "Run the same command again.",
        ));
    }
    Ok(())
}

/// What everybody must know who takes a key away.
fn warn_of_copies(world: &World<'_>) {
    if world.common.dry_run {
        return;
    }
    world.monitor().warning(
        "the old key still opens copies of the archive's header that somebody made before, and with such a copy the archive; \
         `nacre key rotate-master` keeps it from what is stored from now on",
    );
}

/// Says what was done, or would be.
fn note(world: &World<'_>, would: &str, done: &str) {
    if world.common.dry_run {
        world.monitor().note(&format!("would {would}"));
    } else {
        world.monitor().note(done);
    }
}

/// A change of keys that cannot be.
fn refused(error: ChangeError) -> Error {
    Error::refused(error.to_string(), "")
}

/// Seconds since 1970, as a slot tells when it was made.
fn now(world: &World<'_>) -> u64 {
    u64::try_from(world.clock().now().seconds).unwrap_or(0)
}

fn kind_name(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Passphrase(_) => "passphrase",
        SlotKind::KeyFile => "key file",
        SlotKind::RecoveryCode => "recovery code",
    }
}

/// `key 2 (recovery code "sheet of May")`.
fn shown(index: usize, slot: &Slot) -> String {
    let number = index + 1;
    format!("key {number} ({} {:?})", kind_name(slot.kind), slot.label)
}

/// A slot by its number, or by its name if no other has the same.
fn find(slots: &[Slot], wanted: &str) -> Result<usize> {
    if let Ok(number) = wanted.parse::<usize>()
        && (1..=slots.len()).contains(&number)
    {
        return Ok(number - 1);
    }
    let mut named = slots.iter().enumerate().filter(|(_, s)| s.label == wanted);
    match (named.next(), named.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => Err(Error::refused(
            format!("more than one key is named {wanted:?}"),
            "Give its number; `nacre key list` shows it.",
        )),
        (None, _) => Err(Error::refused(
            format!("the archive has no key {wanted:?}"),
            "`nacre key list` shows those it has.",
        )),
    }
}
