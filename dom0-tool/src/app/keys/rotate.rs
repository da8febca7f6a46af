//! `key rotate-master`: a new master key, for those who fear that an old key, or an old copy of the header, is in wrong hands.
//!
//! A slot wraps the master, so each one needs its secret again to wrap the new one. What is not at hand is asked for, and dropped only after
//! a yes that names it.

use std::path::PathBuf;

use nacre_core::header::{
    ChangeError, Credential, NewSecret, NewSlot, Slot, SlotKind, UnlockError,
};
use nacre_core::keys::Secret as KeySecret;
use zeroize::Zeroizing;

use super::super::opening::unanswered;
use super::super::world::{World, entropy};
use super::{note, open, put, refused, shown};
use crate::archive::{Archive, Error, Result};
use crate::joints::{KeyPrompt, Secret};
use crate::unlock::{Prompt, read_key_file};

/// How often a person may mistype a secret.
const TRIES: usize = 3;

/// A secret that may open some slot.
enum Offer {
    Passphrase(Secret),
    KeyFile(KeySecret),
    Recovery(KeySecret),
}

impl Offer {
    fn credential(&self) -> Credential<'_> {
        match self {
            Self::Passphrase(secret) => Credential::Passphrase(secret),
            Self::KeyFile(secret) => Credential::KeyFile(secret),
            Self::Recovery(secret) => Credential::Recovery(secret),
        }
    }

    /// For the same slot, at the same cost.
    fn again(&self, kind: SlotKind) -> Option<NewSecret<'_>> {
        match (self, kind) {
            (Self::Passphrase(secret), SlotKind::Passphrase(params)) => {
                Some(NewSecret::Passphrase(secret, params))
            }
            (Self::KeyFile(secret), SlotKind::KeyFile) => Some(NewSecret::KeyFile(secret)),
            (Self::Recovery(secret), SlotKind::RecoveryCode) => {
                Some(NewSecret::RecoveryCode(secret))
            }
            _ => None,
        }
    }
}

/// Replaces the master.
pub fn run(
    world: &World<'_>,
    key_files: &[PathBuf],
    passcmds: &[String],
    force: bool,
) -> Result<()> {
    let (mut archive, _lock) = open(world)?;
    let offers = given(world, key_files, passcmds)?;
    let slots = archive.header().slots();
    let mut kept: Vec<(&Slot, Offer)> = Vec::new();
    let mut dropped = Vec::new();
    let mut offers: Vec<Option<Offer>> = offers.into_iter().map(Some).collect();
    for (index, slot) in slots.iter().enumerate() {
        let offer = match matching(&archive, index, &mut offers)? {
            Some(offer) => Some(offer),
            None => asked(world, &archive, index, slot)?,
        };
        match offer {
            Some(offer) => kept.push((slot, offer)),
            None => dropped.push(shown(index, slot)),
        }
    }
    if kept.is_empty() {
        return Err(refused(ChangeError::NoSlotLeft));
    }
    if !dropped.is_empty() && !force && !world.common.dry_run {
        yes_to(world, &dropped)?;
    }
    for name in &dropped {
        let goes = format!("{name} is not at hand and goes");
        world.monitor().note(&goes);
    }
    let count = kept.len();
    if !world.common.dry_run {
        let new: Vec<NewSlot<'_>> = kept
            .iter()
            .filter_map(|(slot, offer)| {
                Some(NewSlot {
                    label: &slot.label,
                    created: slot.created,
                    secret: offer.again(slot.kind)?,
                })
            })
            .collect();
        let next = archive.header().rotate(&new, entropy()().as_mut());
        put(world, &mut archive, &next.map_err(refused)?)?;
    }
    note(
        world,
        &format!("replace the master key; keys that would open the archive: {count}"),
        &format!(
            "replaced the master key (it is number {} now); keys that open the archive: {count}",
            archive.header().description().key_generation.0
        ),
    );
    if !world.common.dry_run {
        world.monitor().warning(
            "what was stored before stays readable to whoever has an old key and a copy of the header from before; what is stored from now on does not",
        );
    }
    Ok(())
}

/// The secrets that the command line brings, and the one that was typed to open the archive.
fn given(world: &World<'_>, key_files: &[PathBuf], passcmds: &[String]) -> Result<Vec<Offer>> {
    let mut offers = Vec::new();
    for path in world.common.key_file.iter().chain(key_files) {
        let secret = read_key_file(path).map_err(|error| Error::State(error.to_string()))?;
        offers.push(Offer::KeyFile(secret));
    }
    for command in world.common.passcmd.iter().chain(passcmds) {
        let prompt = Prompt {
            passcmd: Some(command.clone()),
            unattended: true,
        };
        let secret = prompt.ask(crate::joints::Purpose::Unlock { place: "" });
        offers.push(code_or_passphrase(secret.map_err(unanswered)?));
    }
    if world.common.passcmd.is_none() {
        let typed = world.met().typed.take();
        offers.extend(typed.map(code_or_passphrase));
    }
    Ok(offers)
}

fn code_or_passphrase(secret: Secret) -> Offer {
    match KeySecret::from_recovery_code(&String::from_utf8_lossy(&secret)) {
        Ok(code) => Offer::Recovery(code),
        Err(_) => Offer::Passphrase(secret),
    }
}

/// The offer that opens a slot. Each opens one at most: it is taken.
fn matching(
    archive: &Archive,
    index: usize,
    offers: &mut [Option<Offer>],
) -> Result<Option<Offer>> {
    for place in offers.iter_mut() {
        if let Some(offer) = place
            && opens(archive, index, offer)?
        {
            return Ok(place.take());
        }
    }
    Ok(None)
}

fn opens(archive: &Archive, index: usize, offer: &Offer) -> Result<bool> {
    let header = archive.header().header();
    let opened = header.slot_opens(index, &offer.credential());
    opened.map_err(|error: UnlockError| Error::refused(error.to_string(), ""))
}

/// Asks a person, if there is one; nothing typed lets the key go.
fn asked(world: &World<'_>, archive: &Archive, index: usize, slot: &Slot) -> Result<Option<Offer>> {
    if !world.prompt.has_person() {
        return Ok(None);
    }
    let name = shown(index, slot);
    for _ in 0..TRIES {
        let offer = match slot.kind {
            SlotKind::Passphrase(_) => {
                let question = format!("Passphrase of {name}, empty to drop it:");
                let typed = world.prompt.passphrase_or_nothing(&question);
                typed.map_err(unanswered)?.map(Offer::Passphrase)
            }
            SlotKind::KeyFile => {
                let question = format!("Path of the file of {name}, empty to drop it:");
                let typed = world.prompt.line(&question).map_err(unanswered)?;
                match typed.map(|path| read_key_file(&PathBuf::from(path))) {
                    None => None,
                    Some(Ok(secret)) => Some(Offer::KeyFile(secret)),
                    Some(Err(error)) => {
                        world.prompt.notice(&format!("{error}."));
                        continue;
                    }
                }
            }
            SlotKind::RecoveryCode => {
                let question = format!("Code of {name}, empty to drop it:");
                let typed = world.prompt.line(&question).map_err(unanswered)?;
                let typed = typed.map(Zeroizing::new);
                match typed.map(|code| KeySecret::from_recovery_code(&code)) {
                    None => None,
                    Some(Ok(secret)) => Some(Offer::Recovery(secret)),
                    Some(Err(slip)) => {
                        world.prompt.notice(&format!("{slip}."));
                        continue;
                    }
                }
            }
        };
        match offer {
            None => return Ok(None),
            Some(offer) if opens(archive, index, &offer)? => return Ok(Some(offer)),
            Some(_) => world.prompt.notice("It does not open that key."),
        }
    }
    Ok(None)
}

/// Nothing is dropped without a yes.
fn yes_to(world: &World<'_>, dropped: &[String]) -> Result<()> {
    let names = dropped.join(", ");
    if !world.prompt.has_person() {
        return Err(Error::refused(
            format!(
                "the secrets of these keys are not at hand, and the new master cannot be given to them: {names}"
            ),
            "Give --keep-key-file or --keep-passcmd for those to keep, and --force to drop the others.",
        ));
    }
    let question = format!("Drop {names}? What is dropped no longer opens the archive.");
    if world.prompt.confirm(&question).map_err(unanswered)? {
        return Ok(());
    }
    Err(Error::refused("nothing was changed", ""))
}
