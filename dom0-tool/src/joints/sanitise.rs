//! The sanitiser: what may reach a terminal of what somebody else wrote.

/// Text from outside made safe to print on one line, at most `limit` characters long.
///
/// Letters, digits, punctuation and symbols of any script stay. Control characters (also those of C1), line and
/// paragraph separators, characters that change the direction of text or have no width, tags, variation selectors,
/// unassigned planes' private characters and invalid UTF-8 become `\u{fffd}`; runs of white space become one space.
pub fn sanitise(untrusted: &[u8], limit: usize) -> String {
    let mut clean = String::new();
    let mut count = 0;
    let mut space_due = false;
    // No more is decoded than can be needed: four bytes are the longest character.
    let window = untrusted.len().min(limit.saturating_mul(8).max(64));
    let text = String::from_utf8_lossy(untrusted.get(..window).unwrap_or(untrusted));
    for character in text.chars() {
        if matches!(character, ' ' | '\t' | '\n' | '\r') {
            space_due = !clean.is_empty();
            continue;
        }
        let wanted = 1 + usize::from(space_due);
        if count + wanted > limit {
            clean.push('…');
            break;
        }
        if std::mem::take(&mut space_due) {
            clean.push(' ');
        }
        clean.push(if is_harmless(character) {
            character
        } else {
            char::REPLACEMENT_CHARACTER
        });
        count += wanted;
    }
    clean
}

/// Prints as itself, has a width, and moves nothing around it.
pub fn is_harmless(character: char) -> bool {
    let hidden = matches!(u32::from(character),
        0x00..=0x1f | 0x7f..=0x9f // C0, DEL, C1
        | 0xad // soft hyphen
        | 0x34f // grapheme joiner
        | 0x61c // Arabic letter mark
        | 0x115f..=0x1160 | 0x3164 | 0xffa0 // Hangul fillers
        | 0x17b4..=0x17b5 // Khmer inherent vowels
        | 0x180b..=0x180f // Mongolian selectors
        | 0x200b..=0x200f // zero width, direction marks
        | 0x2028..=0x202e // separators, embeddings and overrides
        | 0x2060..=0x206f // joiners, invisible operators, isolates
        | 0x2800 // blank Braille
        | 0xfe00..=0xfe0f // variation selectors
        | 0xfeff // byte order mark
        | 0xfff0..=0xfffb // specials
        | 0xfffe..=0xffff
        | 0xe000..=0xf8ff // private use
        | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a // shorthand and music controls
        | 0xe0000..=0x10_ffff // tags, selectors, private planes
    );
    !hidden && !is_odd_space(character)
}

/// White space other than the ordinary.
fn is_odd_space(character: char) -> bool {
    character.is_whitespace() && character != ' '
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_passes() {
        assert_eq!(
            sanitise(b"\x1b[31mred\x1b[0m", 80),
            "\u{fffd}[31mred\u{fffd}[0m"
        );
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            if character.is_control() {
                assert!(!is_harmless(character), "{character:?}");
            }
        }
        for hidden in
            "\u{202e}\u{2066}\u{200b}\u{200d}\u{feff}\u{ad}\u{e0041}\u{fe0f}\u{2028}".chars()
        {
            assert!(!is_harmless(hidden), "{hidden:?}");
        }
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "no space left (os error 28)",
            "Größe: 5 µm",
            "日本語",
            "путь/к/файлу",
        ] {
            assert_eq!(sanitise(text.as_bytes(), 80), text);
        }
    }

    #[test]
    fn long_text_is_cut_and_lines_are_joined() {
        assert_eq!(sanitise(b"  a\r\n\tb \n", 80), "a b");
        assert_eq!(
            sanitise(&vec![b'x'; 100_000], 10),
            format!("{}…", "x".repeat(10))
        );
        assert_eq!(sanitise(b"\xff\xfe", 10), "\u{fffd}\u{fffd}");
    }
}
