//! An unlocked header: proven by its MAC, with the masters at hand; the only thing from which a new header can be made.

use thiserror::Error;

use super::slot::MAX_LABEL;
use super::unlock::seal_keyring;
use super::{Description, Features, Header, MAX_SLOTS, NewSlot, Slot, encode};
use crate::bytes::is_text;
use crate::entropy::{Entropy, draw};
use crate::error::FormatError;
use crate::hash::{HashType, hmac_sha256_of};
use crate::ids::{ArchiveId, Generation, HeaderHash, KeyGeneration, OriginId};
use crate::keys::{KdfError, Keyring, Keys, Label, MAX_KEYRING, Secret};
use crate::node::ChunkFormat;

/// What `arch-init` decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewHeader {
    /// Random identity; may be changed later.
    pub archive: ArchiveId,
    /// Random; what everything sealed is bound to, for good.
    pub origin: OriginId,
    /// Hash of chunk ids and digests (`--hashtype`), for good.
    pub hash: HashType,
    /// Size of chunks (`--chunk-factor`), for good.
    pub format: ChunkFormat,
    /// `--encrypt`, for good.
    pub encrypted: bool,
}

/// Why a header was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// The last slot, or none at all for an encrypted archive.
    #[error("an encrypted archive needs at least one key; add another one first")]
    NoSlotLeft,
    /// More than 16.
    #[error("an archive has room for 16 keys; remove one first")]
    TooManySlots,
    /// There is no slot of this number.
    #[error("there is no key number {0}")]
    NoSuchSlot(usize),
    /// Not a label.
    #[error("the name of a key is at most 64 bytes long, without control characters")]
    BadLabel,
    /// Keys in an archive with encryption off.
    #[error("this archive was made with --encrypt=off and has no keys")]
    NotEncrypted,
    /// Key or header generations are used up.
    #[error("this archive's keys were changed as often as the format allows; make a new archive")]
    UsedUp,
    /// Features this version does not know.
    #[error(
        "this archive was changed by a newer version of nacre and may only be read by this one; install the newer one"
    )]
    ReadOnly,
    /// No memory for Argon2id.
    #[error(transparent)]
    Kdf(#[from] KdfError),
    /// What was made does not read back.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// A header whose MAC fits, with the keys.
#[derive(Clone, Debug)]
pub struct Unlocked {
    header: Header,
    keyring: Keyring,
    /// The next header's generation is above this one.
    taken: Generation,
}

impl Unlocked {
    /// Only for who has checked the MAC.
    pub(super) fn new(header: Header, keyring: Keyring) -> Self {
        Self {
            taken: header.description.generation,
            header,
            keyring,
        }
    }

    /// The next header is to have a generation above this one: its name, and perhaps others behind it, is taken by a change of keys that was
    /// cut short, or is at this moment made by another writer, who must not find his header changed.
    #[must_use]
    pub fn above(mut self, taken: Generation) -> Self {
        self.taken = self.taken.max(taken);
        self
    }

    /// The generation above which the next header is numbered.
    pub fn taken(&self) -> Generation {
        self.taken
    }

    /// The first header of a new archive, with the slots that open it; none when encryption is off.
    pub fn create(
        new: &NewHeader,
        slots: &[NewSlot<'_>],
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ChangeError> {
        let description = Description {
            features: Features::default(),
            origin: new.origin,
            archive: new.archive,
            generation: Generation(1),
            key_generation: KeyGeneration(0),
            encrypted: new.encrypted,
            hash: new.hash,
            format: new.format,
        };
        let master = if new.encrypted {
            Secret::draw(entropy)
        } else {
            Secret::published()
        };
        let keyring = Keyring::new(new.origin, new.hash, master);
        let slots = wrap_all(slots, &description, &keyring, entropy)?;
        Self::build(&description, &slots, keyring, entropy)
    }

    /// The header itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The newest master, for a cache of keys in memory.
    pub fn master(&self) -> Secret {
        self.keyring.newest().clone()
    }

    /// All derived keys.
    pub fn keys(&self) -> Keys {
        self.keyring.keys()
    }

    /// What the header says.
    pub fn description(&self) -> &Description {
        self.header.description()
    }

    /// Its key slots.
    pub fn slots(&self) -> &[Slot] {
        self.header.slots()
    }

    /// The masters.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The object for the store, to be written twice.
    pub fn bytes(&self) -> &[u8] {
        self.header.bytes()
    }

    /// Hash of the object, as a head names it.
    pub fn hash(&self) -> HeaderHash {
        self.header.hash()
    }

    /// The next header, with one slot more.
    pub fn with_slot(
        &self,
        new: &NewSlot<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ChangeError> {
        let (description, mut slots) = self.next()?;
        slots.push(self.wrap(new, &description, entropy)?);
        Self::build(&description, &slots, self.keyring.clone(), entropy)
    }

    /// The next header, without the slot at `index`.
    pub fn without_slot(
        &self,
        index: usize,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ChangeError> {
        let (description, mut slots) = self.next()?;
        if index >= slots.len() {
            return Err(ChangeError::NoSuchSlot(index));
        }
        slots.remove(index);
        Self::build(&description, &slots, self.keyring.clone(), entropy)
    }

    /// The next header, with another slot in place of the one at `index`.
    pub fn with_changed_slot(
        &self,
        index: usize,
        new: &NewSlot<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ChangeError> {
        let (description, mut slots) = self.next()?;
        let changed = self.wrap(new, &description, entropy)?;
        *slots.get_mut(index).ok_or(ChangeError::NoSuchSlot(index))? = changed;
        Self::build(&description, &slots, self.keyring.clone(), entropy)
    }

    /// The next header, with a new master. The old slots wrap the old master and go; `slots` take their place.
    pub fn rotate(
        &self,
        slots: &[NewSlot<'_>],
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ChangeError> {
        let (mut description, _) = self.next()?;
        if !description.encrypted {
            return Err(ChangeError::NotEncrypted);
        }
        if description.key_generation.0 >= MAX_KEYRING {
            return Err(ChangeError::UsedUp);
        }
        let keyring = self.keyring.clone().with(Secret::draw(entropy));
        description.key_generation = keyring.key_generation();
        let slots = wrap_all(slots, &description, &keyring, entropy)?;
        Self::build(&description, &slots, keyring, entropy)
    }

    /// The next header, with a new archive id (`--change-uuid`).
    pub fn with_new_archive_id(&self, entropy: &mut dyn Entropy) -> Result<Self, ChangeError> {
        let (mut description, slots) = self.next()?;
        description.archive = ArchiveId(draw(entropy));
        Self::build(&description, &slots, self.keyring.clone(), entropy)
    }

    fn next(&self) -> Result<(Description, Vec<Slot>), ChangeError> {
        let mut description = self.description().clone();
        if !description.may_write() {
            return Err(ChangeError::ReadOnly);
        }
        let next = self.taken.0.checked_add(1);
        let next = next.filter(|number| u32::try_from(*number).is_ok());
        description.generation = Generation(next.ok_or(ChangeError::UsedUp)?);
        Ok((description, self.slots().to_vec()))
    }

    fn wrap(
        &self,
        new: &NewSlot<'_>,
        description: &Description,
        entropy: &mut dyn Entropy,
    ) -> Result<Slot, ChangeError> {
        wrap(new, description, &self.keyring, entropy)
    }

    fn build(
        description: &Description,
        slots: &[Slot],
        keyring: Keyring,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ChangeError> {
        if slots.len() > MAX_SLOTS {
            return Err(ChangeError::TooManySlots);
        }
        match (description.encrypted, slots.is_empty()) {
            (true, true) => return Err(ChangeError::NoSlotLeft),
            (false, false) => return Err(ChangeError::NotEncrypted),
            _ => {}
        }
        let older = seal_keyring(&keyring, draw(entropy));
        let mut bytes = encode(description, slots, older.as_ref());
        let key = keyring.newest_subkey(Label::HeaderMac);
        let mac = hmac_sha256_of(&key, &bytes);
        bytes.extend_from_slice(&mac);
        // Nothing leaves that this very program would not read.
        let header = Header::parse(&bytes)?;
        Ok(Self::new(header, keyring))
    }
}

fn wrap(
    new: &NewSlot<'_>,
    description: &Description,
    keyring: &Keyring,
    entropy: &mut dyn Entropy,
) -> Result<Slot, ChangeError> {
    if !description.encrypted {
        return Err(ChangeError::NotEncrypted);
    }
    if new.label.len() > MAX_LABEL || !is_text(new.label) {
        return Err(ChangeError::BadLabel);
    }
    let (origin, generation) = (description.origin, description.key_generation);
    Slot::wrap(new, keyring.newest(), origin, generation, entropy)
}

fn wrap_all(
    slots: &[NewSlot<'_>],
    description: &Description,
    keyring: &Keyring,
    entropy: &mut dyn Entropy,
) -> Result<Vec<Slot>, ChangeError> {
    let all = slots.iter();
    all.map(|new| wrap(new, description, keyring, entropy))
        .collect()
}
