//! Key slots: each wraps the newest master with one secret that somebody holds.

use zeroize::Zeroizing;

use super::{ChangeError, WHAT};
use crate::aead::AeadKey;
use crate::bytes::{Reader, Writer, is_text};
use crate::entropy::{Entropy, draw};
use crate::error::{FormatError, Result};
use crate::ids::{KeyGeneration, OriginId};
use crate::keys::{Argon2Params, KdfError, Secret, hkdf};

/// Longest label in bytes.
pub const MAX_LABEL: usize = 64;

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A passphrase, stretched by Argon2id at this cost.
    Passphrase(Argon2Params),
    /// The secret of a key file.
    KeyFile,
    /// The secret of a printed recovery code.
    RecoveryCode,
}

impl SlotKind {
    fn code(self) -> u8 {
        match self {
            Self::Passphrase(_) => 1,
            Self::KeyFile => 2,
            Self::RecoveryCode => 3,
        }
    }
}

/// A key slot as it stands in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What opens it.
    pub kind: SlotKind,
    /// A name for people.
    pub label: String,
    /// Seconds since 1970, for people only.
    pub created: u64,
    salt: [u8; 32],
    nonce: [u8; 24],
    wrapped: [u8; 48],
}

/// A slot to be made.
#[derive(Debug)]
pub struct NewSlot<'a> {
    /// A name for people, at most 64 bytes without control characters.
    pub label: &'a str,
    /// Seconds since 1970, for people only.
    pub created: u64,
    /// What is to open it.
    pub secret: NewSecret<'a>,
}

/// The secret of a slot to be made.
pub enum NewSecret<'a> {
    /// A passphrase and the cost of trying one.
    Passphrase(&'a [u8], Argon2Params),
    /// The secret of a key file.
    KeyFile(&'a Secret),
    /// The secret of a recovery code.
    RecoveryCode(&'a Secret),
}

impl std::fmt::Debug for NewSecret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passphrase(..) => "Passphrase",
            Self::KeyFile(_) => "KeyFile",
            Self::RecoveryCode(_) => "RecoveryCode",
        })
    }
}

impl Slot {
    /// Wraps a master. The label was checked by the caller.
    pub(super) fn wrap(
        new: &NewSlot<'_>,
        master: &Secret,
        origin: OriginId,
        key_generation: KeyGeneration,
        entropy: &mut dyn Entropy,
    ) -> std::result::Result<Self, ChangeError> {
        let salt = draw(entropy);
        let (kind, kek) = match &new.secret {
            NewSecret::Passphrase(passphrase, params) => (
                SlotKind::Passphrase(*params),
                params.run(passphrase, &salt)?,
            ),
            NewSecret::KeyFile(secret) => (SlotKind::KeyFile, stretch(secret, &salt)),
            NewSecret::RecoveryCode(secret) => (SlotKind::RecoveryCode, stretch(secret, &salt)),
        };
        let mut slot = Self {
            kind,
            label: new.label.to_owned(),
            created: new.created,
            salt,
            nonce: draw(entropy),
            wrapped: [0; 48],
        };
        let aad = slot.aad(origin, key_generation);
        if let Some((text, tag)) = slot.wrapped.split_first_chunk_mut::<32>() {
            *text = *master.bytes();
            let sealed = AeadKey::new(kek).seal(&slot.nonce, &aad, text);
            tag.copy_from_slice(&sealed.ok_or(FormatError::OutOfRange(WHAT))?);
        }
        Ok(slot)
    }

    /// The key-encryption key from a 256-bit secret.
    pub(super) fn stretch(&self, secret: &Secret) -> Zeroizing<[u8; 32]> {
        stretch(secret, &self.salt)
    }

    /// The key-encryption key from a passphrase.
    pub(super) fn stretch_passphrase(
        &self,
        params: Argon2Params,
        passphrase: &[u8],
    ) -> std::result::Result<Zeroizing<[u8; 32]>, KdfError> {
        params.run(passphrase, &self.salt)
    }

    /// The master, if this is the right key-encryption key.
    pub(super) fn unwrap(
        &self,
        kek: Zeroizing<[u8; 32]>,
        origin: OriginId,
        key_generation: KeyGeneration,
    ) -> Option<Secret> {
        let aad = self.aad(origin, key_generation);
        let (text, tag) = self.wrapped.split_first_chunk::<32>()?;
        let mut master = Zeroizing::new(*text);
        let opened =
            AeadKey::new(kek).open(WHAT, &self.nonce, &aad, &mut *master, *tag.first_chunk()?);
        opened.ok().map(|()| Secret::new(master))
    }

    fn aad(&self, origin: OriginId, key_generation: KeyGeneration) -> Vec<u8> {
        let mut aad = Writer::new();
        aad.raw(b"nacre/1 slot");
        aad.raw(&origin.0);
        aad.u32(key_generation.0);
        self.encode_front(&mut aad);
        aad.into_bytes()
    }

    /// From the kind to the cost.
    fn encode_front(&self, writer: &mut Writer) {
        writer.u8(self.kind.code());
        writer.u8(u8::try_from(self.label.len()).unwrap_or(u8::MAX));
        writer.raw(self.label.as_bytes());
        writer.u64(self.created);
        writer.raw(&self.salt);
        match self.kind {
            SlotKind::Passphrase(params) => params.encode(writer),
            SlotKind::KeyFile | SlotKind::RecoveryCode => writer.raw(&[0; 12]),
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        self.encode_front(writer);
        writer.raw(&self.nonce);
        writer.raw(&self.wrapped);
    }

    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        let out_of_range = FormatError::OutOfRange(WHAT);
        let code = reader.u8()?;
        let label = usize::from(reader.u8()?);
        if label > MAX_LABEL {
            return Err(out_of_range);
        }
        let label = std::str::from_utf8(reader.take(label)?)
            .ok()
            .filter(|label| is_text(label))
            .ok_or_else(|| out_of_range.clone())?;
        let (created, salt) = (reader.u64()?, reader.array()?);
        let kind = match (code, Argon2Params::parse(reader)?) {
            (1, Some(params)) => SlotKind::Passphrase(params),
            (2, None) => SlotKind::KeyFile,
            (3, None) => SlotKind::RecoveryCode,
            _ => return Err(out_of_range),
        };
        Ok(Self {
            kind,
            label: label.to_owned(),
            created,
            salt,
            nonce: reader.array()?,
            wrapped: reader.array()?,
        })
    }
}

fn stretch(secret: &Secret, salt: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    hkdf(salt, secret.bytes(), &[b"nacre/1 slot-key"])
}
