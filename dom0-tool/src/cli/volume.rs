//! Names of volumes, and where a volume's content comes from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::error::BadValue;

/// Longest name, in bytes; the format's limit.
const LONGEST: usize = 255;

/// The name of a volume in the archive (`vm-work-private`, `appvms/mail/private.img`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

impl VolumeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VolumeName {
    type Err = BadValue;

    /// A name may become a path below a folder: it must not lead out of it, and must print as itself.
    fn from_str(name: &str) -> Result<Self, BadValue> {
        let refused = |why: &str| Err(BadValue::new(format!("a volume's name {why}")));
        if name.is_empty() {
            return refused("must not be empty");
        }
        if name.len() > LONGEST {
            return refused("has at most 255 bytes");
        }
        if name.starts_with('/') {
            return refused("does not begin with '/' (for a file's path see --import-other-from)");
        }
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refused("has no empty, '.' or '..' part between slashes");
        }
        if !is_printable(name) {
            return refused("has no control or invisible characters");
        }
        Ok(Self(name.to_owned()))
    }
}

/// Every character has a shape of its own on a terminal, or is the ordinary space inside.
pub(super) fn is_printable(text: &str) -> bool {
    let hidden = |character: char| {
        character.is_control()
            || (character.is_whitespace() && character != ' ')
            || matches!(u32::from(character),
                0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
                | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164
                | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0xe000..=0xf8ff
                | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0x10_ffff)
    };
    !text.starts_with(' ') && !text.ends_with(' ') && !text.chars().any(hidden)
}

/// `--import-other-from=NAME:|:PATH`: a volume's content is read from a file or device that is no snapshot of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The volume in the archive.
    pub volume: VolumeName,
    /// What is read.
    pub path: PathBuf,
}

impl FromStr for Import {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Some((name, path)) = text.split_once(":|:") else {
            return Err(BadValue::new(
                "write the volume's name, ':|:' and the path, quoted against the shell: 'name:|:/path'",
            ));
        };
        if path.is_empty() {
            return Err(BadValue::new("the path behind ':|:' is empty"));
        }
        Ok(Self {
            volume: name.parse()?,
            path: PathBuf::from(path),
        })
    }
}

/// A remark about a volume, at most 1024 bytes on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(pub String);

impl FromStr for Description {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.len() > 1024 || !is_printable(text) {
            return Err(BadValue::new(
                "a description is one line of at most 1024 bytes without control or invisible characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_folder_or_fool_a_reader_are_refused() {
        let long = "x".repeat(256);
        for bad in [
            "",
            "/",
            "/a",
            "a//b",
            "..",
            "a/../b",
            "a/.",
            "a/",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}",
            " a",
            "a ",
            "\u{1b}[2J",
            long.as_str(),
        ] {
            assert!(bad.parse::<VolumeName>().is_err(), "{bad:?}");
        }
        for good in [
            "vm-work-private",
            "appvms/mail/private.img",
            "..a",
            "a b",
            "größe",
            &long[..255],
        ] {
            assert!(good.parse::<VolumeName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_import_is_split_at_its_first_mark() {
        let import: Import = "a:|:/x:|:y".parse().unwrap();
        assert_eq!(import.volume.as_str(), "a");
        assert_eq!(import.path, PathBuf::from("/x:|:y"));
        for bad in ["a", "a:|:", ":|:/x", "../a:|:/x"] {
            assert!(bad.parse::<Import>().is_err(), "{bad}");
        }
    }
}
