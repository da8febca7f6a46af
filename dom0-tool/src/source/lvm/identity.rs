//! What recognises one snapshot of a pool for ever (DESIGN 5).

use super::metadata::Device;

const VERSION: u8 = 1;
const UUID: usize = 64;

/// The identity of a thin snapshot, as the session stores it. All numbers are little-endian:
///
/// ```text
/// u8 version 1, u32 thin device id, u64 transaction of creation, u32 time of creation, u64 mapped blocks, u64 bytes of the volume, uuid of the pool
/// ```
///
/// Thin ids are used again after a removal; the transaction tells the new device from the old one. A write to the snapshot shows in the times of
/// its mappings, a discard in the number of mapped blocks, which never grows back without a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub thin_id: u32,
    pub transaction: u64,
    pub created: u32,
    pub mapped: u64,
    pub size: u64,
    pub pool: String,
}

impl Identity {
    /// That of a device of the pool.
    pub fn of(pool: &str, thin_id: u32, size: u64, device: &Device) -> Self {
        Self {
            thin_id,
            transaction: device.transaction,
            created: device.created,
            mapped: device.mapped,
            size,
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
        let (size, pool) = rest.split_first_chunk::<8>()?;
        if pool.is_empty() || pool.len() > UUID {
            return None;
        }
        Some(Self {
            thin_id: u32::from_le_bytes(*thin_id),
            transaction: u64::from_le_bytes(*transaction),
            created: u32::from_le_bytes(*created),
            mapped: u64::from_le_bytes(*mapped),
            size: u64::from_le_bytes(*size),
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
            pool: "uuid".to_owned(),
        };
        let bytes = identity.encode();
        assert_eq!(Identity::parse(&bytes), Some(identity));
        for length in 0..=33 {
            assert_eq!(Identity::parse(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Identity::parse(&[9; 60]), None);
    }
}
