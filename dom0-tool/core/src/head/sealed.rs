//! The head as it lies in the store (doc/FORMAT.md, section 8).

use zeroize::Zeroizing;

use super::{Head, MAX_HEAD};
use crate::aead::{AeadKey, NONCE, TAG, draw_nonce};
use crate::bytes::{Reader, Writer};
use crate::entropy::Entropy;
use crate::error::{FormatError, Result};
use crate::ids::{Epoch, HeadHash, HeaderHash, KeyGeneration, OriginId};

const WHAT: &str = "the head";
const MAGIC: &[u8; 8] = b"\x89NACRH\r\n";
const VERSION: u16 = 1;
/// Magic, version, key generation: bound to the sealed body.
const FRONT: usize = 14;

impl HeadHash {
    /// Hash of a head object as it lies in the store.
    pub fn of(object: &[u8]) -> Self {
        Self(*blake3::hash(object).as_bytes())
    }
}

impl HeaderHash {
    /// Hash of a header object as it lies in the store.
    pub fn of(object: &[u8]) -> Self {
        Self(*blake3::hash(object).as_bytes())
    }
}

/// Keys for heads of every key generation.
pub struct HeadKeys {
    /// What everything in this archive is bound to.
    pub origin: OriginId,
    /// Keys of generation 0, 1, and so on; the last is used for new heads.
    pub generations: Vec<AeadKey>,
    /// For drawing nonces.
    pub nonce: Zeroizing<[u8; 32]>,
}

impl HeadKeys {
    /// What is out of range in a head of a key generation that the header does not have.
    pub const NO_KEY: &str = "a key generation";

    /// Seals a head. `None` only when it is larger than a head may be.
    pub fn seal(&self, head: &Head, entropy: &mut dyn Entropy) -> Option<Vec<u8>> {
        let mut body = head.encode();
        let newest = self.generations.len().checked_sub(1)?;
        let key_generation = KeyGeneration(u32::try_from(newest).ok()?);
        let mut writer = Writer::new();
        writer.raw(MAGIC);
        writer.u16(VERSION);
        writer.u32(key_generation.0);
        let aad = self.aad(head.epoch, writer.as_bytes());
        let nonce = draw_nonce(&self.nonce, &aad, &body, entropy);
        let tag = self.generations.last()?.seal(&nonce, &aad, &mut body)?;
        writer.raw(&nonce);
        writer.raw(&body);
        writer.raw(&tag);
        let object = writer.into_bytes();
        (object.len() <= MAX_HEAD as usize).then_some(object)
    }

    /// Authenticates and reads the head that lies under the name of `epoch`.
    pub fn open(&self, epoch: Epoch, object: &[u8]) -> Result<Head> {
        let mut reader = Reader::new(WHAT, object);
        let front = reader.take(FRONT)?;
        let mut fields = Reader::new(WHAT, front);
        if fields.array::<8>()? != *MAGIC {
            return Err(FormatError::NotThis("a head of a Nacre archive"));
        }
        let version = fields.u16()?;
        if version != VERSION {
            return Err(FormatError::TooNew {
                what: WHAT,
                found: format!("format {version}"),
            });
        }
        let generation = usize::try_from(fields.u32()?).unwrap_or(usize::MAX);
        let key = self
            .generations
            .get(generation)
            .ok_or(FormatError::OutOfRange(Self::NO_KEY))?;
        let nonce: [u8; NONCE] = reader.array()?;
        let length = reader
            .remaining()
            .checked_sub(TAG)
            .ok_or(FormatError::Truncated(WHAT))?;
        let mut body = reader.take(length)?.to_vec();
        let tag = reader.array()?;
        key.open(WHAT, &nonce, &self.aad(epoch, front), &mut body, tag)?;
        let head = Head::parse(&body)?;
        if head.epoch == epoch {
            Ok(head)
        } else {
            Err(FormatError::Mismatch(WHAT))
        }
    }

    fn aad(&self, epoch: Epoch, front: &[u8]) -> Vec<u8> {
        let mut aad = Writer::new();
        aad.raw(b"nacre/1 head");
        aad.raw(&self.origin.0);
        aad.u64(epoch.0);
        aad.raw(front);
        aad.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Compression;
    use crate::ids::{ArchiveId, Generation};

    struct Stuck;

    impl Entropy for Stuck {
        fn fill(&mut self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    fn keys(first: u8) -> HeadKeys {
        let key = |byte| AeadKey::new(Zeroizing::new([byte; 32]));
        HeadKeys {
            origin: OriginId([1; 16]),
            generations: vec![key(9), key(first)],
            nonce: Zeroizing::new([3; 32]),
        }
    }

    #[test]
    fn a_head_opens_only_under_its_name_and_key() {
        let header = (Generation(1), HeaderHash([0; 32]));
        let head = Head::first(ArchiveId([1; 16]), header, Compression::None);
        let object = keys(2).seal(&head, &mut Stuck).unwrap();
        assert_eq!(keys(2).open(Epoch(1), &object), Ok(head));
        assert!(keys(2).open(Epoch(2), &object).is_err());
        assert!(keys(3).open(Epoch(1), &object).is_err());
        for length in 0..object.len() {
            assert!(keys(2).open(Epoch(1), &object[..length]).is_err());
        }
        for at in 0..object.len() {
            let mut altered = object.clone();
            altered[at] ^= 0x10;
            assert!(keys(2).open(Epoch(1), &altered).is_err(), "byte {at}");
        }
    }
}
