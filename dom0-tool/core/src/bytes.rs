//! Readers and writers of the format's primitive values (doc/FORMAT.md, section 1). Total: any byte string gives a value or an error.

use crate::error::{FormatError, Result};

/// Longest form of a varint.
const VARINT_MAX: u32 = 10;

/// Reads one structure from a byte string, front to back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Begins to read `bytes` as `what`, the name that errors will give.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }

    /// Number of bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Name of the structure being read.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(FormatError::Truncated(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(FormatError::Truncated(self.what))?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// An unsigned LEB128 number in its shortest form.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for position in 0..VARINT_MAX {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            let shift = position.saturating_mul(7);
            let last = byte & 0x80 == 0;
            if shift == 63 && bits > 1 || last && bits == 0 && position > 0 {
                return Err(FormatError::OutOfRange(self.what));
            }
            value |= bits << shift;
            if last {
                return Ok(value);
            }
        }
        Err(FormatError::OutOfRange(self.what))
    }

    /// A varint that must fit the narrower type.
    pub fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T> {
        T::try_from(self.varint()?).map_err(|_| FormatError::OutOfRange(self.what))
    }

    /// A signed number in zigzag form.
    pub fn zigzag(&mut self) -> Result<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg())
    }

    /// A varint count of list members, each of which takes at least `each` bytes (`each` > 0): never more than the input can hold, so
    /// that memory may be taken for them.
    pub fn count(&mut self, each: usize) -> Result<usize> {
        let count: usize = self.narrow()?;
        if count > self.rest.len().checked_div(each).unwrap_or(0) {
            return Err(FormatError::Truncated(self.what));
        }
        Ok(count)
    }

    /// A length and that many bytes, at most `limit`.
    pub fn blob(&mut self, limit: usize) -> Result<&'a [u8]> {
        let length: usize = self.narrow()?;
        if length > limit {
            return Err(FormatError::OutOfRange(self.what));
        }
        self.take(length)
    }

    /// A blob of printable UTF-8, at most `limit` bytes.
    pub fn text(&mut self, limit: usize) -> Result<&'a str> {
        let bytes = self.blob(limit)?;
        let text = std::str::from_utf8(bytes).map_err(|_| FormatError::OutOfRange(self.what))?;
        if is_text(text) {
            Ok(text)
        } else {
            Err(FormatError::OutOfRange(self.what))
        }
    }

    /// Ends reading; an error when bytes are left over.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(FormatError::TrailingBytes(self.what))
        }
    }
}

/// Whether a string may stand in the format as text: no control characters.
pub fn is_text(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Writes one structure. Lengths that the format forbids are the caller's mistake, not checked here.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty structure.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Unsigned LEB128 in its shortest form.
    pub fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.u8(0x80 | value.to_le_bytes()[0]);
            value >>= 7;
        }
        self.u8(value.to_le_bytes()[0]);
    }

    /// A length or count as varint.
    pub fn count(&mut self, value: usize) {
        // usize is at most 64 bits wide on every machine Rust knows.
        self.varint(value as u64);
    }

    /// Zigzag form of a signed number.
    pub fn zigzag(&mut self, value: i64) {
        self.varint((value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned());
    }

    /// A length and the bytes.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// A length and the text.
    pub fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn longer_forms_of_a_varint_are_refused() {
        for bytes in [
            &[0x80, 0x00][..],
            &[0xff, 0x80, 0x00],
            &[0xff; 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ] {
            assert_eq!(
                Reader::new("x", bytes).varint(),
                Err(FormatError::OutOfRange("x"))
            );
        }
        assert_eq!(
            Reader::new("x", &[0x80]).varint(),
            Err(FormatError::Truncated("x"))
        );
    }

    #[test]
    fn a_count_never_promises_more_than_the_input_holds() {
        let mut writer = Writer::new();
        writer.varint(u64::MAX);
        assert!(Reader::new("x", writer.as_bytes()).count(1).is_err());
        assert!(Reader::new("x", &[3, 0, 0]).count(1).is_err());
        assert_eq!(Reader::new("x", &[2, 0, 0]).count(1), Ok(2));
    }

    proptest! {
        #[test]
        fn numbers_are_read_back(unsigned: u64, signed: i64) {
            let mut writer = Writer::new();
            writer.varint(unsigned);
            writer.zigzag(signed);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new("x", &bytes);
            prop_assert_eq!(reader.varint(), Ok(unsigned));
            prop_assert_eq!(reader.zigzag(), Ok(signed));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn what_is_read_is_in_its_only_form(bytes: Vec<u8>) {
            let mut reader = Reader::new("x", &bytes);
            if let Ok(value) = reader.varint() {
                let mut writer = Writer::new();
                writer.varint(value);
                prop_assert_eq!(&bytes[..bytes.len() - reader.remaining()], writer.as_bytes());
            }
        }
    }
}
