//! Doors for the fuzzer: all parsers of a pool's foreign bytes.

use super::btree::{BLOCK, NODE_SALT, crc32c, u64_at};
use super::identity::Identity;
use super::listing::Listing;
use super::metadata::{BlockReader, MAGIC, Metadata, SUPERBLOCK_SALT};
use super::names::OurName;
use super::status::PoolStatus;
use crate::joints::{SourceError, SourceErrorKind};

/// Metadata of arbitrary bytes, with numbers and checksums put right, behind which the fuzzer would never come.
struct Arbitrary<'a>(&'a [u8]);

impl BlockReader for Arbitrary<'_> {
    fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let end = || SourceError::new(SourceErrorKind::Unreadable, "fuzz", "");
        for (at, block) in (first..).zip(buffer.chunks_exact_mut(BLOCK)) {
            let start = usize::try_from(at)
                .ok()
                .and_then(|at| at.checked_mul(BLOCK));
            let bytes = start.and_then(|start| self.0.get(start..start.checked_add(BLOCK)?));
            block.copy_from_slice(bytes.ok_or_else(end)?);
            block[8..16].copy_from_slice(&at.to_le_bytes());
            let is_superblock = u64_at(block, 32) == Some(MAGIC);
            let salt = if is_superblock {
                SUPERBLOCK_SALT
            } else {
                NODE_SALT
            };
            let sum = crc32c(&block[4..]) ^ salt;
            block[..4].copy_from_slice(&sum.to_le_bytes());
        }
        Ok(())
    }

    fn place(&self) -> String {
        "fuzz".to_owned()
    }
}

/// Reads everything that can be read of a pool's metadata, whatever the bytes are.
pub fn check_metadata(bytes: &[u8]) -> Result<(), SourceError> {
    let metadata = Metadata::open(Arbitrary(bytes))?;
    let devices = [0, 1, 2, u32::MAX].map(|id| metadata.device(id).ok().flatten());
    let mut last = None;
    for device in devices.into_iter().flatten() {
        metadata.mapped(&device)?;
        metadata.was_written(&device)?;
        metadata.difference(last.as_ref().unwrap_or(&device), &device)?;
        last = Some(device);
    }
    Ok(())
}

/// Takes apart what LVM and device-mapper say, and an identity.
pub fn check_reports(bytes: &[u8]) {
    if let Ok(listing) = Listing::parse(bytes, "pool") {
        let outside = |volume| listing.has_outside_origin(volume);
        let _ = listing.in_pool().filter(|volume| outside(volume)).count();
        let _ = listing.snapshots("00000000", None);
    }
    if let Some(identity) = Identity::parse(bytes) {
        assert_eq!(identity.encode(), bytes, "an identity has one form");
    }
    let text = String::from_utf8_lossy(bytes);
    if let Some(status) = PoolStatus::parse(&text) {
        let _ = status.check_room("vg/pool");
    }
    let _ = OurName::parse(&text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, mut image in proptest::collection::vec(0_u8..4, 4 * BLOCK)) {
            check_reports(&bytes);
            for block in image.chunks_exact_mut(BLOCK).take(2) {
                block[32..40].copy_from_slice(&MAGIC.to_le_bytes());
                block[56..64].copy_from_slice(&1_u64.to_le_bytes());
                block[336..340].copy_from_slice(&128_u32.to_le_bytes());
                for at in [320, 328] {
                    block[at] = block[at] % 2 + 2;
                    block[at + 1..at + 8].fill(0);
                }
            }
            let _ = check_metadata(&image);
        }
    }
}
