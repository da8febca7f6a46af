//! Values of options that are neither names, sessions nor targets.

use std::num::NonZeroU64;
use std::str::FromStr;

use super::error::BadValue;

/// `--compression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Nothing is compressed.
    None,
    /// Zstandard at a level of 1 to 19.
    Zstd {
        /// The level.
        level: u8,
    },
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd { level: 3 }
    }
}

impl FromStr for Compression {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (kind, level) = match text.split_once(':') {
            Some((kind, level)) => (kind, Some(level)),
            None => (text, None),
        };
        match (kind, level) {
            ("none", None) => Ok(Self::None),
            ("zstd", None) => Ok(Self::default()),
            ("zstd", Some(level)) => match level.parse() {
                Ok(level @ 1..=19) => Ok(Self::Zstd { level }),
                _ => Err(BadValue::new("zstd has levels from 1 to 19")),
            },
            ("zlib" | "bz2", _) => Err(BadValue::new(format!(
                "{kind} is slower than zstd and packs no better, so no archive is made with it; use zstd:3"
            ))),
            _ => Err(BadValue::new("use zstd, zstd:LEVEL or none")),
        }
    }
}

/// `--limit`: bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub NonZeroU64);

impl FromStr for Rate {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || BadValue::new("give bytes a second, as in 500K, 2M or 1G; 1K is the least");
        let units = [('K', 10), ('M', 20), ('G', 30)];
        let unit = units
            .into_iter()
            .find_map(|(letter, bits)| Some((text.strip_suffix(letter)?, bits)));
        let (digits, bits) = unit.unwrap_or((text, 0));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        let bytes = digits.parse::<u64>().ok();
        let bytes = bytes.and_then(|bytes| bytes.checked_mul(1 << bits));
        let bytes = bytes.filter(|bytes| *bytes >= 1024).ok_or_else(bad)?;
        NonZeroU64::new(bytes).map(Self).ok_or_else(bad)
    }
}

/// `--hashtype`: how the content of a chunk is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashType {
    /// Keyed BLAKE3.
    #[default]
    Blake3,
    /// HMAC-SHA256.
    HmacSha256,
}

impl FromStr for HashType {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "blake3" => Ok(Self::Blake3),
            "hmac-sha256" => Ok(Self::HmacSha256),
            "blake2b" => Err(BadValue::new(
                "blake2b gave way to its successor; use blake3",
            )),
            _ => Err(BadValue::new("use blake3 or hmac-sha256")),
        }
    }
}

/// `--encrypt`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// XChaCha20-Poly1305 under a key of the archive's own.
    #[default]
    On,
    /// Under a published key: detects accidents, not attackers.
    Off,
}

impl FromStr for Encryption {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            // Wyng's names for its ways to draw nonces; here there is one way.
            "on" | "xchacha20-dgr" | "xchacha20-msr" | "xchacha20-ct" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(BadValue::new("use on or off")),
        }
    }
}

/// `--authmin`: how long the unlocked key is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remember {
    /// What is remembered is forgotten, and nothing new is kept.
    Forget,
    /// Nothing is kept; what is remembered from before may be used.
    Never,
    /// So many minutes, 1 to 60.
    Minutes(u8),
}

impl Default for Remember {
    fn default() -> Self {
        Self::Minutes(5)
    }
}

impl FromStr for Remember {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse::<i8>() {
            Ok(-1) => Ok(Self::Forget),
            Ok(0) => Ok(Self::Never),
            Ok(minutes @ 1..=60) => Ok(Self::Minutes(minutes.unsigned_abs())),
            _ => Err(BadValue::new(
                "give minutes from 1 to 60, 0 to remember nothing, -1 to forget",
            )),
        }
    }
}

/// A name that somebody gave to a key, or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
            return Err(BadValue::new(
                "a key's name has 1 to 64 bytes without control characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "on" | "1" => Ok(Self(true)),
            "off" | "0" => Ok(Self(false)),
            _ => Err(BadValue::new("use on or off")),
        }
    }
}

/// `--chunk-factor`: chunks of 64 KiB x 2^(n-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkFactor(u8);

impl ChunkFactor {
    /// The factor, 1 to 6.
    pub fn get(self) -> u8 {
        self.0
    }

    /// Bytes in a chunk: 64 KiB to 2 MiB.
    pub fn chunk_size(self) -> u32 {
        0x8000_u32 << self.0
    }
}

impl Default for ChunkFactor {
    fn default() -> Self {
        Self(2)
    }
}

impl FromStr for ChunkFactor {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse() {
            Ok(factor @ 1..=6) => Ok(Self(factor)),
            _ => Err(BadValue::new("give a number from 1 (64 KiB) to 6 (2 MiB)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_range_are_refused() {
        assert_eq!("zstd:19".parse(), Ok(Compression::Zstd { level: 19 }));
        assert_eq!("zstd".parse(), Ok(Compression::Zstd { level: 3 }));
        for bad in ["zstd:0", "zstd:20", "zstd:", "none:1", "lz4", ""] {
            assert!(bad.parse::<Compression>().is_err(), "{bad}");
        }
        for old in ["zlib", "zlib:4", "bz2:9"] {
            let why = old.parse::<Compression>().unwrap_err().0;
            assert!(why.contains("zstd:3"), "{why}");
        }
        for bad in ["-2", "61", "x", ""] {
            assert!(bad.parse::<Remember>().is_err(), "{bad}");
        }
        for bad in ["0", "7", "1.5"] {
            assert!(bad.parse::<ChunkFactor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_second_chunk_factor_is_128_kib() {
        assert_eq!(ChunkFactor::default().chunk_size(), 128 << 10);
        assert_eq!("1".parse::<ChunkFactor>().unwrap().chunk_size(), 64 << 10);
        assert_eq!("6".parse::<ChunkFactor>().unwrap().chunk_size(), 2 << 20);
    }

    #[test]
    fn old_names_of_encryption_mean_on() {
        for name in ["xchacha20-dgr", "xchacha20-msr", "xchacha20-ct", "on"] {
            assert_eq!(name.parse(), Ok(Encryption::On));
        }
        assert!("aes".parse::<Encryption>().is_err());
    }
}
