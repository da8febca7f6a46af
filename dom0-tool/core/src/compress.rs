//! zstd with contexts that are used again, and decoding that is bounded by the index.

use std::io::Cursor;

use zstd_safe::{CCtx, CParameter, DCtx, ResetDirective};

use crate::error::{FormatError, Result};
use crate::head::Compression;

/// Lowest and highest level that is accepted.
pub const LEVELS: std::ops::RangeInclusive<i32> = -100..=22;

/// What a zstd frame begins with (RFC 8878, section 3.1.1).
const FRAME_MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Compresses, or not, as it pays.
pub struct Encoder {
    context: Option<CCtx<'static>>,
}

/// Stored as it is, or as a zstd frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Stored,
    /// One zstd frame.
    Zstd,
}

impl Encoding {
    /// The byte that stands before the body.
    pub fn number(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Zstd => 1,
        }
    }
}

impl Encoder {
    /// An encoder for the given way.
    pub fn new(compression: Compression) -> Self {
        let context = match compression {
            Compression::None => None,
            Compression::Zstd(level) => new_context(level),
        };
        Self { context }
    }

    /// Appends `content` to `out`, compressed if that saves anything.
    pub fn encode(&mut self, content: &[u8], out: &mut Vec<u8>) -> Encoding {
        if let Some(context) = &mut self.context
            && compress(context, content, out).is_some()
        {
            return Encoding::Zstd;
        }
        out.extend_from_slice(content);
        Encoding::Stored
    }
}

fn new_context(level: i32) -> Option<CCtx<'static>> {
    let level = level.clamp(*LEVELS.start(), *LEVELS.end());
    let mut context = CCtx::try_create()?;
    context
        .set_parameter(CParameter::CompressionLevel(level))
        .ok()?;
    // The index knows the size, and the tag vouches for the content.
    context
        .set_parameter(CParameter::ContentSizeFlag(false))
        .ok()?;
    context
        .set_parameter(CParameter::ChecksumFlag(false))
        .ok()?;
    Some(context)
}

/// Appends a frame that is smaller than `content`; otherwise leaves `out` as it was.
fn compress(context: &mut CCtx<'static>, content: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    // A frame that saves less than a 64th is not worth decoding.
    let room = content.len().checked_sub(content.len() >> 6)?;
    out.reserve_exact(room);
    let mut cursor = Cursor::new(std::mem::take(out));
    cursor.set_position(start as u64);
    let written = context.compress2(&mut cursor, content).ok();
    *out = cursor.into_inner();
    match written {
        Some(written) if written < room => Some(()),
        _ => {
            out.truncate(start);
            // After a failure the context must forget the frame it had begun; without that it is of no further use, but not harmful.
            let _ = context.reset(ResetDirective::SessionOnly);
            None
        }
    }
}

/// Decodes.
pub struct Decoder {
    context: Option<DCtx<'static>>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder.
    pub fn new() -> Self {
        Self {
            context: DCtx::try_create(),
        }
    }

    /// Replaces `out` by what `body` decodes to, which must be exactly `raw_length` bytes.
    pub fn decode(
        &mut self,
        what: &'static str,
        encoding: u8,
        body: &[u8],
        raw_length: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if encoding == Encoding::Stored.number() {
            out.clear();
            out.extend_from_slice(body);
        } else if encoding == Encoding::Zstd.number() {
            // The library itself would also take several frames, and skip what is none.
            let one_frame = body.starts_with(&FRAME_MAGIC)
                && zstd_safe::find_frame_compressed_size(body) == Ok(body.len());
            if !one_frame {
                return Err(FormatError::NotDecodable(what));
            }
            // Memory that was used before for the same size is overwritten, not cleared first.
            out.resize(raw_length, 0);
            let decoded = self
                .context
                .as_mut()
                .and_then(|context| context.decompress(out.as_mut_slice(), body).ok());
            out.truncate(decoded.ok_or(FormatError::NotDecodable(what))?);
        } else {
            return Err(FormatError::OutOfRange(what));
        }
        if out.len() == raw_length {
            Ok(())
        } else {
            Err(FormatError::NotDecodable(what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(compression: Compression, content: &[u8]) -> (Encoding, usize) {
        let mut encoder = Encoder::new(compression);
        for _ in 0..2 {
            let mut out = b"front".to_vec();
            let encoding = encoder.encode(content, &mut out);
            assert_eq!(&out[..5], b"front");
            let mut back = Vec::new();
            Decoder::new()
                .decode("x", encoding.number(), &out[5..], content.len(), &mut back)
                .unwrap();
            assert_eq!(back, content);
        }
        let mut out = Vec::new();
        let encoding = encoder.encode(content, &mut out);
        (encoding, out.len())
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut output = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut output);
        output
    }

    #[test]
    fn what_does_not_shrink_is_stored() {
        let text = b"all work and no play ".repeat(1000);
        assert_eq!(round(Compression::Zstd(3), &text).0, Encoding::Zstd);
        assert_eq!(
            round(Compression::None, &text),
            (Encoding::Stored, text.len())
        );
        for length in [0, 1, 100, 131_072] {
            let noise = noise(length);
            assert_eq!(
                round(Compression::Zstd(3), &noise),
                (Encoding::Stored, length)
            );
        }
        for level in [-50, 1, 19] {
            assert_eq!(round(Compression::Zstd(level), &text).0, Encoding::Zstd);
        }
    }

    #[test]
    fn anything_but_one_frame_is_refused() {
        let mut frame = Vec::new();
        Encoder::new(Compression::default()).encode(&[7; 5000], &mut frame);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
        let mut back = Vec::new();
        let mut decode =
            |body: &[u8], length| Decoder::new().decode("x", 1, body, length, &mut back);
        for length in [5000, 10_000] {
            assert!(decode(&[&frame[..], &frame].concat(), length).is_err());
            assert!(decode(&[&frame[..], &skippable].concat(), length).is_err());
            assert!(decode(&[&skippable[..], &frame].concat(), length).is_err());
            assert!(decode(&[&frame[..], &[0]].concat(), length).is_err());
        }
        assert!(decode(&skippable, 0).is_err());
        assert!(decode(&[], 0).is_err());
        assert!(decode(&frame, 5000).is_ok());
    }

    #[test]
    fn a_bomb_takes_no_more_memory_than_the_index_promised() {
        let mut bomb = Vec::new();
        Encoder::new(Compression::default()).encode(&vec![0; 16 << 20], &mut bomb);
        let mut back = Vec::new();
        let refused = Decoder::new().decode("x", 1, &bomb, 4096, &mut back);
        assert_eq!(refused, Err(FormatError::NotDecodable("x")));
        assert!(back.capacity() <= 4096);
    }

    #[test]
    fn a_frame_must_yield_exactly_what_the_index_says() {
        let mut out = Vec::new();
        Encoder::new(Compression::default()).encode(&[7; 5000], &mut out);
        let mut back = Vec::new();
        let mut decode = |encoding, body: &[u8], length| {
            Decoder::new().decode("x", encoding, body, length, &mut back)
        };
        assert_eq!(decode(1, &out, 5000), Ok(()));
        assert!(decode(1, &out, 4999).is_err());
        assert!(decode(1, &out, 5001).is_err());
        assert!(decode(1, &out[1..], 5000).is_err());
        assert!(decode(0, &[1, 2], 3).is_err());
        assert!(decode(2, &out, 5000).is_err());
    }
}
