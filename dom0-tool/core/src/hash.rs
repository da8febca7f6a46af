//! The archive's keyed hash: keyed BLAKE3 or HMAC-SHA256 (doc/FORMAT.md, sections 1 and 3).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{FormatError, Result};
use crate::ids::{ChunkId, Digest};

/// SHA-256 without a key: for what is compared with the output of `sha256sum`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Which keyed hash an archive uses; fixed at `arch-init` (`--hashtype`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashType {
    /// `--hashtype=blake3`
    #[default]
    Blake3,
    /// `--hashtype=hmac-sha256`
    HmacSha256,
}

impl HashType {
    /// The number that stands in the header.
    pub fn code(self) -> u8 {
        match self {
            Self::Blake3 => 1,
            Self::HmacSha256 => 2,
        }
    }

    /// Reads the header's number.
    pub fn from_code(code: u8) -> Result<Self> {
        match code {
            1 => Ok(Self::Blake3),
            2 => Ok(Self::HmacSha256),
            _ => Err(FormatError::OutOfRange("hash type")),
        }
    }
}

/// A key of the archive's keyed hash.
#[derive(Clone)]
pub struct MacKey {
    hash: HashType,
    key: Zeroizing<[u8; 32]>,
}

impl MacKey {
    /// Takes 32 bytes of key for a hash type.
    pub fn new(hash: HashType, key: Zeroizing<[u8; 32]>) -> Self {
        Self { hash, key }
    }

    /// Begins a MAC over bytes that come piece by piece.
    pub fn start(&self) -> MacState {
        match self.hash {
            HashType::Blake3 => MacState::Blake3(blake3::Hasher::new_keyed(&self.key)),
            HashType::HmacSha256 => MacState::HmacSha256(hmac_sha256(&self.key)),
        }
    }

    /// The MAC of the parts one behind the other.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut state = self.start();
        for part in parts {
            state.update(part);
        }
        state.finish()
    }
}

/// HMAC-SHA256 begun with a key of 32 bytes.
fn hmac_sha256(key: &[u8; 32]) -> Hmac<Sha256> {
    // The block of HMAC-SHA256 is 64 bytes: a shorter key is filled up with zeros (RFC 2104).
    let mut block = Zeroizing::new([0; 64]);
    if let Some(front) = block.first_chunk_mut::<32>() {
        *front = *key;
    }
    Hmac::new((&*block).into())
}

/// HMAC-SHA256, whatever the archive's hash type (the header's MAC).
pub(crate) fn hmac_sha256_of(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    hmac_sha256(key)
        .chain_update(message)
        .finalize()
        .into_bytes()
        .into()
}

/// Compares secrets or MACs in a time that does not depend on where they differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// A MAC in the making.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack for the length of one hash; a box would cost an allocation for each"
)]
pub enum MacState {
    /// Keyed BLAKE3.
    Blake3(blake3::Hasher),
    /// HMAC-SHA256.
    HmacSha256(Hmac<Sha256>),
}

impl MacState {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(state) => {
                state.update(bytes);
            }
            Self::HmacSha256(state) => state.update(bytes),
        }
    }

    /// The MAC of everything added.
    pub fn finish(self) -> [u8; 32] {
        match self {
            Self::Blake3(state) => state.finalize().into(),
            Self::HmacSha256(state) => state.finalize().into_bytes().into(),
        }
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacKey({:?})", self.hash)
    }
}

impl fmt::Debug for MacState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacState")
    }
}

/// Key of the chunk ids of one dedup domain.
#[derive(Clone, Debug)]
pub struct ChunkIdKey(pub MacKey);

impl ChunkIdKey {
    /// Id of a chunk; `content` is exactly one chunk size long.
    pub fn id(&self, content: &[u8]) -> ChunkId {
        ChunkId(self.0.mac(&[content]))
    }
}

/// Key of the digests of nodes and records.
#[derive(Clone, Debug)]
pub struct DigestKey(pub MacKey);

impl DigestKey {
    /// Begins a digest over bytes that come piece by piece.
    pub fn start(&self) -> MacState {
        self.0.start()
    }

    /// Digest of the parts one behind the other.
    pub fn mac(&self, parts: &[&[u8]]) -> Digest {
        Digest(self.0.mac(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hash: HashType, byte: u8) -> MacKey {
        MacKey::new(hash, Zeroizing::new([byte; 32]))
    }

    #[test]
    fn hmac_is_the_one_of_the_standard() {
        // The RFC's own keys are not 32 bytes long; a shorter key is by definition the same as one filled up with zeros (test case 2 of RFC 4231).
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(b"Jefe");
        let key = MacKey::new(HashType::HmacSha256, Zeroizing::new(bytes));
        let mac = key.mac(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            Digest(mac).to_string(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn keyed_blake3_is_the_one_of_its_makers() {
        // The published vector of the empty input.
        let key = *b"whats the Elvish word for friend";
        let mac = MacKey::new(HashType::Blake3, Zeroizing::new(key)).mac(&[]);
        assert_eq!(
            Digest(mac).to_string(),
            "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"
        );
    }

    #[test]
    fn parts_do_not_matter_but_keys_and_types_do() {
        for hash in [HashType::Blake3, HashType::HmacSha256] {
            let whole = key(hash, 1).mac(&[b"abcdef"]);
            assert_eq!(whole, key(hash, 1).mac(&[b"abc", b"", b"def"]));
            assert_ne!(whole, key(hash, 2).mac(&[b"abcdef"]));
            assert_eq!(HashType::from_code(hash.code()), Ok(hash));
        }
        assert_ne!(
            key(HashType::Blake3, 1).mac(&[b"a"]),
            key(HashType::HmacSha256, 1).mac(&[b"a"])
        );
    }

    #[test]
    fn a_key_does_not_show_in_debug_output() {
        let text = format!("{:?}", ChunkIdKey(key(HashType::Blake3, 0xab)));
        assert_eq!(text, "ChunkIdKey(MacKey(Blake3))");
    }
}
