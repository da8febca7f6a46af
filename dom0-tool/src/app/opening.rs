//! Opening an archive for a command: the store, the pin, the key.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use nacre_core::header::{Candidates, Credential, HeaderError, UnlockError, Unlocked};
use nacre_core::ids::{ArchiveId, HeaderHash};
use nacre_core::keys::Secret;
use zeroize::Zeroizing;

use super::world::{World, entropy};
use crate::archive::{Archive, Error, OpenOptions, Pin, Result, header_error, open};
use crate::cli::Remember;
use crate::joints::{
    KeyPrompt, Level, PromptError, Purpose, StateDir, StateLock, Store, StoreErrorKind,
};
use crate::state;
use crate::store;
use crate::unlock::{KeyCache, read_key_file};

/// A target's memory is one short line.
const PIN_LIMIT: usize = 256;
/// How often a person may mistype the passphrase.
const TRIES: usize = 3;

/// The folder of the archive.
pub fn target<'a>(world: &World<'a>) -> Result<&'a Path> {
    world.common.file_target().ok_or_else(|| {
        Error::refused(
            "this kind of target comes with release 0.4",
            "Use `--dest=file:/path` until then.",
        )
    })
}

/// Reaches the store. With `create` the archive's folder is made if it is not there.
pub fn reach(world: &World<'_>, create: bool) -> Result<Arc<dyn Store>> {
    let folder = target(world)?;
    let opened = store::open_local(None, folder, create);
    let opened = opened.map_err(|error| with_place(error.into(), folder))?;
    Ok(Arc::from(opened))
}

/// An error that says that there is no archive, with the place where there is none.
fn with_place(mut error: Error, folder: &Path) -> Error {
    if let Error::Store(store) = &mut error
        && store.kind == StoreErrorKind::NoArchive
    {
        store.detail = format!("{}: {}", folder.display(), store.detail);
    }
    error
}

/// No option accepts another archive in place of the known one: whoever wants that makes this machine forget what it knows. The
/// message says where that is.
fn with_way_out(mut error: Error, world: &World<'_>) -> Error {
    if let Error::Foreign {
        remedy, archive, ..
    } = &mut error
        && let (Ok(targets), Ok(name)) = (world.targets(), pin_name(world))
    {
        let pin = targets.path().join(name);
        let folder = archive.map(|id| state::folder(world.common.meta_dir.clone(), id));
        let folder = folder.map_or_else(String::new, |folder| {
            format!(" and the folder {}", folder.display())
        });
        *remedy = format!(
            "Check that the right disk or qube is there; if the change is yours, remove {}{folder} \
             to make this machine forget the old one.",
            pin.display()
        );
    }
    error
}

/// Opens the archive at the target.
pub fn open_archive(world: &World<'_>) -> Result<Archive> {
    let store = reach(world, false)?;
    let pin = read_pin(world)?;
    let archive = open(
        store,
        OpenOptions {
            pin,
            unlock: &mut |candidates| unlock(world, candidates),
            memory: &|id| world.memory_of(id),
            allow_rollback: world.common.allow_rollback,
            entropy: entropy(),
        },
    )
    .map_err(|error| match target(world) {
        Ok(folder) => with_place(with_way_out(error, world), folder),
        Err(other) => other,
    })?;
    write_pin(world, &archive, pin)?;
    Ok(archive)
}

/// Keeps other writers on this machine away from the archive, then opens it: what is read must not be old when it is changed.
pub fn open_to_write(world: &World<'_>, purpose: &str) -> Result<(Archive, Box<dyn StateLock>)> {
    let archive = open_archive(world)?;
    let lock = archive.memory().dir().lock(purpose)?;
    if archive.is_newest()? {
        return Ok((archive, lock));
    }
    // Another writer was done between our look and our lock.
    Ok((open_archive(world)?, lock))
}

/// Under what name this machine remembers a target.
fn pin_name(world: &World<'_>) -> Result<String> {
    let path = std::path::absolute(target(world)?)
        .map_err(|error| Error::State(format!("the target's path cannot be used: {error}")))?;
    // Any hash would do: it makes a path of any length a file name.
    let hash = HeaderHash::of(path.as_os_str().as_bytes()).to_string();
    Ok(hash.chars().take(32).collect())
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

/// Remembers which archive is at the target.
pub fn write_pin(world: &World<'_>, archive: &Archive, known: Option<Pin>) -> Result<()> {
    let pin = Pin {
        archive: archive.id(),
        encrypted: archive.header().description().encrypted,
    };
    if known == Some(pin) {
        return Ok(());
    }
    Ok(world.targets()?.replace(&pin_name(world)?, &pin.encode())?)
}

/// Finds a key: none needed, the key file, the remembered key, or a passphrase.
fn unlock(world: &World<'_>, candidates: Candidates) -> Result<Unlocked> {
    let Some(header) = candidates.newest() else {
        return Err(header_error(HeaderError::Missing));
    };
    let id = header.description().archive;
    if !candidates.encrypted() {
        let published = candidates.unlock(&Credential::Published);
        return published.map_err(header_error);
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
    let place = format!("file:{}", target(world)?.display());
    let purpose = Purpose::Unlock { place: &place };
    let mut attempt = 1;
    loop {
        let passphrase = world.prompt.ask(purpose).map_err(unanswered)?;
        let credential = Credential::Passphrase(&passphrase);
        match candidates.clone().unlock(&credential) {
            Ok(unlocked) => return Ok(unlocked),
            Err(HeaderError::Unlock(UnlockError::WrongCredential(_)))
                if world.prompt.may_retry() && attempt < TRIES =>
            {
                attempt += 1;
                world
                    .prompt
                    .notice("That is not the passphrase. Try again.");
            }
            Err(error) => return Err(wrong_key(error)),
        }
    }
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
            "Close something, or open the archive with a key file.",
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
