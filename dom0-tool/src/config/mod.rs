//! `/etc/nacre/nacre.ini`: long options with values of one's own.
//!
//! Sections in brackets; `key = value`; further values of a key on indented lines; `#` or `;` begins a comment line. The
//! reader is our own because the usual crates keep no line numbers and take a line without `=` for a part of the next
//! one, and a backup tool must not guess what its configuration means.

mod check;
mod error;
mod nearest;
mod reader;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use check::{Checked, OptionKind, Setting, TargetSection, Words, check};
pub use error::ConfigError;
pub use nearest::nearest;
pub use reader::{Entry, Section, read};

/// Where the ini is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/nacre/nacre.ini";

/// Largest ini that is read, in bytes.
const LARGEST: u64 = 256 << 10;

/// What an ini holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ini {
    /// The file, or nothing where there is none.
    pub path: Option<PathBuf>,
    /// Its sections.
    pub sections: Vec<Section>,
}

/// Reads the ini. The default one may be missing, a named one may not.
pub fn load(named: Option<&Path>) -> Result<Ini, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_PATH));
    let unreadable = |error: &std::io::Error| ConfigError::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok(Ini::default());
        }
        Err(error) => return Err(unreadable(&error)),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            largest: LARGEST,
        });
    }
    Ok(Ini {
        path: Some(path.to_owned()),
        sections: read(path, &bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_must_be_there_and_must_be_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.ini");
        assert!(matches!(
            load(Some(&path)),
            Err(ConfigError::Unreadable { .. })
        ));
        std::fs::write(&path, vec![b'\n'; 256 << 10]).unwrap();
        assert_eq!(load(Some(&path)).unwrap().sections.len(), 0);
        std::fs::write(&path, vec![b'\n'; (256 << 10) + 1]).unwrap();
        assert!(matches!(
            load(Some(&path)),
            Err(ConfigError::TooLarge { .. })
        ));
    }
}
