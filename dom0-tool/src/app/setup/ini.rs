//! The ini after `setup`: what is in there stays, and a section for the target comes behind it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::archive::{Error, Result};
use crate::cli::Target;
use crate::config::{self, Section};

/// Settings for all targets.
const DEFAULTS: &str = "var-global-default";

/// What becomes of an ini.
pub enum Change {
    /// It names the target already, and a key for it where one is wanted.
    None,
    /// There were no settings; this is the whole of it.
    New(String),
    /// There were some; this is the whole of it, with a section more.
    Added(String),
    /// It named the target but no key; this is the whole of it, with a line more.
    Key(String),
}

/// How a target that the ini names is opened when nobody is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Not at all.
    None,
    /// With this key file.
    File(PathBuf),
    /// With what a command prints.
    Command,
}

/// An ini as it is.
pub struct Ini {
    text: String,
    sections: Vec<Section>,
}

impl Ini {
    /// Reads it; one that is not there is empty.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                let text = format!("{} cannot be read ({error})", path.display());
                return Err(Error::State(text));
            }
        };
        let sections =
            config::read(path, text.as_bytes()).map_err(|error| Error::State(error.to_string()))?;
        Ok(Self { text, sections })
    }

    fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    fn target(&self, name: &str) -> Option<&Section> {
        self.section(&format!("target {name}"))
    }

    /// How a target is opened; `None`: it is not named.
    pub fn key(&self, name: &str) -> Option<Key> {
        let own = self.target(name)?;
        let value = |section: &Section, key: &str| {
            let entry = section.entries.iter().find(|entry| entry.key == key)?;
            let value = entry.values.first()?;
            (!value.is_empty()).then(|| value.clone())
        };
        for section in [Some(own), self.section(DEFAULTS)].into_iter().flatten() {
            if let Some(path) = value(section, "key-file") {
                return Some(Key::File(path.into()));
            }
            if value(section, "passcmd").is_some() {
                return Some(Key::Command);
            }
        }
        Some(Key::None)
    }

    /// The ini with a target of this name, and with a key file for it.
    pub fn with_target(&self, name: &str, target: &Target, key_file: Option<&Path>) -> Change {
        let text = &self.text;
        let key = key_file.map(|path| format!("key-file = {}\n", path.display()));
        match (self.target(name), self.key(name), &key) {
            (Some(section), Some(Key::None), Some(key)) => {
                let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
                let header_ends = lines
                    .get(section.line.saturating_sub(1))
                    .is_some_and(|line| line.ends_with('\n'));
                let key = if header_ends {
                    key.clone()
                } else {
                    format!("\n{key}")
                };
                lines.insert(section.line.min(lines.len()), &key);
                return Change::Key(lines.concat());
            }
            (Some(_), ..) => return Change::None,
            (None, ..) => {}
        }
        let own = format!(
            "[target {name}]\ndest = {target}\n{}",
            key.unwrap_or_default()
        );
        if self
            .sections
            .iter()
            .all(|section| section.entries.is_empty())
        {
            let head = "# Written by `nacre setup`; nacre.ini(5) says what else can stand here.";
            return Change::New(format!(
                "{head}\n\n[{DEFAULTS}]\ndest = {name}\ndedup = 1\n\n{own}"
            ));
        }
        Change::Added(format!("{}\n\n{own}", text.trim_end()))
    }
}

/// Writes it so that it is the old one or the new one, whatever happens.
pub fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let path = std::path::absolute(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let next = path.with_extension("ini.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, &path)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(before: &str) -> Change {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nacre.ini");
        fs::write(&path, before).unwrap();
        let target = "file:/mnt/x".parse().unwrap();
        let key = Path::new("/etc/nacre/usb.key");
        Ini::read(&path)
            .unwrap()
            .with_target("usb", &target, Some(key))
    }

    #[test]
    fn settings_that_are_there_stay() {
        let Change::Added(text) = changed("[var-global-default]\n# mine\ndest = nas\n") else {
            panic!("added to");
        };
        assert_eq!(
            text,
            "[var-global-default]\n# mine\ndest = nas\n\n[target usb]\ndest = file:/mnt/x\nkey-file = /etc/nacre/usb.key\n"
        );
        let Change::None = changed(&text) else {
            panic!("added twice");
        };
    }

    #[test]
    fn a_target_that_opens_only_with_a_person_gets_the_key_file_and_others_stay() {
        let named = "[target usb]\n# mine\ndest = file:/mnt/x\n\n[target nas]\ndest = file:/n\n";
        let Change::Key(text) = changed(named) else {
            panic!("a key");
        };
        assert_eq!(
            text,
            named.replacen("usb]\n", "usb]\nkey-file = /etc/nacre/usb.key\n", 1)
        );
        for (section, line) in [
            ("[target usb]\ndest = file:/x", "passcmd = pass"),
            (
                "[target usb]\ndest = file:/x\n[var-global-default]",
                "key-file = /k",
            ),
        ] {
            let text = format!("{section}\n{line}\n");
            assert!(matches!(changed(&text), Change::None), "{text}");
        }
        // A header as the last thing there is.
        let Change::Key(text) = changed("[target usb]") else {
            panic!("a key");
        };
        assert_eq!(text, "[target usb]\nkey-file = /etc/nacre/usb.key\n");
    }

    #[test]
    fn comments_alone_are_no_settings() {
        for before in ["", "# nothing\n", "[var-global-default]\n#dest = x\n"] {
            let Change::New(text) = changed(before) else {
                panic!("{before}");
            };
            assert!(
                text.contains("dest = usb\n") && text.contains("[target usb]\n"),
                "{text}"
            );
        }
    }
}
