//! The header: what is known of an archive before a key is at hand (doc/FORMAT.md, section 4).
//!
//! Two types, so that one cannot be taken for the other: a [`Header`] was only parsed and may say anything; an [`Unlocked`] was
//! opened with a secret and its MAC fits.

mod candidates;
mod slot;
mod unlock;
mod unlocked;

use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::hash::HashType;
use crate::ids::{ArchiveId, Generation, HeaderHash, KeyGeneration, OriginId};
use crate::keys::MAX_KEYRING;
use crate::node::ChunkFormat;

pub use candidates::{Candidates, HeaderError, TooOld};
pub use slot::{NewSecret, NewSlot, Slot, SlotKind};
pub use unlock::{Credential, UnlockError};
pub use unlocked::{ChangeError, NewHeader, Unlocked};

/// Largest header object.
pub const MAX_HEADER: usize = 64 << 10;
/// Most key slots.
pub const MAX_SLOTS: usize = 16;

const MAGIC: [u8; 8] = *b"\x89NACRE\r\n";
const VERSION: u16 = 1;
const MAC: usize = 32;
const TAG: usize = crate::aead::TAG;
const WHAT: &str = "a header";

/// Feature flags. This version of Nacre knows none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// May be ignored by readers and writers.
    pub compatible: u64,
    /// Who does not know one of these may read, but must not write.
    pub read_only: u64,
}

/// What the header says besides its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Feature flags; those that forbid reading were looked at by the parser.
    pub features: Features,
    /// Fixed at `arch-init`.
    pub origin: OriginId,
    /// Changed by `--change-uuid`.
    pub archive: ArchiveId,
    /// Number of this header.
    pub generation: Generation,
    /// Number of the newest master.
    pub key_generation: KeyGeneration,
    /// Whether anything is kept from those who read the store (`--encrypt`).
    pub encrypted: bool,
    /// Hash of chunk ids and digests.
    pub hash: HashType,
    /// How large chunks are.
    pub format: ChunkFormat,
}

impl Description {
    /// Whether this version of Nacre may write to the archive.
    pub fn may_write(&self) -> bool {
        self.features.read_only == 0
    }
}

/// The older masters, sealed under the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SealedKeyring {
    nonce: [u8; 24],
    sealed: Vec<u8>,
}

/// A header as it was read: well-formed, not proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    description: Description,
    slots: Vec<Slot>,
    keyring: Option<SealedKeyring>,
    /// The whole object.
    bytes: Vec<u8>,
}

impl Header {
    /// What it says.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Its key slots.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The object as it lies in the store.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Hash of the object, as a head names it.
    pub fn hash(&self) -> HeaderHash {
        HeaderHash::of(&self.bytes)
    }

    /// Most memory, in bytes, that trying a passphrase on this header takes; 0 if no passphrase opens it.
    pub fn passphrase_memory(&self) -> u64 {
        let needed = self.slots.iter().map(|slot| match &slot.kind {
            SlotKind::Passphrase(params) => params.memory_needed(),
            _ => 0,
        });
        needed.max().unwrap_or(0)
    }

    /// Reads a header object.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_HEADER {
            return Err(FormatError::OutOfRange(WHAT));
        }
        let mut reader = Reader::new(WHAT, bytes);
        let (description, count) = parse_description(&mut reader, bytes.len())?;
        let mut slots = Vec::with_capacity(count);
        for _ in 0..count {
            slots.push(Slot::parse(&mut reader)?);
        }
        let keyring = parse_keyring(&mut reader, description.key_generation)?;
        reader.take(MAC)?;
        reader.finish()?;
        Ok(Self {
            description,
            slots,
            keyring,
            bytes: bytes.to_vec(),
        })
    }

    /// The object without its MAC, and the MAC.
    fn authenticated(&self) -> Option<(&[u8], &[u8; MAC])> {
        self.bytes.split_last_chunk::<MAC>()
    }
}

/// Everything up to the slots, and how many of these there are.
fn parse_description(reader: &mut Reader<'_>, length: usize) -> Result<(Description, usize)> {
    if reader.array()? != MAGIC {
        return Err(FormatError::NotThis("a header of an archive of nacre"));
    }
    let out_of_range = FormatError::OutOfRange(WHAT);
    let version = reader.u16()?;
    if version != VERSION {
        return Err(too_new(format!("format {version}")));
    }
    if usize::try_from(reader.u32()?) != Ok(length) {
        return Err(out_of_range);
    }
    let features = Features {
        compatible: reader.u64()?,
        read_only: reader.u64()?,
    };
    let incompatible = reader.u64()?;
    if incompatible != 0 {
        return Err(too_new(format!("features {incompatible:#x}")));
    }
    let description = Description {
        features,
        origin: OriginId(reader.array()?),
        archive: ArchiveId(reader.array()?),
        generation: Generation(reader.u64()?),
        key_generation: KeyGeneration(reader.u32()?),
        encrypted: match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(out_of_range),
        },
        hash: HashType::from_code(reader.u8()?)?,
        format: ChunkFormat::new(reader.u8()?)?,
    };
    let slots = usize::from(reader.u8()?);
    // Names of header objects have eight hex digits.
    let in_range = (1..=u64::from(u32::MAX)).contains(&description.generation.0)
        && slots <= MAX_SLOTS
        && description.encrypted == (slots > 0)
        && (description.encrypted || description.key_generation == KeyGeneration(0));
    if in_range {
        Ok((description, slots))
    } else {
        Err(out_of_range)
    }
}

fn parse_keyring(
    reader: &mut Reader<'_>,
    key_generation: KeyGeneration,
) -> Result<Option<SealedKeyring>> {
    let count = u32::from(reader.u16()?);
    if count != key_generation.0 || count > MAX_KEYRING {
        return Err(FormatError::OutOfRange(WHAT));
    }
    let Some(masters) = usize::try_from(count).ok().filter(|count| *count > 0) else {
        return Ok(None);
    };
    let nonce = reader.array()?;
    let sealed = reader.take(masters.saturating_mul(32).saturating_add(TAG))?;
    Ok(Some(SealedKeyring {
        nonce,
        sealed: sealed.to_vec(),
    }))
}

fn too_new(found: String) -> FormatError {
    FormatError::TooNew { what: WHAT, found }
}

/// Writes everything but the MAC.
fn encode(description: &Description, slots: &[Slot], keyring: Option<&SealedKeyring>) -> Vec<u8> {
    let mut rest = Writer::new();
    rest.u64(description.features.compatible);
    rest.u64(description.features.read_only);
    rest.u64(0);
    rest.raw(&description.origin.0);
    rest.raw(&description.archive.0);
    rest.u64(description.generation.0);
    rest.u32(description.key_generation.0);
    rest.u8(u8::from(description.encrypted));
    rest.u8(description.hash.code());
    rest.u8(description.format.bits());
    rest.u8(u8::try_from(slots.len()).unwrap_or(u8::MAX));
    for slot in slots {
        slot.encode(&mut rest);
    }
    rest.u16(u16::try_from(description.key_generation.0).unwrap_or(u16::MAX));
    if let Some(keyring) = keyring {
        rest.raw(&keyring.nonce);
        rest.raw(&keyring.sealed);
    }
    let front = MAGIC.len().saturating_add(6);
    let length = rest.len().saturating_add(front).saturating_add(MAC);
    let mut writer = Writer::new();
    writer.raw(&MAGIC);
    writer.u16(VERSION);
    writer.u32(u32::try_from(length).unwrap_or(u32::MAX));
    writer.raw(rest.as_bytes());
    writer.into_bytes()
}

#[cfg(test)]
mod tests;
