//! What recognises one snapshot of a pool for ever (DESIGN 5).

use super::listing::Volume;
use super::metadata::Device;

const VERSION: u8 = 2;
const UUID: usize = 64;

/// The identity of a thin snapshot, as the session stores it. All numbers are little-endian:
///
/// ```text
/// u8 version 2, u32 thin device id, u64 transaction of creation, u32 time of creation, u64 mapped blocks, u64 bytes of the volume,
/// u8 length of LVM's uuid of the volume, that uuid, uuid of the pool
/// ```
///
/// Thin ids are used again after a removal; the transaction tells the new device from the old one. All of these numbers go back with a disk that is put
/// back to an earlier image, and are given out a second time then: LVM's uuid, which it draws for every volume, is another in every history. A write to
/// the snapshot shows in the times of its mappings, a discard in the number of mapped blocks, which never grows back without a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub thin_id: u32,
    pub transaction: u64,
    pub created: u32,
    pub mapped: u64,
    pub size: u64,
    pub volume: String,
    pub pool: String,
}

impl Identity {
    /// That of a device of the pool.
    pub fn of(pool: &str, volume: &Volume, thin_id: u32, device: &Device) -> Self {
        Self {
            thin_id,
            transaction: device.transaction,
            created: device.created,
            mapped: device.mapped,
            size: volume.size(),
            volume: volume.uuid.clone(),
            pool: pool.to_owned(),
        }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.thin_id.to_le_bytes());
        out.extend_from_slice(&self.transaction.to_le_bytes());
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&self.mapped.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.push(u8::try_from(self.volume.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(self.volume.as_bytes());
        out.extend_from_slice(self.pool.as_bytes());
        out
    }

    /// Takes bytes apart; `None` if they are not of this kind: of another storage, or a later version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (thin_id, rest) = rest.split_first_chunk::<4>()?;
        let (transaction, rest) = rest.split_first_chunk::<8>()?;
        let (created, rest) = rest.split_first_chunk::<4>()?;
        let (mapped, rest) = rest.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first()?;
        let (volume, pool) = rest.split_at_checked(usize::from(*length))?;
        if [volume, pool]
            .iter()
            .any(|uuid| uuid.is_empty() || uuid.len() > UUID)
        {
            return None;
        }
        Some(Self {
            thin_id: u32::from_le_bytes(*thin_id),
            transaction: u64::from_le_bytes(*transaction),
            created: u32::from_le_bytes(*created),
            mapped: u64::from_le_bytes(*mapped),
            size: u64::from_le_bytes(*size),
            volume: std::str::from_utf8(volume).ok()?.to_owned(),
            pool: std::str::from_utf8(pool).ok()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let identity = Identity {
            thin_id: 1,
            transaction: 2,
            created: 3,
            mapped: 4,
            size: 5,
            volume: "its uuid".to_owned(),
            pool: "uuid".to_owned(),
        };
        let bytes = identity.encode();
        assert_eq!(Identity::parse(&bytes), Some(identity));
        for length in 0..=42 {
            assert_eq!(Identity::parse(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Identity::parse(&[9; 60]), None);
    }
}
