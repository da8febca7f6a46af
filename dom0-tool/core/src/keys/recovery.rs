//! Recovery codes: 256 bits to print and type in again, with a checksum against slips (doc/FORMAT.md, section 4).

use thiserror::Error;
use zeroize::Zeroizing;

use super::Secret;

/// Crockford's base32: no I, L, O and U.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols of the secret: 260 bits, the last four of them zero.
const SECRET_SYMBOLS: usize = 52;
/// Symbols of the checksum: 20 bits.
const CHECK_SYMBOLS: usize = 4;
const ALL_SYMBOLS: usize = SECRET_SYMBOLS + CHECK_SYMBOLS;
const GROUP: usize = 4;

/// A text is no recovery code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecoveryCodeError {
    /// A symbol that is never part of a code; which one, counted from 1 without hyphens and spaces.
    #[error(
        "'{found}' (symbol {position}) cannot be part of a recovery code; look at group {group} again"
    )]
    Symbol {
        /// What was found.
        found: char,
        /// Where, counted from 1.
        position: usize,
        /// In which group of four, counted from 1.
        group: usize,
    },
    /// Too many or too few symbols.
    #[error(
        "a recovery code has 56 symbols in 14 groups, this one has {0}; look for a group left out or typed twice"
    )]
    Length(usize),
    /// The checksum does not fit.
    #[error(
        "this recovery code has a slip in it: its last group does not fit the rest; compare it with the paper, symbol by symbol"
    )]
    Checksum,
}

impl Secret {
    /// The code to print, in 14 groups of four.
    pub fn to_recovery_code(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(ALL_SYMBOLS.saturating_mul(2)));
        for (position, value) in self.symbols().iter().enumerate() {
            if position > 0 && position.is_multiple_of(GROUP) {
                text.push('-');
            }
            let symbol = SYMBOLS.get(usize::from(*value)).copied().unwrap_or(b'?');
            text.push(char::from(symbol));
        }
        text
    }

    /// Reads a code as somebody typed it.
    pub fn from_recovery_code(text: &str) -> Result<Self, RecoveryCodeError> {
        let mut values = Zeroizing::new([0_u8; ALL_SYMBOLS]);
        let typed = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let mut count = 0_usize;
        for (index, found) in typed.enumerate() {
            count = index.saturating_add(1);
            let value = value(found).ok_or(RecoveryCodeError::Symbol {
                found: printable(found),
                position: count,
                group: (index / GROUP).saturating_add(1),
            })?;
            if let Some(place) = values.get_mut(index) {
                *place = value;
            }
        }
        if count != ALL_SYMBOLS {
            return Err(RecoveryCodeError::Length(count));
        }
        let secret = Self::new(from_symbols(&values));
        // Comparing all symbols also finds bits behind the 256th that are not zero.
        if *secret.symbols() == *values {
            Ok(secret)
        } else {
            Err(RecoveryCodeError::Checksum)
        }
    }

    /// The values of all symbols: secret, then checksum.
    fn symbols(&self) -> Zeroizing<[u8; ALL_SYMBOLS]> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"nacre/1 recovery").update(self.bytes());
        let check = hasher.finalize();
        let mut values = Zeroizing::new([0; ALL_SYMBOLS]);
        let (front, back) = values.split_at_mut(SECRET_SYMBOLS);
        to_symbols(self.bytes(), front);
        to_symbols(check.as_bytes(), back);
        values
    }
}

/// Cuts bytes into groups of five bits, most significant first, zeros behind the end.
fn to_symbols(bytes: &[u8], values: &mut [u8]) {
    let bit = |index: usize| {
        let byte = bytes.get(index / 8).copied().unwrap_or(0);
        u8::from(byte & (0x80 >> (index % 8)) != 0)
    };
    for (position, value) in values.iter_mut().enumerate() {
        let first = position.saturating_mul(5);
        *value = (first..first.saturating_add(5)).fold(0, |value, index| value << 1 | bit(index));
    }
}

/// The first 256 bits of the symbols.
fn from_symbols(values: &[u8; ALL_SYMBOLS]) -> Zeroizing<[u8; 32]> {
    let bit = |index: usize| {
        let value = values.get(index / 5).copied().unwrap_or(0);
        u8::from(value & (0x10 >> (index % 5)) != 0)
    };
    let mut bytes = Zeroizing::new([0; 32]);
    for (position, byte) in bytes.iter_mut().enumerate() {
        let first = position.saturating_mul(8);
        *byte = (first..first.saturating_add(8)).fold(0, |value, index| value << 1 | bit(index));
    }
    bytes
}

/// Value of a symbol as people write it.
fn value(typed: char) -> Option<u8> {
    let symbol = match typed.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        symbol => symbol,
    };
    let index = SYMBOLS.iter().position(|s| char::from(*s) == symbol)?;
    u8::try_from(index).ok()
}

/// What may stand in an error message.
fn printable(c: char) -> char {
    if c.is_ascii_graphic() { c } else { '?' }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(bytes: [u8; 32]) -> Secret {
        Secret::new(Zeroizing::new(bytes))
    }

    #[test]
    fn a_code_has_fourteen_groups_of_four() {
        let code = secret([0; 32]).to_recovery_code();
        assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [4; 14]);
        assert!(code.starts_with("0000-0000"));
    }

    #[test]
    fn errors_say_where_to_look() {
        let code = secret([7; 32]).to_recovery_code();
        let read = |text: &str| Secret::from_recovery_code(text).unwrap_err();
        assert_eq!(read(&code[5..]), RecoveryCodeError::Length(52));
        assert_eq!(read(""), RecoveryCodeError::Length(0));
        let mut typed = code.to_string();
        typed.replace_range(6..7, "U");
        let expected = RecoveryCodeError::Symbol {
            found: 'U',
            position: 6,
            group: 2,
        };
        assert_eq!(read(&typed), expected);
        assert_eq!(read(&"0".repeat(56)), RecoveryCodeError::Checksum);
    }

    #[test]
    fn a_slip_in_one_symbol_is_noticed() {
        let code = secret([0x5a; 32]).to_recovery_code().replace('-', "");
        for at in 0..ALL_SYMBOLS {
            for other in SYMBOLS.iter().map(|symbol| char::from(*symbol)) {
                let mut typed = code.clone();
                typed.replace_range(at..=at, &other.to_string());
                let read = Secret::from_recovery_code(&typed);
                assert_eq!(read.is_ok(), typed == code, "{at} {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_code_is_read_back_however_it_is_typed(bytes: [u8; 32]) {
            let code = secret(bytes).to_recovery_code();
            let sloppy = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
            for typed in [code.to_string(), sloppy, code.replace('-', "").replace('1', "I")] {
                prop_assert_eq!(*Secret::from_recovery_code(&typed).unwrap().bytes(), bytes);
            }
        }

        #[test]
        fn any_text_is_a_code_or_an_error(text: String) {
            let _ = Secret::from_recovery_code(&text);
        }
    }
}
