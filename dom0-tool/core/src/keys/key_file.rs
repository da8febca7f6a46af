//! Key files: one line of text that opens an archive without a passphrase (doc/FORMAT.md, section 4).

use thiserror::Error;
use zeroize::Zeroizing;

use super::Secret;

const PREFIX: &str = "nacre-key-1:";

/// A text is no key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyFileError {
    /// It does not begin as key files do.
    #[error("this is not a key file of nacre: it does not begin with \"nacre-key-1:\"")]
    NotThis,
    /// What follows is not 64 hex digits.
    #[error(
        "this key file is damaged: 64 hex digits must follow \"nacre-key-1:\"; take another copy of it"
    )]
    Damaged,
}

impl Secret {
    /// The text of a key file, with its end of line.
    pub fn to_key_file(&self) -> Zeroizing<String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // Room for all of it from the start: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(80));
        text.push_str(PREFIX);
        for byte in self.bytes() {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from(
                    DIGITS.get(usize::from(half)).copied().unwrap_or(b'?'),
                ));
            }
        }
        text.push('\n');
        text
    }

    /// Reads the text of a key file. White space around the line is allowed, and digits of either case.
    pub fn from_key_file(text: &[u8]) -> Result<Self, KeyFileError> {
        let digits = text
            .trim_ascii()
            .strip_prefix(PREFIX.as_bytes())
            .ok_or(KeyFileError::NotThis)?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let mut bytes = Zeroizing::new([0; 32]);
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(KeyFileError::Damaged);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (high, low) = hex(*high).zip(hex(*low)).ok_or(KeyFileError::Damaged)?;
            *byte = high << 4 | low;
        }
        Ok(Self::new(bytes))
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_file_is_read_back(bytes: [u8; 32]) {
            let text = Secret::new(Zeroizing::new(bytes)).to_key_file();
            prop_assert_eq!(text.len(), PREFIX.len() + 65);
            prop_assert_eq!(*Secret::from_key_file(text.as_bytes()).unwrap().bytes(), bytes);
            let loose = format!(" \r\n{}\r\n", text.trim_end().to_uppercase().replace("NACRE-KEY", "nacre-key"));
            prop_assert_eq!(*Secret::from_key_file(loose.as_bytes()).unwrap().bytes(), bytes);
        }

        #[test]
        fn any_bytes_are_a_key_file_or_an_error(bytes: Vec<u8>) {
            let _ = Secret::from_key_file(&bytes);
            let _ = Secret::from_key_file(&[PREFIX.as_bytes(), &bytes].concat());
        }
    }

    #[test]
    fn damage_is_told_from_another_kind_of_file() {
        let error = |text: &str| Secret::from_key_file(text.as_bytes()).unwrap_err();
        let digits = "0".repeat(64);
        assert_eq!(error(""), KeyFileError::NotThis);
        assert_eq!(error(&digits), KeyFileError::NotThis);
        assert_eq!(error(&format!("{PREFIX}{digits}0")), KeyFileError::Damaged);
        assert_eq!(
            error(&format!("{PREFIX}{}", &digits[1..])),
            KeyFileError::Damaged
        );
        assert_eq!(
            error(&format!("{PREFIX}g{}", &digits[1..])),
            KeyFileError::Damaged
        );
    }
}
