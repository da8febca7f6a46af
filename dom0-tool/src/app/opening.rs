//! Opening an archive for a command: the store, the pin, the key.

use nacre_core::head::Witness;
use nacre_core::header::{Candidates, Credential, HeaderError, UnlockError, Unlocked};
use nacre_core::ids::ArchiveId;
use nacre_core::keys::{RecoveryCodeError, Secret};
use nacre_core::object_name::ObjectName;
use zeroize::Zeroizing;

use super::hazards;
use super::reaching::{pin_name, place, reach, target, with_place};
use super::world::{World, entropy};
use crate::archive::{
    Archive, Error, Memory, MemoryOf, OpenOptions, Pin, Result, header_error, open,
};
use crate::cli::Remember;
use crate::joints::{KeyPrompt, Level, PromptError, Purpose, StateDir, StateLock};
use crate::state;
use crate::unlock::{KeyCache, read_key_file};

/// A target's memory is one short line.
const PIN_LIMIT: usize = 256;
/// How often a person may mistype the passphrase.
const TRIES: usize = 3;

/// No option accepts another archive in place of the known one: whoever wants that makes this machine forget what it knows. The
/// message says how; where the target's own memory is gone, where the rest is.
fn with_way_out(mut error: Error, world: &World<'_>) -> Error {
    if let Error::Foreign {
        remedy, archive, ..
    } = &mut error
        && let (Ok(targets), Ok(name)) = (world.targets(), pin_name(world))
    {
        let pinned = targets
            .read(&name, PIN_LIMIT)
            .is_ok_and(|pin| pin.is_some());
        let how = match archive {
            Some(id) if !pinned => {
                let folder = state::folder(world.common.meta_dir.clone(), *id);
                format!("removing the folder {}", folder.display())
            }
            _ => "`nacre delete --forget` with the same --dest".to_owned(),
        };
        *remedy = format!(
            "Check that the right disk or qube is there; if the change is yours, {how} makes this machine forget the old one."
        );
    }
    error
}

/// Opens the archive at the target.
pub fn open_archive(world: &World<'_>) -> Result<Archive> {
    let (mut archive, pin) = open_with(world, &|id| world.memory_of(id))?;
    write_pin(world, &archive, pin)?;
    hear_witnesses(world, &mut archive)?;
    if let Some(head) = archive.unreadable_heads()?.last() {
        world.monitor().warning(&format!(
            "{}: what is shown is the one before it",
            unreadable(*head)
        ));
    }
    Ok(archive)
}

fn unreadable(head: ObjectName) -> String {
    format!("the newest state of the archive cannot be read ({head})")
}

/// Opens the archive at the target with a memory that the caller chooses; the target's pin as it was comes second.
pub fn open_with(world: &World<'_>, memory: MemoryOf<'_>) -> Result<(Archive, Option<Pin>)> {
    let store = reach(world, false)?;
    let pin = read_pin(world)?;
    let archive = open(
        store,
        OpenOptions {
            pin,
            unlock: &mut |candidates| unlock(world, candidates),
            memory,
            allow_rollback: world.common.allow_rollback,
            entropy: entropy(),
        },
    )
    .map_err(|error| match target(world) {
        Ok(target) => with_place(with_way_out(error, world), target),
        Err(other) => other,
    })?;
    Ok((archive, pin))
}

/// What the head says of other archives is kept for the day when these are opened; what this machine remembers of them, the next head says.
fn hear_witnesses(world: &World<'_>, archive: &mut Archive) -> Result<()> {
    if archive.is_new_here() {
        world.monitor().note(
            "this machine has not seen this archive before: that its newest state is shown can only be told by other archives that remember it",
        );
    }
    world.remembers(archive.id())?;
    let forgotten = world.forgotten()?;
    // Anybody can write what an archive without encryption says.
    if archive.header().description().encrypted {
        let known = |witness: &&Witness| !forgotten.contains(&witness.archive);
        for witness in archive.witnesses().iter().filter(known) {
            let memory = world.memory_of(witness.archive)?;
            Memory::new(memory).note_witness(witness)?;
        }
    }
    let others = world.anchors_beside(archive.id());
    archive.set_others(others);
    archive.set_forgotten(forgotten);
    Ok(())
}

/// Keeps other writers on this machine away from the archive, then opens it: what is read must not be old when it is changed.
pub fn open_to_write(world: &World<'_>, purpose: &str) -> Result<(Archive, Box<dyn StateLock>)> {
    let mut archive = open_archive(world)?;
    let lock = archive.memory().dir().lock(purpose)?;
    if !archive.is_newest()? {
        // Another writer was done between our look and our lock.
        archive = open_archive(world)?;
    }
    let archive = writable(world, archive)?;
    hazards::tell(world, archive.store().as_ref());
    Ok((archive, lock))
}

/// What is there may rest on a commit that was cut off before it was durable, of this machine or another. A command that finds nothing left to do must
/// not tell success because of it, nor give away what the head before needs.
fn writable(world: &World<'_>, archive: Archive) -> Result<Archive> {
    if archive.head().forbids_writing() {
        return Err(Error::refused(
            "a newer nacre has written to this archive what this one would destroy",
            "Update nacre; reading still works.",
        ));
    }
    if !world.common.allow_rollback
        && let Some(head) = archive.unreadable_heads()?.last()
        && !archive.store().hazards().unsynced
    {
        return Err(Error::Stale {
            sentence: unreadable(*head),
            remedy: "If another machine wrote it, `nacre arch-check --repair` there puts it right; if nobody can, go on from the one before it with `--force-allow-rollback`."
                .to_owned(),
        });
    }
    if !world.common.dry_run {
        archive.confirm()?;
    }
    Ok(archive)
}

fn open_writable(world: &World<'_>) -> Result<Archive> {
    writable(world, open_archive(world)?)
}

fn read_pin(world: &World<'_>) -> Result<Option<Pin>> {
    let bytes = world.targets()?.read(&pin_name(world)?, PIN_LIMIT)?;
    Ok(bytes.and_then(|bytes| Pin::parse(&bytes)))
}

/// Which archive this machine knows to be at the target, without looking there.
pub fn known_archive(world: &World<'_>) -> Result<ArchiveId> {
    let pin = read_pin(world)?.ok_or_else(|| {
        Error::refused(
            "this machine has not seen the archive at the target yet",
            "Run `nacre list` with the same --dest once.",
        )
    })?;
    Ok(pin.archive)
}

/// Before the identity of the archive changes: the target may show either.
pub fn lend_pin(world: &World<'_>, archive: &Archive, successor: ArchiveId) -> Result<()> {
    let pin = Pin {
        archive: archive.id(),
        encrypted: archive.header().description().encrypted,
        successor: Some(successor),
    };
    Ok(world.targets()?.replace(&pin_name(world)?, &pin.encode())?)
}

/// Remembers which archive is at the target.
pub fn write_pin(world: &World<'_>, archive: &Archive, known: Option<Pin>) -> Result<()> {
    let pin = Pin {
        archive: archive.id(),
        encrypted: archive.header().description().encrypted,
        successor: None,
    };
    if known == Some(pin) {
        return Ok(());
    }
    Ok(world.targets()?.replace(&pin_name(world)?, &pin.encode())?)
}

/// How often a change is tried that other writers outrun.
const ATTEMPTS: usize = 8;

/// Tries a change again when another writer was first (DESIGN 4.4). Nothing of it was in the archive then, and each attempt begins with opening the
/// archive: it looks at what is there now. Packs that it had sent are found again by `arch-check --clean`.
pub fn retried<T>(world: &World<'_>, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(Error::Outrun) => world
                .monitor()
                .note("another writer has changed the archive meanwhile; trying again"),
            other => return other,
        }
    }
    attempt()
}

/// The same for one who opens the archive for the change alone. That something was not there any more because another writer has given it away is
/// a race lost, too.
pub fn changing<T>(
    world: &World<'_>,
    purpose: &str,
    mut change: impl FnMut(&mut Archive) -> Result<T>,
) -> Result<T> {
    retried(world, || {
        let (mut archive, _lock) = open_to_write(world, purpose)?;
        let done = change(&mut archive);
        archive.unless_outrun(done)
    })
}

/// The same for one who holds the lock and goes on with what was frozen: the archive is opened again before each further attempt.
pub fn retried_with<T>(
    world: &World<'_>,
    archive: &mut Archive,
    mut attempt: impl FnMut(&mut Archive) -> Result<T>,
) -> Result<T> {
    let mut first = true;
    retried(world, || {
        if !std::mem::take(&mut first) {
            *archive = open_writable(world)?;
        }
        let done = attempt(archive);
        archive.unless_outrun(done)
    })
}

/// Makes one commit, again if the connection breaks and the user wants that. What came of the first attempt is known: the archive has the
/// head that was to be put, or knows nothing of it.
pub fn committed(
    world: &World<'_>,
    archive: &mut Archive,
    mut commit: impl FnMut(&mut Archive) -> Result<()>,
) -> Result<()> {
    let mut tries = world.tries();
    loop {
        let (before, known) = (archive.head().epoch, archive.head_hash());
        let Err(error) = commit(archive) else {
            return Ok(());
        };
        tries.wait(error)?;
        let attempted = archive.attempted_since(known);
        reopen(world, archive)?;
        if let Some(attempted) = attempted
            && archive.has(attempted)?
        {
            return Ok(());
        }
        if archive.head().epoch != before {
            return Err(Error::Outrun);
        }
    }
}

/// Does what may be done twice, again if the connection breaks and the user wants that.
pub fn continued<T>(
    world: &World<'_>,
    archive: &mut Archive,
    mut act: impl FnMut(&mut Archive) -> Result<T>,
) -> Result<T> {
    let mut tries = world.tries();
    loop {
        let before = archive.head().epoch;
        let error = match act(archive) {
            Err(error) => error,
            done => return done,
        };
        if archive.head().epoch > before {
            tries.progressed();
        }
        tries.wait(error)?;
        reopen(world, archive)?;
    }
}

/// Opens the archive anew after a connection that broke, for the same command.
pub fn reopen(world: &World<'_>, archive: &mut Archive) -> Result<()> {
    let rule = archive.take_domain_rule();
    *archive = open_writable(world)?;
    archive.set_domain_rule(rule);
    Ok(())
}

/// Finds a key: none needed, the key file, the remembered key, or a passphrase.
fn unlock(world: &World<'_>, candidates: Candidates) -> Result<Unlocked> {
    let Some(header) = candidates.newest() else {
        return Err(header_error(HeaderError::Missing));
    };
    let id = header.description().archive;
    // It was open in this run before: the connection broke, or another writer was first.
    if let Some(master) = world.met().master.clone()
        && let Ok(unlocked) = candidates.clone().unlock(&Credential::Master(&master))
    {
        return Ok(unlocked);
    }
    let unlocked = unlock_first(world, candidates, id)?;
    world.met().master = Some(unlocked.master());
    Ok(unlocked)
}

fn unlock_first(world: &World<'_>, candidates: Candidates, id: ArchiveId) -> Result<Unlocked> {
    if !candidates.encrypted() {
        let published = candidates.unlock(&Credential::Published);
        return published.map_err(header_error);
    }
    if world.common.recovery {
        return by_recovery_code(world, &candidates);
    }
    if let Some(path) = &world.common.key_file {
        let secret = read_key_file(path).map_err(|error| Error::State(error.to_string()))?;
        let opened = candidates.unlock(&Credential::KeyFile(&secret));
        return opened.map_err(wrong_key);
    }
    let cache = KeyCache::of_this_user();
    if world.common.remember == Remember::Forget {
        forget(world, cache.as_ref(), id);
    } else if let Some(unlocked) = remembered(cache.as_ref(), &candidates, id) {
        return Ok(unlocked);
    }
    check_memory(&candidates)?;
    let unlocked = by_passphrase(world, &candidates)?;
    remember(world, cache.as_ref(), &unlocked);
    Ok(unlocked)
}

fn by_passphrase(world: &World<'_>, candidates: &Candidates) -> Result<Unlocked> {
    let place = place(world)?;
    let purpose = Purpose::Unlock { place: &place };
    let mut attempt = 1;
    loop {
        let typed = world.prompt.ask(purpose).map_err(unanswered)?;
        // Who has lost the passphrase types what he has: the recovery code opens wherever a passphrase does.
        let code = recovery_code(&typed);
        if let Some(Ok(secret)) = &code
            && let Ok(unlocked) = candidates.clone().unlock(&Credential::Recovery(secret))
        {
            world.met().typed = Some(typed);
            return Ok(unlocked);
        }
        let slip = code.and_then(Result::err).map(|slip| slip.to_string());
        match candidates.clone().unlock(&Credential::Passphrase(&typed)) {
            Ok(unlocked) => {
                world.met().typed = Some(typed);
                return Ok(unlocked);
            }
            Err(HeaderError::Unlock(UnlockError::WrongCredential(_)))
                if world.prompt.may_retry() && attempt < TRIES =>
            {
                attempt += 1;
                let slip = slip.map_or_else(String::new, |slip| {
                    format!(" (If it is the recovery code: {slip}.)")
                });
                world
                    .prompt
                    .notice(&format!("That is not the passphrase.{slip} Try again."));
            }
            Err(error) => return Err(wrong_key(error)),
        }
    }
}

/// With `--recovery`: nothing else is tried.
fn by_recovery_code(world: &World<'_>, candidates: &Candidates) -> Result<Unlocked> {
    let place = place(world)?;
    let mut attempt = 1;
    loop {
        let purpose = Purpose::Recovery { place: &place };
        let typed = world.prompt.ask(purpose).map_err(unanswered)?;
        let text = String::from_utf8_lossy(&typed);
        match Secret::from_recovery_code(&text) {
            Ok(secret) => {
                let opened = candidates.clone().unlock(&Credential::Recovery(&secret));
                world.met().typed = opened.is_ok().then(|| typed.clone());
                return opened.map_err(wrong_key);
            }
            Err(slip) if world.prompt.may_retry() && attempt < TRIES => {
                attempt += 1;
                world.prompt.notice(&format!("{slip}."));
            }
            Err(slip) => return Err(Error::refused(slip.to_string(), "")),
        }
    }
}

/// What was typed, as a recovery code: `None` if it is not even near one in length.
fn recovery_code(typed: &[u8]) -> Option<std::result::Result<Secret, RecoveryCodeError>> {
    let text = Zeroizing::new(String::from_utf8_lossy(typed).into_owned());
    let symbols = text.chars().filter(char::is_ascii_alphanumeric).count();
    (50..=62)
        .contains(&symbols)
        .then(|| Secret::from_recovery_code(&text))
}

/// A question that was not answered.
pub fn unanswered(error: PromptError) -> Error {
    Error::refused(error.to_string(), "")
}

fn wrong_key(error: HeaderError) -> Error {
    match error {
        HeaderError::Unlock(UnlockError::WrongCredential(kind)) => Error::refused(
            format!("the {kind} does not open this archive"),
            "Check that it belongs to this archive.",
        ),
        other => header_error(other),
    }
}

/// The KDF takes as much memory as the header says, within bounds; it must be there.
fn check_memory(candidates: &Candidates) -> Result<()> {
    let needed = candidates.passphrase_memory();
    let Some(free) = available_memory() else {
        return Ok(());
    };
    if needed > free {
        let (needed, free) = (needed >> 20, free >> 20);
        return Err(Error::refused(
            format!("unlocking takes {needed} MiB of memory, and {free} MiB are free"),
            "Close something, or open the archive with a key file or with --recovery.",
        ));
    }
    Ok(())
}

/// Bytes that can be used without swapping (proc(5), "MemAvailable").
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

fn remembered(
    cache: Option<&KeyCache>,
    candidates: &Candidates,
    id: ArchiveId,
) -> Option<Unlocked> {
    let bytes = cache?.load(id)?;
    let master: [u8; 32] = bytes.as_slice().try_into().ok()?;
    let master = Secret::new(Zeroizing::new(master));
    let opened = candidates.clone().unlock(&Credential::Master(&master));
    opened.ok()
}

/// Remembers the newest master in the place of the one before it, if that was remembered.
pub fn remember_new_master(world: &World<'_>, unlocked: &Unlocked) {
    let id = unlocked.description().archive;
    let cache = KeyCache::of_this_user();
    if cache.as_ref().is_some_and(|cache| cache.load(id).is_some()) {
        remember(world, cache.as_ref(), unlocked);
    }
}

/// Keeps the key for some minutes. That it cannot be kept is worth a word, not a failure.
fn remember(world: &World<'_>, cache: Option<&KeyCache>, unlocked: &Unlocked) {
    let (Remember::Minutes(minutes), Some(cache)) = (world.common.remember, cache) else {
        return;
    };
    let id = unlocked.description().archive;
    if let Err(error) = cache.store(id, unlocked.master().expose(), minutes) {
        let text = format!("the key is not remembered: {error}");
        world.monitor().message(Level::Detail, &text);
    }
}

fn forget(world: &World<'_>, cache: Option<&KeyCache>, id: ArchiveId) {
    if let Some(Err(error)) = cache.map(|cache| cache.forget(id)) {
        world.monitor().warning(&error.to_string());
    }
}
