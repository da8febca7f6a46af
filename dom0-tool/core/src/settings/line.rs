//! Lines of words: words apart by one blank, escaped so that any text is a word (doc/FORMAT.md, section 11).

use crate::error::{FormatError, Result};

/// Longest line in bytes: a qube's notes are at most 256 000 bytes, and escaping at most doubles them.
const LONGEST: usize = 1 << 20;

/// Writes a line.
pub fn write(words: &[&str], out: &mut String) {
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        if word.is_empty() {
            out.push_str("\\e");
        }
        for character in word.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                ' ' => out.push_str("\\s"),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
    }
    out.push('\n');
}

/// Reads a line without its end. Only what [`write`] writes is accepted.
pub fn read(what: &'static str, line: &str) -> Result<Vec<String>> {
    if line.len() > LONGEST {
        return Err(FormatError::OutOfRange(what));
    }
    line.split(' ').map(|word| unescape(what, word)).collect()
}

fn unescape(what: &'static str, word: &str) -> Result<String> {
    if word == "\\e" {
        return Ok(String::new());
    }
    let wrong = FormatError::OutOfRange(what);
    let mut clean = String::with_capacity(word.len());
    let mut characters = word.chars();
    while let Some(character) = characters.next() {
        clean.push(match character {
            '\\' => match characters.next() {
                Some('\\') => '\\',
                Some('s') => ' ',
                Some('n') => '\n',
                _ => return Err(wrong),
            },
            other => other,
        });
    }
    if clean.is_empty() {
        return Err(wrong);
    }
    Ok(clean)
}
