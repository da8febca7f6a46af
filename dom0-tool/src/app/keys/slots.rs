//! `key add`, `key remove`, `key passphrase`.

use std::path::Path;

use nacre_core::header::{ChangeError, NewSecret, NewSlot, SlotKind};

use super::super::initiate::about_a_second;
use super::super::opening::unanswered;
use super::super::reaching::place;
use super::super::world::{World, entropy};
use super::{find, note, now, open, put, refused, shown, warn_of_copies};
use crate::archive::{Error, Result};
use crate::cli::KeyName;
use crate::joints::{KeyPrompt, Purpose, Secret};
use crate::unlock::{KeyFileError, Prompt, create_key_file, read_key_file};

/// One key more.
pub fn add(
    world: &World<'_>,
    label: Option<&KeyName>,
    key_file: Option<&Path>,
    passcmd: Option<&String>,
) -> Result<()> {
    let (mut archive, _lock) = open(world)?;
    let kind = if key_file.is_some() {
        "key file"
    } else {
        "passphrase"
    };
    let label = label.map_or(kind, KeyName::as_str);
    let number = archive.header().slots().len() + 1;
    let said = format!("key {number} ({kind} {label:?})");
    if !world.common.dry_run {
        let created = now(world);
        let slot = |secret| NewSlot {
            label,
            created,
            secret,
        };
        let mut entropy = entropy()();
        let header = archive.header();
        // Refused before a key file is made or a passphrase asked for.
        if header.slots().len() >= nacre_core::header::MAX_SLOTS {
            return Err(refused(ChangeError::TooManySlots));
        }
        let next = if let Some(path) = key_file {
            let secret = match read_key_file(path) {
                Err(KeyFileError::Missing(_)) => create_key_file(path, entropy.as_mut()),
                read => read,
            };
            let secret = secret.map_err(|error| Error::State(error.to_string()))?;
            header.with_slot(&slot(NewSecret::KeyFile(&secret)), entropy.as_mut())
        } else {
            let secret = new_passphrase(world, passcmd)?;
            let params = about_a_second();
            let secret = NewSecret::Passphrase(&secret, params);
            header.with_slot(&slot(secret), entropy.as_mut())
        };
        put(world, &mut archive, &next.map_err(refused)?)?;
    }
    note(world, &format!("add {said}"), &format!("added {said}"));
    Ok(())
}

/// One key less. Never the last.
pub fn remove(world: &World<'_>, key: &KeyName, force: bool) -> Result<()> {
    let (mut archive, _lock) = open(world)?;
    let header = archive.header();
    let index = find(header.slots(), key.as_str())?;
    let next = header.without_slot(index, entropy()().as_mut());
    let next = next.map_err(refused)?;
    let slots = header.slots().iter().enumerate();
    let said = slots
        .filter(|(at, _)| *at == index)
        .map(|(at, slot)| shown(at, slot))
        .collect::<String>();
    if !world.common.dry_run {
        let question = format!("Remove {said}? It will no longer open the archive.");
        if !force && !world.prompt.confirm(&question).map_err(unanswered)? {
            return Err(Error::refused("nothing was removed", ""));
        }
        put(world, &mut archive, &next)?;
    }
    note(world, &format!("remove {said}"), &format!("removed {said}"));
    warn_of_copies(world);
    Ok(())
}

/// Another passphrase.
pub fn passphrase(
    world: &World<'_>,
    key: Option<&KeyName>,
    passcmd: Option<&String>,
) -> Result<()> {
    let (mut archive, _lock) = open(world)?;
    let header = archive.header();
    let slots = header.slots();
    let index = match key {
        Some(key) => find(slots, key.as_str())?,
        None => the_only_passphrase(slots.iter().map(|slot| slot.kind))?,
    };
    let slot = slots.get(index).ok_or_else(Error::internal)?;
    let said = shown(index, slot);
    if !matches!(slot.kind, SlotKind::Passphrase(_)) {
        return Err(Error::refused(
            format!("{said} is no passphrase"),
            "Add a new key and remove this one.",
        ));
    }
    if !world.common.dry_run {
        let secret = new_passphrase(world, passcmd)?;
        let new = NewSlot {
            label: &slot.label,
            created: now(world),
            secret: NewSecret::Passphrase(&secret, about_a_second()),
        };
        let next = header.with_changed_slot(index, &new, entropy()().as_mut());
        put(world, &mut archive, &next.map_err(refused)?)?;
    }
    note(
        world,
        &format!("change the passphrase of {said}"),
        &format!("changed the passphrase of {said}"),
    );
    warn_of_copies(world);
    Ok(())
}

fn the_only_passphrase(kinds: impl Iterator<Item = SlotKind>) -> Result<usize> {
    let is_passphrase = |(_, kind): &(usize, SlotKind)| matches!(kind, SlotKind::Passphrase(_));
    let mut found = kinds.enumerate().filter(is_passphrase);
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (None, _) => Err(Error::refused(
            "the archive has no passphrase",
            "Add one with `nacre key add`.",
        )),
        (Some(_), Some(_)) => Err(Error::refused(
            "the archive has more than one passphrase",
            "Say which: `nacre key passphrase KEY`; `nacre key list` shows them.",
        )),
    }
}

/// Never from `--passcmd` or standard input: those gave the key that opened the archive.
fn new_passphrase(world: &World<'_>, passcmd: Option<&String>) -> Result<Secret> {
    let prompt = Prompt {
        passcmd: passcmd.cloned(),
        unattended: world.common.unattended,
    };
    if passcmd.is_none() && !prompt.has_person() {
        return Err(Error::refused(
            "there is nobody to ask for the new passphrase",
            "Give --new-passcmd.",
        ));
    }
    let place = place(world)?;
    let asked = prompt.ask(Purpose::Create { place: &place });
    asked.map_err(unanswered)
}
