//! From a parsed header to an unlocked one.

use thiserror::Error;
use zeroize::Zeroizing;

use super::{Description, Header, SealedKeyring, Slot, SlotKind, Unlocked, WHAT};
use crate::aead::AeadKey;
use crate::bytes::Writer;
use crate::error::FormatError;
use crate::hash::{hmac_sha256_of, same};
use crate::ids::{KeyGeneration, OriginId};
use crate::keys::{KdfError, Keyring, Label, Secret};

/// What somebody offers to open an archive.
pub enum Credential<'a> {
    /// None: the published key of an archive with encryption off.
    Published,
    /// A passphrase.
    Passphrase(&'a [u8]),
    /// The secret of a key file.
    KeyFile(&'a Secret),
    /// The secret of a recovery code.
    Recovery(&'a Secret),
    /// The newest master itself, remembered from an earlier unlocking; proven by the MAC like every other.
    Master(&'a Secret),
}

impl Credential<'_> {
    /// What it is called in a message.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Published => "access without a key",
            Self::Passphrase(_) => "passphrase",
            Self::KeyFile(_) => "key file",
            Self::Recovery(_) => "recovery code",
            Self::Master(_) => "remembered key",
        }
    }
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a header was not unlocked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnlockError {
    /// There is no slot for this kind of credential.
    #[error("this archive has no {0}; open it with another kind of key")]
    NoSlot(&'static str),
    /// No slot opens with it.
    #[error("wrong {0}")]
    WrongCredential(&'static str),
    /// The archive is not encrypted, but a key was offered.
    #[error(
        "this archive is not encrypted, although a key was given for it; is it the archive you mean?"
    )]
    NotEncrypted,
    /// No memory for Argon2id.
    #[error(transparent)]
    Kdf(#[from] KdfError),
    /// A slot opened, but the header was altered.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl Header {
    /// Opens the header: finds a slot, opens it, checks the MAC, opens the keyring. For a passphrase this takes up to
    /// [`Header::passphrase_memory`] and about a second for each passphrase slot.
    pub fn unlock(self, credential: &Credential<'_>) -> Result<Unlocked, UnlockError> {
        let master = self.master(credential)?;
        match (self.unlock_with(master), credential) {
            // The master may have been changed elsewhere since it was remembered.
            (Err(UnlockError::Format(_)), Credential::Master(_)) => {
                Err(UnlockError::WrongCredential(credential.name()))
            }
            (result, _) => result,
        }
    }

    /// Whether a secret opens the slot at `index`. For a passphrase this takes about a second.
    pub fn slot_opens(
        &self,
        index: usize,
        credential: &Credential<'_>,
    ) -> Result<bool, UnlockError> {
        let slot = self.slots.get(index);
        let master = match slot {
            Some(slot) => self.master_in(slot, credential)?,
            None => None,
        };
        Ok(master.is_some_and(|master| master.is_some()))
    }

    /// Checks the MAC and opens the keyring.
    fn unlock_with(self, master: Secret) -> Result<Unlocked, UnlockError> {
        let origin = self.description.origin;
        let (front, mac) = self.authenticated().ok_or(FormatError::Truncated(WHAT))?;
        let key = Label::HeaderMac.subkey(&master, origin, &[]);
        if !same(&hmac_sha256_of(&key, front), mac) {
            return Err(FormatError::NotAuthentic(WHAT).into());
        }
        let keyring = self.open_keyring(master)?;
        Ok(Unlocked::new(self, keyring))
    }

    fn master(&self, credential: &Credential<'_>) -> Result<Secret, UnlockError> {
        let description = &self.description;
        match (description.encrypted, credential) {
            (false, Credential::Published) => return Ok(Secret::published()),
            (false, _) => return Err(UnlockError::NotEncrypted),
            (true, Credential::Master(master)) => return Ok((*master).clone()),
            (true, _) => {}
        }
        let mut fitting = 0_usize;
        for slot in &self.slots {
            match self.master_in(slot, credential)? {
                None => {}
                Some(Some(master)) => return Ok(master),
                Some(None) => fitting = fitting.saturating_add(1),
            }
        }
        Err(if fitting == 0 {
            UnlockError::NoSlot(credential.name())
        } else {
            UnlockError::WrongCredential(credential.name())
        })
    }

    /// What a secret finds in a slot: `None` if they are of different kinds, `Some(None)` if it is the wrong one.
    #[allow(clippy::option_option)] // Not of this kind, of this kind and wrong, right.
    fn master_in(
        &self,
        slot: &Slot,
        credential: &Credential<'_>,
    ) -> Result<Option<Option<Secret>>, UnlockError> {
        let kek = match (slot.kind, credential) {
            (SlotKind::Passphrase(params), Credential::Passphrase(passphrase)) => {
                slot.stretch_passphrase(params, passphrase)?
            }
            (SlotKind::KeyFile, Credential::KeyFile(secret))
            | (SlotKind::RecoveryCode, Credential::Recovery(secret)) => slot.stretch(secret),
            _ => return Ok(None),
        };
        let Description {
            origin,
            key_generation,
            ..
        } = self.description;
        Ok(Some(slot.unwrap(kek, origin, key_generation)))
    }

    fn open_keyring(&self, master: Secret) -> Result<Keyring, UnlockError> {
        let Description { origin, hash, .. } = self.description;
        let Some(sealed) = &self.keyring else {
            return Ok(Keyring::new(origin, hash, master));
        };
        let forged = FormatError::NotAuthentic(WHAT);
        let key = AeadKey::new(Label::Keyring.subkey(&master, origin, &[]));
        let aad = keyring_aad(origin, self.description.key_generation);
        let mut masters = Zeroizing::new(sealed.sealed.clone());
        let (text, tag) = masters
            .split_last_chunk_mut::<{ super::TAG }>()
            .ok_or(forged.clone())?;
        key.open(WHAT, &sealed.nonce, &aad, text, *tag)?;
        let (older, _) = text.as_chunks::<32>();
        let mut older = older
            .iter()
            .map(|bytes| Secret::new(Zeroizing::new(*bytes)));
        let first = older.next().ok_or(forged)?;
        let keyring = older.fold(Keyring::new(origin, hash, first), Keyring::with);
        Ok(keyring.with(master))
    }
}

/// Associated data of the keyring.
pub(super) fn keyring_aad(origin: OriginId, key_generation: KeyGeneration) -> Vec<u8> {
    let mut aad = Writer::new();
    aad.raw(b"nacre/1 keyring");
    aad.raw(&origin.0);
    aad.u32(key_generation.0);
    aad.into_bytes()
}

/// Seals all masters of a keyring but the newest under the newest; `None` if there is only one.
pub(super) fn seal_keyring(keyring: &Keyring, nonce: [u8; 24]) -> Option<SealedKeyring> {
    let older = usize::try_from(keyring.key_generation().0).ok()?;
    if older == 0 {
        return None;
    }
    let mut text = Zeroizing::new(Vec::with_capacity(older.saturating_mul(32)));
    for master in keyring.masters().take(older) {
        text.extend_from_slice(master.bytes());
    }
    let key = AeadKey::new(keyring.newest_subkey(Label::Keyring));
    let aad = keyring_aad(keyring.origin(), keyring.key_generation());
    let tag = key.seal(&nonce, &aad, &mut text)?;
    let mut sealed = text.to_vec();
    sealed.extend_from_slice(&tag);
    Some(SealedKeyring { nonce, sealed })
}
