//! What names and values from an archive may be. Whatever is refused here is named, and never sent to qubesd.

use crate::joints::sanitise::is_harmless;
use crate::qubes::restore::what::{MARK, OURS};

/// Largest text that one call of the Admin API takes, with room for its header.
const LARGEST_TEXT: usize = 60_000;
/// Largest value of a property.
const LARGEST_VALUE: usize = 4096;

/// A name that qubesd takes for a new qube (`qubes.vm.validate_name`).
pub fn is_qube_name(name: &str) -> bool {
    let well = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let reserved = ["none", "default", "dom0", "domain-0"];
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 31
        && name.chars().all(well)
        && !name.ends_with("-dm")
        && !reserved.contains(&name.to_ascii_lowercase().as_str())
}

/// A property's name.
pub fn is_property(name: &str) -> bool {
    let well = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    is_word(name, 64, well)
}

/// A property's value: one line that hides nothing.
pub fn is_value(value: &str) -> bool {
    value.len() <= LARGEST_VALUE && value.chars().all(is_harmless)
}

/// A feature's name: the characters of qrexec.
pub fn is_feature(name: &str) -> bool {
    let well = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    is_word(name, 200, well)
}

/// A feature's value: qubesd takes printable ASCII only.
pub fn is_feature_value(value: &str) -> bool {
    value.len() <= LARGEST_TEXT && value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// A tag.
pub fn is_tag(name: &str) -> bool {
    is_word(name, 200, |c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// A tag that qubesd gives by itself: who made the qube, who shows its windows and plays its sound.
pub fn is_tag_of_qubesd(name: &str) -> bool {
    let prefixes = ["created-by-", "guivm-", "audiovm-"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// A tag that says that somebody is restoring: never taken from an archive.
pub fn is_mark(name: &str) -> bool {
    name == MARK || name == OURS || name.starts_with("backup-restore-")
}

/// A label's name.
pub fn is_label(name: &str) -> bool {
    is_word(name, 32, |c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// A label's colour: `0xRRGGBB`.
pub fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix("0x");
    digits.is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Firewall rules: each a line of printable ASCII that begins with its action.
pub fn is_firewall(rules: &str) -> bool {
    let well = |line: &str| {
        line.starts_with("action=") && line.bytes().all(|byte| (0x20..0x7f).contains(&byte))
    };
    rules.len() <= LARGEST_TEXT && rules.lines().all(well)
}

/// Notes: text of several lines.
pub fn is_notes(text: &str) -> bool {
    text.len() <= LARGEST_TEXT
        && text
            .chars()
            .all(|c| is_harmless(c) || c == '\n' || c == '\t')
}

/// A word of a device's name or option.
pub fn is_device_word(word: &str) -> bool {
    is_word(word, 200, |c| {
        c.is_ascii_alphanumeric() || "_.:@*+-".contains(c)
    })
}

/// The value of a device's option.
pub fn is_device_value(value: &str) -> bool {
    let well = |c: char| c.is_ascii_graphic() && !"'\"\\".contains(c);
    value.len() <= 200 && value.chars().all(well)
}

fn is_word(text: &str, longest: usize, well: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.len() <= longest && text.chars().all(well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_qubesd_takes_pass() {
        for good in ["work", "a.b_c-d", "Work2", &"x".repeat(31)] {
            assert!(is_qube_name(good), "{good}");
        }
        let long = "x".repeat(32);
        for bad in [
            "", "2x", "dom0", "none", "Domain-0", "x-dm", "a b", "../x", "a/b", "ü", "-x", &long,
        ] {
            assert!(!is_qube_name(bad), "{bad}");
        }
    }

    #[test]
    fn no_value_can_be_a_line_of_its_own_or_hide_something() {
        for bad in ["a\nb", "a\0b", "\u{1b}[2J", "a\u{202e}b"] {
            assert!(!is_value(bad) && !is_feature_value(bad), "{bad:?}");
        }
        assert!(is_value("größe") && !is_feature_value("größe"));
        assert!(is_firewall("action=accept proto=tcp\naction=drop\n"));
        assert!(!is_firewall("proto=tcp action=accept"));
        assert!(!is_firewall("action=accept\n\naction=drop"));
        assert!(is_notes("two\nlines\t!") && !is_notes("\u{1b}"));
    }

    #[test]
    fn what_names_a_device_is_one_word() {
        for good in ["00_1a.0", "0x8086:0x1::p060100", "*", "2-1"] {
            assert!(is_device_word(good), "{good}");
        }
        for bad in ["", "a b", "a'b", "a=b", "a/b"] {
            assert!(!is_device_word(bad), "{bad}");
        }
        assert!(is_device_value("True") && !is_device_value("it's"));
    }

    #[test]
    fn colours_labels_and_tags_have_their_form() {
        assert!(is_colour("0xcc0000") && !is_colour("cc0000") && !is_colour("0xcc000g"));
        assert!(is_label("my-label") && !is_label("my label"));
        assert!(is_tag("a-b_c") && !is_tag("a.b") && !is_tag(""));
        assert!(is_mark(MARK) && is_mark(OURS) && !is_mark("work"));
        assert!(is_tag_of_qubesd("created-by-dom0") && !is_tag_of_qubesd("created"));
    }
}
