//! Master keys and everything derived from them (doc/FORMAT.md, section 3).

mod derive;
mod kdf;
mod key_file;
mod recovery;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::aead::AeadKey;
use crate::entropy::Entropy;
use crate::hash::{ChunkIdKey, DigestKey, HashType, MacKey, same};
use crate::head::HeadKeys;
use crate::ids::{DomainId, KeyGeneration, OriginId};
use crate::seal::{Opener, OpeningKeys, Sealer};

pub(crate) use derive::{Label, hkdf};
pub use kdf::{Argon2Params, KdfError};
pub use key_file::KeyFileError;
pub use recovery::RecoveryCodeError;

/// Most older masters that a header carries.
pub const MAX_KEYRING: u32 = 1000;

/// 256 bits that nobody may see: a master key, or the secret of a key file or recovery code. Wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// Draws a new secret.
    pub fn draw(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes);
        Self(bytes)
    }

    /// Takes over bytes.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The bytes, for a cache of keys in memory. They must not get anywhere else.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The master that everybody knows, of an archive with `--encrypt=off`.
    pub(crate) fn published() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        *bytes = Sha256::digest(b"nacre/1 encryption off").into();
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Length of the check of a master key that dom0 remembers, to know the archive's master again without keeping it.
pub const PIN: usize = 16;

/// The masters of all key generations, and what the subkeys depend on besides them.
#[derive(Clone)]
pub struct Keyring {
    origin: OriginId,
    hash: HashType,
    first: Secret,
    later: Vec<Secret>,
}

impl Keyring {
    /// The keyring of an archive's first key generation.
    pub(crate) fn new(origin: OriginId, hash: HashType, master: Secret) -> Self {
        Self {
            origin,
            hash,
            first: master,
            later: Vec::new(),
        }
    }

    /// The same with one more master, which is the newest from now on.
    pub(crate) fn with(mut self, master: Secret) -> Self {
        self.later.push(master);
        self
    }

    /// Number of the newest master.
    pub fn key_generation(&self) -> KeyGeneration {
        KeyGeneration(u32::try_from(self.later.len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn origin(&self) -> OriginId {
        self.origin
    }

    pub(crate) fn newest(&self) -> &Secret {
        self.later.last().unwrap_or(&self.first)
    }

    pub(crate) fn masters(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// A subkey of the newest master.
    pub(crate) fn newest_subkey(&self, label: Label) -> Zeroizing<[u8; 32]> {
        label.subkey(self.newest(), self.origin, &[])
    }

    /// What dom0 remembers to recognise the newest master.
    pub fn pin(&self) -> [u8; PIN] {
        self.pin_of(self.newest())
    }

    /// Whether a remembered pin is that of any master of this archive. One of an older master is no stranger: the master was changed by
    /// another machine, or by this one before a power cut.
    pub fn knows_pin(&self, pin: &[u8; PIN]) -> bool {
        self.masters().any(|master| same(&self.pin_of(master), pin))
    }

    /// The pins of the masters before the newest.
    pub fn former_pins(&self) -> Vec<[u8; PIN]> {
        let newest = self.pin();
        let all = self.masters().map(|master| self.pin_of(master));
        all.filter(|pin| *pin != newest).collect()
    }

    fn pin_of(&self, master: &Secret) -> [u8; PIN] {
        let subkey = Label::Pin.subkey(master, self.origin, &[]);
        subkey.first_chunk().copied().unwrap_or_default()
    }

    /// Derives all keys.
    pub fn keys(&self) -> Keys {
        Keys::derive(self)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} key generations)", self.masters().count())
    }
}

/// All that is derived from the masters and used while an archive is open. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    keyring: Keyring,
    digest: DigestKey,
    sealer: Arc<Sealer>,
    opener: Arc<Opener>,
    heads: Arc<HeadKeys>,
    pin: [u8; PIN],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?})", self.keyring)
    }
}

impl Keys {
    fn derive(keyring: &Keyring) -> Self {
        let origin = keyring.origin;
        let aead = |master: &Secret, label: Label| AeadKey::new(label.subkey(master, origin, &[]));
        let newest = keyring.newest();
        let sealer = Sealer::new(
            origin,
            keyring.key_generation(),
            aead(newest, Label::Data),
            aead(newest, Label::Index),
            keyring.newest_subkey(Label::Nonce),
        );
        let opening = keyring.masters().map(|master| OpeningKeys {
            data: aead(master, Label::Data),
            index: aead(master, Label::Index),
        });
        let heads = HeadKeys {
            origin,
            generations: keyring
                .masters()
                .map(|master| aead(master, Label::Head))
                .collect(),
            nonce: keyring.newest_subkey(Label::Nonce),
        };
        let digest = Label::Digest.subkey(&keyring.first, origin, &[]);
        Self {
            digest: DigestKey(MacKey::new(keyring.hash, digest)),
            sealer: Arc::new(sealer),
            opener: Arc::new(Opener::new(origin, opening.collect())),
            heads: Arc::new(heads),
            pin: keyring.pin(),
            keyring: keyring.clone(),
        }
    }

    /// What every sealed thing of this archive is bound to.
    pub fn origin(&self) -> OriginId {
        self.keyring.origin
    }

    /// Number of the newest master, which seals everything new.
    pub fn key_generation(&self) -> KeyGeneration {
        self.keyring.key_generation()
    }

    /// Key of the chunk ids of a dedup domain.
    pub fn chunk_ids(&self, domain: DomainId) -> ChunkIdKey {
        let key = Label::ChunkId.subkey(&self.keyring.first, self.keyring.origin, &domain.0);
        ChunkIdKey(MacKey::new(self.keyring.hash, key))
    }

    /// Key of the digests of nodes and records.
    pub fn digest(&self) -> DigestKey {
        self.digest.clone()
    }

    /// Seals new items.
    pub fn sealer(&self) -> Arc<Sealer> {
        Arc::clone(&self.sealer)
    }

    /// Opens items of all key generations.
    pub fn opener(&self) -> Arc<Opener> {
        Arc::clone(&self.opener)
    }

    /// Seals and opens heads of all key generations.
    pub fn head_keys(&self) -> Arc<HeadKeys> {
        Arc::clone(&self.heads)
    }

    /// What dom0 remembers to recognise the newest master.
    pub fn pin(&self) -> [u8; PIN] {
        self.pin
    }

    /// Whether a remembered pin is that of any master of this archive, old or new.
    pub fn knows_pin(&self, pin: &[u8; PIN]) -> bool {
        self.keyring.knows_pin(pin)
    }

    /// The pins of the masters before the newest.
    pub fn former_pins(&self) -> Vec<[u8; PIN]> {
        self.keyring.former_pins()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        let master = |byte| Secret::new(Zeroizing::new([byte; 32]));
        Keyring::new(OriginId([1; 16]), HashType::Blake3, master(2)).with(master(3))
    }

    #[test]
    fn ids_and_digests_survive_a_new_master_and_the_pin_does_not() {
        let (old, new) = (
            Keyring::new(OriginId([1; 16]), HashType::Blake3, keyring().first).keys(),
            keyring().keys(),
        );
        let domain = DomainId([4; 16]);
        assert_eq!(
            old.chunk_ids(domain).id(b"x"),
            new.chunk_ids(domain).id(b"x")
        );
        assert_eq!(old.digest().mac(&[b"x"]), new.digest().mac(&[b"x"]));
        assert_ne!(old.pin(), new.pin());
        assert!(new.knows_pin(&old.pin()) && new.knows_pin(&new.pin()));
        assert!(!old.knows_pin(&new.pin()));
        assert_eq!(new.key_generation(), KeyGeneration(1));
    }

    #[test]
    fn chunk_ids_of_two_domains_cannot_be_compared() {
        let keys = keyring().keys();
        assert_ne!(
            keys.chunk_ids(DomainId([1; 16])).id(b"x"),
            keys.chunk_ids(DomainId([2; 16])).id(b"x")
        );
    }

    #[test]
    fn no_secret_shows_in_debug_output() {
        let keyring = Keyring::new(
            OriginId([1; 16]),
            HashType::Blake3,
            Secret::new(Zeroizing::new([0xab; 32])),
        );
        let text = format!("{keyring:?} {:?} {:?}", keyring.newest(), keyring.keys());
        assert!(
            !text.contains("171") && !text.to_lowercase().contains("abab"),
            "{text}"
        );
    }
}
