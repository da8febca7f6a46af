//! `arch-init`.

use std::time::Instant;

use nacre_core::hash::HashType as CoreHash;
use nacre_core::head::Compression as CoreCompression;
use nacre_core::header::{NewSecret, NewSlot};
use nacre_core::keys::{Argon2Params, Secret as KeySecret};
use nacre_core::node::ChunkFormat;

use super::hazards;
use super::opening::{unanswered, write_pin};
use super::reaching::{place, reach};
use super::restorer;
use super::world::{World, entropy};
use crate::archive::{Error, InitOptions, Result, init};
use crate::cli::{ArchInit, Compression, Encryption, Exit, HashType};
use crate::joints::{KeyPrompt, Purpose, Secret};
use crate::unlock::{KeyFileError, create_key_file, read_key_file};

/// How long trying a passphrase is to take.
const KDF_SECONDS: f64 = 1.0;

/// Makes an archive at the target.
pub fn run(world: &World<'_>, wanted: &ArchInit) -> Result<Exit> {
    let place = place(world)?;
    if world.common.dry_run {
        let script = restorer::file_name();
        let text = format!(
            "would make an archive at {place}, and put {script} beside it, which restores without nacre"
        );
        world.monitor().note(&text);
        return Ok(Exit::Done);
    }
    let store = reach(world, true)?;
    let secrets = match wanted.encryption {
        Encryption::On => Secrets::gather(world, &place)?,
        Encryption::Off => Secrets::default(),
    };
    let bits = wanted.chunk_factor.get() + 15;
    let options = InitOptions {
        hash: match wanted.hash_type {
            HashType::Blake3 => CoreHash::Blake3,
            HashType::HmacSha256 => CoreHash::HmacSha256,
        },
        format: ChunkFormat::new(bits).map_err(Error::damaged("--chunk-factor"))?,
        compression: match wanted.compression {
            Compression::None => CoreCompression::None,
            Compression::Zstd { level } => CoreCompression::Zstd(i32::from(level)),
        },
        encrypted: wanted.encryption == Encryption::On,
        slots: secrets.slots(world),
        memory: &|id| world.memory_of(id),
        entropy: entropy(),
    };
    let archive = init(store, options, world.clock())?;
    write_pin(world, &archive, None)?;
    hazards::tell(world, archive.store().as_ref());
    let text = format!("made archive {} at {place}", archive.id());
    world.monitor().note(&text);
    restorer::leave(world, archive.store().as_ref());
    Ok(Exit::Done)
}

/// What is to open the archive: a key file, a passphrase, or both.
#[derive(Default)]
struct Secrets {
    key_file: Option<KeySecret>,
    passphrase: Option<(Secret, Argon2Params)>,
}

impl Secrets {
    /// With a key file alone no passphrase is asked for: that is how unattended machines are set up. With `--passcmd` too, both open it.
    fn gather(world: &World<'_>, place: &str) -> Result<Self> {
        let key_file = world.common.key_file.as_ref().map(|path| {
            match read_key_file(path) {
                Err(KeyFileError::Missing(_)) => create_key_file(path, entropy()().as_mut()),
                read => read,
            }
            .map_err(|error| Error::State(error.to_string()))
        });
        let key_file = key_file.transpose()?;
        let passphrase = if key_file.is_none() || world.common.passcmd.is_some() {
            let purpose = Purpose::Create { place };
            let passphrase = world.prompt.ask(purpose).map_err(unanswered)?;
            Some((passphrase, about_a_second()))
        } else {
            None
        };
        Ok(Self {
            key_file,
            passphrase,
        })
    }

    fn slots(&self, world: &World<'_>) -> Vec<NewSlot<'_>> {
        let seconds = world.clock().now().seconds;
        let created = u64::try_from(seconds).unwrap_or(0);
        let slot = |label, secret| NewSlot {
            label,
            created,
            secret,
        };
        let passphrase = self.passphrase.as_ref().map(|(passphrase, params)| {
            let secret = NewSecret::Passphrase(passphrase.as_slice(), *params);
            slot("passphrase", secret)
        });
        let key_file = self.key_file.as_ref();
        let key_file = key_file.map(|secret| slot("key file", NewSecret::KeyFile(secret)));
        passphrase.into_iter().chain(key_file).collect()
    }
}

/// Argon2id's cost on this machine: 256 MiB, and as many passes as fit into a second.
pub fn about_a_second() -> Argon2Params {
    let one = Argon2Params::with_passes(1);
    let begun = Instant::now();
    let ran = one.run(b"how fast is this machine", &[0; 32]).is_ok();
    let seconds = begun.elapsed().as_secs_f64().max(0.01);
    let passes = if ran { KDF_SECONDS / seconds } else { 1.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 2 and 16 the cast neither cuts nor wraps"
    )]
    let passes = passes.round().clamp(2.0, 16.0) as u32;
    Argon2Params::with_passes(passes)
}
