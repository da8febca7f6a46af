//! Argon2id for passphrases: parameters are hostile input, checked before any memory is taken.

use argon2::{Algorithm, Argon2, Params, Version};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};

/// Least memory, in KiB.
const MIN_MEMORY: u32 = 64 << 10;
/// Most memory, in KiB.
const MAX_MEMORY: u32 = 1 << 20;
/// Most passes.
const MAX_PASSES: u32 = 16;
/// Most lanes.
const MAX_LANES: u32 = 4;

/// Cost of trying one passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Params {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// The passphrase could not be stretched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KdfError {
    /// The system did not give the memory.
    #[error(
        "the passphrase needs {0} MiB of free memory to be checked; close something, or use the key file or recovery code"
    )]
    NoMemory(u64),
}

impl Argon2Params {
    /// Memory in KiB (64 MiB to 1 GiB), passes (1 to 16) and lanes (1 to 4); `None` outside of these.
    pub fn new(memory: u32, passes: u32, lanes: u32) -> Option<Self> {
        let allowed = (MIN_MEMORY..=MAX_MEMORY).contains(&memory)
            && (1..=MAX_PASSES).contains(&passes)
            && (1..=MAX_LANES).contains(&lanes);
        allowed.then_some(Self {
            memory,
            passes,
            lanes,
        })
    }

    /// The default memory of 256 MiB and one lane with so many passes, held between 1 and 16. The caller measures how many take about
    /// a second.
    pub fn with_passes(passes: u32) -> Self {
        Self {
            memory: 256 << 10,
            passes: passes.clamp(1, MAX_PASSES),
            lanes: 1,
        }
    }

    /// The cheapest parameters that are allowed.
    pub fn floor() -> Self {
        Self {
            memory: MIN_MEMORY,
            passes: 1,
            lanes: 1,
        }
    }

    /// Memory that [`Self::run`] takes, in bytes. To be held against the free memory first.
    pub fn memory_needed(&self) -> u64 {
        u64::from(self.memory).saturating_mul(1024)
    }

    /// Number of passes over the memory.
    pub fn passes(&self) -> u32 {
        self.passes
    }

    /// Stretches a passphrase. Takes [`Self::memory_needed`] for as long as it runs, and wipes it.
    pub fn run(&self, passphrase: &[u8], salt: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, KdfError> {
        let no_memory = || KdfError::NoMemory(u64::from(self.memory / 1024));
        let params =
            Params::new(self.memory, self.passes, self.lanes, Some(32)).map_err(|_| no_memory())?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, &mut *key)
            .map_err(|_| no_memory())?;
        Ok(key)
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.memory);
        writer.u32(self.passes);
        writer.u32(self.lanes);
    }

    /// Reads the three numbers of a slot; `None` when all are 0.
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        let (memory, passes, lanes) = (reader.u32()?, reader.u32()?, reader.u32()?);
        if (memory, passes, lanes) == (0, 0, 0) {
            return Ok(None);
        }
        Self::new(memory, passes, lanes)
            .map(Some)
            .ok_or(FormatError::OutOfRange("the cost of a passphrase"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_outside_floor_and_ceiling_are_refused() {
        for (memory, passes, lanes) in [
            (MIN_MEMORY - 1, 1, 1),
            (MAX_MEMORY + 1, 1, 1),
            (u32::MAX, 1, 1),
            (MIN_MEMORY, 0, 1),
            (MIN_MEMORY, 17, 1),
            (MIN_MEMORY, 1, 0),
            (MIN_MEMORY, 1, 5),
        ] {
            assert_eq!(Argon2Params::new(memory, passes, lanes), None);
        }
        assert_eq!(Argon2Params::floor().memory_needed(), 64 << 20);
        assert_eq!(Argon2Params::with_passes(99).passes(), 16);
    }
}
