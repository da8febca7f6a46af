//! Items: encoded, sealed, and bound to the place for which they were written (doc/FORMAT.md, section 5).

use zeroize::Zeroizing;

use crate::aead::{AeadKey, NONCE, TAG, draw_nonce};
pub use crate::compress::{Decoder, Encoder};
use crate::entropy::Entropy;
use crate::error::{FormatError, Result};
use crate::head::Compression;
use crate::ids::{KeyGeneration, OriginId, PackName};

/// Nonce, encoding and tag: by so much an item is longer than its encoded body.
pub const OVERHEAD: usize = NONCE + 1 + TAG;
/// Where the body begins.
const BODY: usize = NONCE + 1;

/// What an item is. Its number is part of what it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ItemKind {
    /// The content of a chunk.
    Chunk = 1,
    /// The blocks by which a chunk differs from its base.
    Patch = 2,
    /// A node of an index tree.
    Node = 3,
    /// A record that is too large for its leaf.
    Record = 4,
    /// A pack's directory.
    Directory = 5,
    /// A pack's trailer.
    Trailer = 6,
}

impl ItemKind {
    /// What errors call it.
    pub fn what(self) -> &'static str {
        match self {
            Self::Chunk => "a chunk",
            Self::Patch => "a patch",
            Self::Node => "an index node",
            Self::Record => "a record",
            Self::Directory => "a pack directory",
            Self::Trailer => "a pack trailer",
        }
    }

    fn is_data(self) -> bool {
        matches!(self, Self::Chunk | Self::Patch)
    }
}

/// Where an item was first written: to this it is bound, wherever it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemAddress {
    /// The key generation of that pack.
    pub key_generation: KeyGeneration,
    /// What it is.
    pub kind: ItemKind,
    /// That pack.
    pub pack: PackName,
    /// Offset in that pack.
    pub offset: u64,
}

impl ItemAddress {
    /// The associated data.
    fn aad(&self, origin: &OriginId) -> [u8; 57] {
        const LABEL: &[u8; 12] = b"nacre/1 item";
        let mut aad = [0; 57];
        let parts: [&[u8]; 6] = [
            LABEL,
            &origin.0,
            &self.key_generation.0.to_le_bytes(),
            &[self.kind as u8],
            &self.pack.0,
            &self.offset.to_le_bytes(),
        ];
        for (byte, from) in aad.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = *from;
        }
        aad
    }
}

/// An item while it is made: nonce, encoding, body, tag, one behind the other in memory that is used again.
#[derive(Debug, Default)]
pub struct ItemBuffer {
    bytes: Vec<u8>,
}

impl ItemBuffer {
    /// An item in memory that was used before.
    pub fn from_spent(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Encodes `content` as the item's body. Its sealed length is known from here on.
    pub fn encode(&mut self, encoder: &mut Encoder, content: &[u8]) {
        self.bytes.clear();
        self.bytes.resize(BODY, 0);
        let encoding = encoder.encode(content, &mut self.bytes);
        if let Some(byte) = self.bytes.get_mut(NONCE) {
            *byte = encoding.number();
        }
        self.bytes.extend_from_slice(&[0; TAG]);
    }

    /// Takes `content` as the item's body as it is.
    pub fn store(&mut self, content: &[u8]) {
        self.encode(&mut Encoder::new(Compression::None), content);
    }

    /// Length in the pack. Bodies are at most 16 MiB, so it fits.
    pub fn sealed_length(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    /// The sealed item.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The sealed item.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Seals items with the newest keys.
pub struct Sealer {
    origin: OriginId,
    key_generation: KeyGeneration,
    data: AeadKey,
    index: AeadKey,
    nonce: Zeroizing<[u8; 32]>,
}

impl Sealer {
    /// A sealer with the subkeys of one master.
    pub fn new(
        origin: OriginId,
        key_generation: KeyGeneration,
        data: AeadKey,
        index: AeadKey,
        nonce: Zeroizing<[u8; 32]>,
    ) -> Self {
        Self {
            origin,
            key_generation,
            data,
            index,
            nonce,
        }
    }

    /// The key generation that new packs get.
    pub fn key_generation(&self) -> KeyGeneration {
        self.key_generation
    }

    /// Seals an encoded item for its place.
    pub fn seal(
        &self,
        item: &mut ItemBuffer,
        kind: ItemKind,
        pack: PackName,
        offset: u64,
        entropy: &mut dyn Entropy,
    ) {
        let address = ItemAddress {
            key_generation: self.key_generation,
            kind,
            pack,
            offset,
        };
        let aad = address.aad(&self.origin);
        let Some((nonce, rest)) = item.bytes.split_first_chunk_mut::<NONCE>() else {
            return;
        };
        let Some((payload, tag)) = rest.split_last_chunk_mut::<TAG>() else {
            return;
        };
        *nonce = draw_nonce(&self.nonce, &aad, payload, entropy);
        let key = if kind.is_data() {
            &self.data
        } else {
            &self.index
        };
        match key.seal(nonce, &aad, payload) {
            Some(made) => *tag = made,
            // Cannot happen at these sizes; what is not sealed must not leave the machine as text.
            None => payload.fill(0),
        }
    }
}

/// Keys to open the items of one key generation.
pub struct OpeningKeys {
    /// For chunks and patches.
    pub data: AeadKey,
    /// For everything else.
    pub index: AeadKey,
}

/// Opens items of every key generation.
pub struct Opener {
    origin: OriginId,
    generations: Vec<OpeningKeys>,
}

impl Opener {
    /// An opener with the keys of generation 0, 1, and so on.
    pub fn new(origin: OriginId, generations: Vec<OpeningKeys>) -> Self {
        Self {
            origin,
            generations,
        }
    }

    /// Number of key generations.
    pub fn generations(&self) -> usize {
        self.generations.len()
    }

    /// Authenticates an item, then decodes it into `out`: exactly `raw_length` bytes. Uses up `sealed` as working memory.
    pub fn open(
        &self,
        address: &ItemAddress,
        sealed: &mut [u8],
        raw_length: usize,
        decoder: &mut Decoder,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let what = address.kind.what();
        let cut = FormatError::Truncated(what);
        let (nonce, rest) = sealed
            .split_first_chunk_mut::<NONCE>()
            .ok_or_else(|| cut.clone())?;
        let (payload, tag) = rest
            .split_last_chunk_mut::<TAG>()
            .ok_or_else(|| cut.clone())?;
        let generation = usize::try_from(address.key_generation.0).unwrap_or(usize::MAX);
        let keys = self
            .generations
            .get(generation)
            .ok_or(FormatError::OutOfRange("a key generation"))?;
        let key = if address.kind.is_data() {
            &keys.data
        } else {
            &keys.index
        };
        key.open(what, nonce, &address.aad(&self.origin), payload, *tag)?;
        let (encoding, body) = payload.split_first().ok_or(cut)?;
        decoder.decode(what, *encoding, body, raw_length, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stuck;

    impl Entropy for Stuck {
        fn fill(&mut self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    fn key(byte: u8) -> AeadKey {
        AeadKey::new(Zeroizing::new([byte; 32]))
    }

    fn sealer() -> Sealer {
        let generation = KeyGeneration(1);
        let nonce = Zeroizing::new([5; 32]);
        Sealer::new(OriginId([9; 16]), generation, key(1), key(2), nonce)
    }

    fn opener() -> Opener {
        let keys = |data, index| OpeningKeys {
            data: key(data),
            index: key(index),
        };
        Opener::new(OriginId([9; 16]), vec![keys(3, 4), keys(1, 2)])
    }

    fn address() -> ItemAddress {
        ItemAddress {
            key_generation: KeyGeneration(1),
            kind: ItemKind::Chunk,
            pack: PackName([6; 16]),
            offset: 77,
        }
    }

    fn sealed(content: &[u8]) -> Vec<u8> {
        let mut item = ItemBuffer::default();
        item.encode(&mut Encoder::new(Compression::default()), content);
        let length = item.sealed_length() as usize;
        let at = address();
        sealer().seal(&mut item, at.kind, at.pack, at.offset, &mut Stuck);
        assert_eq!(item.as_bytes().len(), length);
        item.into_bytes()
    }

    fn open(address: &ItemAddress, mut bytes: Vec<u8>, length: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        opener().open(address, &mut bytes, length, &mut Decoder::new(), &mut out)?;
        Ok(out)
    }

    #[test]
    fn an_item_opens_only_at_its_place() {
        let content = b"content ".repeat(1000);
        let item = sealed(&content);
        assert_eq!(
            open(&address(), item.clone(), content.len()),
            Ok(content.clone())
        );
        let elsewhere = [
            ItemAddress {
                offset: 78,
                ..address()
            },
            ItemAddress {
                pack: PackName([0; 16]),
                ..address()
            },
            ItemAddress {
                kind: ItemKind::Patch,
                ..address()
            },
            ItemAddress {
                kind: ItemKind::Node,
                ..address()
            },
            ItemAddress {
                key_generation: KeyGeneration(0),
                ..address()
            },
            ItemAddress {
                key_generation: KeyGeneration(2),
                ..address()
            },
        ];
        for address in elsewhere {
            assert!(open(&address, item.clone(), content.len()).is_err());
        }
        assert!(open(&address(), item[1..].to_vec(), content.len()).is_err());
        assert!(open(&address(), Vec::new(), content.len()).is_err());
        assert!(open(&address(), item, content.len() - 1).is_err());
    }

    #[test]
    fn randomness_that_repeats_does_not_repeat_a_nonce() {
        let (one, other) = (sealed(b"one text"), sealed(b"other text"));
        assert_ne!(one[..NONCE], other[..NONCE]);
    }

    #[test]
    fn associated_data_is_used_up_exactly() {
        let aad = address().aad(&OriginId([9; 16]));
        assert_eq!(aad[49..], 77_u64.to_le_bytes());
        assert_eq!(&aad[..12], b"nacre/1 item");
    }
}
