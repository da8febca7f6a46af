//! Every label under which a key is derived, in one place.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Secret;
use crate::ids::OriginId;

/// What a subkey of a master is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Items of kind chunk and patch.
    Data,
    /// All other items.
    Index,
    /// The head.
    Head,
    /// The header's MAC.
    HeaderMac,
    /// The older masters in the header.
    Keyring,
    /// Drawing nonces.
    Nonce,
    /// What dom0 remembers of the master.
    Pin,
    /// Chunk ids of a dedup domain; the context is the domain's id.
    ChunkId,
    /// Digests of nodes and records.
    Digest,
}

impl Label {
    fn text(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Index => "index",
            Self::Head => "head",
            Self::HeaderMac => "header-mac",
            Self::Keyring => "keyring",
            Self::Nonce => "nonce",
            Self::Pin => "pin",
            Self::ChunkId => "chunk-id",
            Self::Digest => "digest",
        }
    }

    /// The subkey of a master with this label.
    pub(crate) fn subkey(
        self,
        master: &Secret,
        origin: OriginId,
        context: &[u8],
    ) -> Zeroizing<[u8; 32]> {
        let info = [b"nacre/1 ", self.text().as_bytes(), &[0], context];
        hkdf(&origin.0, master.bytes(), &info)
    }
}

/// HKDF-SHA256 with 32 bytes of output; `info` is given in parts.
pub(crate) fn hkdf(salt: &[u8], secret: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(Some(salt), secret).expand_multi_info(info, &mut *key);
    // HKDF refuses only outputs longer than 255 hashes; a key of zeros must never be used for it.
    assert!(expanded.is_ok(), "32 bytes are too long for HKDF");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hkdf_is_the_one_of_the_standard() {
        // RFC 5869, section 2, with the two HMACs written out.
        let key = hkdf(b"salt", &[0x0b; 32], &[b"in", b"fo"]);
        let extract = crate::hash::hmac_sha256_of(&salt(), &[0x0b; 32]);
        let expand = crate::hash::hmac_sha256_of(&extract, b"info\x01");
        assert_eq!(*key, expand);
    }

    /// A short HMAC key is the same as one filled up with zeros.
    fn salt() -> [u8; 32] {
        let mut salt = [0; 32];
        salt[..4].copy_from_slice(b"salt");
        salt
    }

    #[test]
    fn no_two_labels_give_one_key() {
        let all = [
            Label::Data,
            Label::Index,
            Label::Head,
            Label::HeaderMac,
            Label::Keyring,
            Label::Nonce,
            Label::Pin,
            Label::ChunkId,
            Label::Digest,
        ];
        let master = Secret::new(Zeroizing::new([1; 32]));
        let keys: std::collections::BTreeSet<[u8; 32]> = all
            .iter()
            .map(|label| *label.subkey(&master, OriginId([2; 16]), &[]))
            .collect();
        assert_eq!(keys.len(), all.len());
    }
}
