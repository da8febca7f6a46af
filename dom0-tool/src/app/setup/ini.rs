//! The ini after `setup`: what is in there stays, and a section for the target comes behind it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::archive::{Error, Result};
use crate::cli::Target;
use crate::config::{self, Section};

/// What becomes of an ini.
pub enum Change {
    /// It names the target already.
    None,
    /// There were no settings; this is the whole of it.
    New(String),
    /// There were some; this is the whole of it, with a section more.
    Added(String),
}

/// Whether the ini at `path` names this target.
pub fn has_target(path: &Path, name: &str) -> Result<bool> {
    let (_, sections) = read(path)?;
    Ok(names(&sections, name))
}

fn names(sections: &[Section], name: &str) -> bool {
    let header = format!("target {name}");
    sections.iter().any(|section| section.name == header)
}

/// Text and sections of the ini; one that is not there is empty.
fn read(path: &Path) -> Result<(String, Vec<Section>)> {
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
    Ok((text, sections))
}

/// The ini at `path` with a target of this name.
pub fn with_target(
    path: &Path,
    name: &str,
    target: &Target,
    key_file: Option<&Path>,
) -> Result<Change> {
    let (text, sections) = read(path)?;
    if names(&sections, name) {
        return Ok(Change::None);
    }
    let key = key_file.map_or_else(String::new, |path| {
        format!("key-file = {}\n", path.display())
    });
    let own = format!("[target {name}]\ndest = {target}\n{key}");
    if sections.iter().all(|section| section.entries.is_empty()) {
        let head = "# Written by `nacre setup`; nacre.ini(5) says what else can stand here.\n\n[var-global-default]";
        return Ok(Change::New(format!(
            "{head}\ndest = {name}\ndedup = 1\n\n{own}"
        )));
    }
    Ok(Change::Added(format!("{}\n\n{own}", text.trim_end())))
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
        with_target(&path, "usb", &target, Some(Path::new("/etc/nacre/usb.key"))).unwrap()
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
