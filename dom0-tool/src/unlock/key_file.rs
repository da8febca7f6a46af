//! Key files: 256 random bits as a line of text, for unattended runs (doc/FORMAT.md, section 4).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nacre_core::keys::Secret as KeySecret;
use zeroize::Zeroizing;

use crate::joints::Entropy;

/// Largest key file, in bytes: the key, and comments around it.
const LARGEST: usize = 4096;
/// What stands above the key.
const HEADER: &str = "# Key file of nacre. Whoever has it can read every archive made with it.\n\
                      # Keep it secret, and keep a copy away from this machine.\n";

/// Why a key file cannot be used.
#[derive(Debug)]
pub enum KeyFileError {
    /// It is not there.
    Missing(PathBuf),
    /// Something of that name is there already.
    Exists(PathBuf),
    /// Others can read or change it; says how.
    NotPrivate(PathBuf, &'static str),
    /// It does not hold a key.
    Malformed(PathBuf),
    /// The kernel refused.
    Io(PathBuf, std::io::Error),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "the key file {} is not there; correct the name, or bring back its copy",
                path.display()
            ),
            Self::Exists(path) => write!(
                f,
                "{} is there already and is not overwritten; give another name",
                path.display()
            ),
            Self::NotPrivate(path, why) => write!(
                f,
                "the key file {} is not private ({why}); make it yours, with mode 0600, and consider its key known",
                path.display()
            ),
            Self::Malformed(path) => write!(
                f,
                "{} is not a key file of nacre; it has one line of 64 hexadecimal digits",
                path.display()
            ),
            Self::Io(path, error) => write!(
                f,
                "the key file {} cannot be used ({error}); look at its folder and its rights",
                path.display()
            ),
        }
    }
}

impl std::error::Error for KeyFileError {}

/// Reads a key file. It must be a file of this user or of root that nobody else can read or write.
pub fn read_key_file(path: &Path) -> Result<KeySecret, KeyFileError> {
    let io = |error| KeyFileError::Io(path.to_owned(), error);
    // Not blocking, so that a FIFO of that name is an error and not a wait.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
            _ => io(error),
        })?;
    let found = file.metadata().map_err(io)?;
    let not_private = |why| Err(KeyFileError::NotPrivate(path.to_owned(), why));
    if !found.is_file() {
        return Err(KeyFileError::Malformed(path.to_owned()));
    }
    if found.uid() != 0 && found.uid() != rustix::process::geteuid().as_raw() {
        return not_private("it belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        return not_private("others may read or write it");
    }
    let mut text = Zeroizing::new(Vec::with_capacity(LARGEST + 1));
    file.take(LARGEST as u64 + 1)
        .read_to_end(&mut text)
        .map_err(io)?;
    parse(&text).ok_or_else(|| KeyFileError::Malformed(path.to_owned()))
}

/// The line of a key file; empty lines and comments around it.
fn parse(text: &[u8]) -> Option<KeySecret> {
    if text.len() > LARGEST {
        return None;
    }
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let (line, None) = (lines.next()?, lines.next()) else {
        return None;
    };
    KeySecret::from_key_file(line).ok()
}

/// Draws a key and writes it to a new file of mode 0600. When this returns, file and name survive a power cut; a file that
/// could not be completed is removed.
pub fn create_key_file(path: &Path, entropy: &mut dyn Entropy) -> Result<KeySecret, KeyFileError> {
    let key = KeySecret::draw(entropy);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
            _ => KeyFileError::Io(path.to_owned(), error),
        })?;
    let written = file
        .write_all(&text_of(&key))
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder_of(path));
    if let Err(error) = written {
        drop(std::fs::remove_file(path));
        return Err(KeyFileError::Io(path.to_owned(), error));
    }
    Ok(key)
}

fn text_of(key: &KeySecret) -> Zeroizing<Vec<u8>> {
    let line = key.to_key_file();
    let mut text = Zeroizing::new(Vec::with_capacity(HEADER.len() + line.len()));
    text.extend_from_slice(HEADER.as_bytes());
    text.extend_from_slice(line.as_bytes());
    text
}

fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Counting(u8);

    impl Entropy for Counting {
        fn fill(&mut self, buffer: &mut [u8]) {
            for byte in buffer {
                *byte = self.0;
                self.0 = self.0.wrapping_add(7);
            }
        }
    }

    #[test]
    fn a_key_file_gives_back_its_key_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = create_key_file(&path, &mut Counting(3)).unwrap();
        let again = read_key_file(&path).unwrap();
        assert_eq!(again.to_key_file(), key.to_key_file());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = create_key_file(&path, &mut Counting(4)).unwrap_err();
        assert!(matches!(again, KeyFileError::Exists(_)));
        let again = read_key_file(&path).unwrap();
        assert_eq!(again.to_key_file(), key.to_key_file());
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create_key_file(&path, &mut Counting(3)).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = read_key_file(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::NotPrivate(..)), "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = format!("nacre-key-1:{}", "ab".repeat(32));
        assert!(parse(format!("# x\n\n {good} \n").as_bytes()).is_some());
        for bad in [
            String::new(),
            good[..good.len() - 1].to_owned(),
            format!("{good}a"),
            "ab".repeat(32),
            format!("{good}\n{good}\n"),
            format!("g{}", &good[1..]),
            format!("+{}", &good[1..]),
            format!("{good}{}", "\n".repeat(LARGEST)),
        ] {
            assert!(parse(bad.as_bytes()).is_none());
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            read_key_file(dir.path()),
            Err(KeyFileError::Malformed(_))
        ));
        assert!(matches!(
            read_key_file(&dir.path().join("no")),
            Err(KeyFileError::Missing(_))
        ));
    }
}
