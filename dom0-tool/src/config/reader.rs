//! The grammar: sections, keys, values, each with the line where it stands.

use std::path::Path;

use super::error::ConfigError;

/// `[name]` and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What stands in the brackets, without spaces around.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its keys, in order.
    pub entries: Vec<Entry>,
}

/// `key = value`, and values on indented lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its values, in order; a single empty one for `key =` with nothing behind or below.
    pub values: Vec<String>,
}

/// Reads the text of an ini. Total: any bytes give sections or an error with its line.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Section>, ConfigError> {
    let mut sections: Vec<Section> = Vec::new();
    for (index, raw) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = index.saturating_add(1);
        let wrong = |what: &str, remedy: &str| ConfigError::Line {
            place: format!("{}:{line}", path.display()),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        };
        let text = std::str::from_utf8(raw)
            .map_err(|_| wrong("the line is not UTF-8", "save the file as UTF-8"))?;
        let text = text.trim_end();
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(wrong("the line has control characters", "remove them"));
        }
        let body = text.trim_start();
        if body.is_empty() || body.starts_with(['#', ';']) {
            continue;
        }
        if body.len() < text.len() {
            // The grammar that the users of Wyng know: indented lines continue the key above.
            let entry = sections
                .last_mut()
                .and_then(|section| section.entries.last_mut())
                .ok_or_else(|| {
                    wrong(
                        "an indented line is a further value, but there is no key above it",
                        "begin it at the line's start",
                    )
                })?;
            if entry.values.iter().all(String::is_empty) {
                entry.values.clear();
            }
            entry.values.push(body.to_owned());
        } else if let Some(head) = body.strip_prefix('[') {
            let name = head
                .strip_suffix(']')
                .ok_or_else(|| wrong("the section's bracket is not closed", "write [NAME]"))?;
            let name = name.trim().to_owned();
            if sections.iter().any(|section| section.name == name) {
                return Err(wrong(
                    &format!("the section [{name}] stands there twice"),
                    "put both together",
                ));
            }
            sections.push(Section {
                name,
                line,
                entries: Vec::new(),
            });
        } else {
            let (key, value) = body.split_once('=').ok_or_else(|| {
                wrong(
                    "the line is neither [section] nor key = value",
                    "write key = value; begin comments with #",
                )
            })?;
            let key = key.trim().to_owned();
            let section = sections.last_mut().ok_or_else(|| {
                wrong(
                    "a key stands before any section",
                    "put [var-global-default] above it",
                )
            })?;
            if section.entries.iter().any(|entry| entry.key == key) {
                return Err(wrong(
                    &format!("the key {key} stands there twice"),
                    "put further values on indented lines below the first",
                ));
            }
            section.entries.push(Entry {
                key,
                line,
                values: vec![value.trim().to_owned()],
            });
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn try_read(text: &str) -> Result<Vec<Section>, String> {
        read(Path::new("x.ini"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_on_indented_lines_belong_to_the_key_above() {
        let sections = try_read(
            "# hello\r\n[var-global-default]\r\ndest = file:/x\r\nvolex =\r\n  a\r\n\r\n  ; no\r\n\tb = c\r\ntag = x,y\r\n z\r\n",
        )
        .unwrap();
        let entries = &sections[0].entries;
        assert_eq!(entries[0].values, ["file:/x"]);
        assert_eq!(entries[1].values, ["a", "b = c"]);
        assert_eq!(entries[2].values, ["x,y", "z"]);
        assert_eq!((entries[1].line, entries[2].line), (4, 9));
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, line) in [
            ("[a]\nhello\n", 2),
            ("x = 1\n", 1),
            ("[a\n", 1),
            ("\n\n  x\n", 3),
            ("[a]\nx=1\nx=2\n", 3),
            ("[a]\n[a]\n", 2),
            ("[a]\nx=\u{1b}[0m\n", 2),
        ] {
            let error = try_read(text).unwrap_err();
            assert!(error.starts_with(&format!("x.ini:{line}: ")), "{error}");
        }
        assert!(read(Path::new("x"), b"[a]\nx=\xff\n").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(Path::new("x"), &bytes);
        }

        #[test]
        fn any_text_of_its_own_characters_is_read_or_refused(text in "[\\[\\]a= #;\n\t]{0,80}") {
            if let Ok(sections) = try_read(&text) {
                for entry in sections.iter().flat_map(|section| &section.entries) {
                    prop_assert!(!entry.values.is_empty());
                }
            }
        }
    }
}
