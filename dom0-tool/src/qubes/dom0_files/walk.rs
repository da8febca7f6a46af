//! Which files there are.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What is saved of dom0, below its root.
pub const FOLDERS: [&str; 4] = ["etc/nacre", "etc/qubes", "home", "srv"];
/// Folders within folders, at most.
const DEPTH: usize = 100;
/// Files, at most.
pub const MOST: usize = 1 << 20;
/// Attributes of one file, in bytes, at most.
const ATTRIBUTES: usize = 1 << 16;
/// All attributes of one file together, in bytes, at most: a restore takes records of this size, with room for their lengths.
const ALL_ATTRIBUTES: usize = 1 << 20;
/// How the line of a key file begins (doc/FORMAT.md, section 4): a backup must not hold what opens it.
const KEY: &[u8] = b"nacre-key-";
/// Larger files are no keys.
const LARGEST_KEY: u64 = 16 << 10;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file with so many bytes.
    File(u64),
    /// A symbolic link and where it leads.
    Link(OsString),
    /// A named pipe.
    Pipe,
}

/// A file that is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Below the root, without a slash at either end.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub modified: i64,
    /// Extended attributes, sorted.
    pub attributes: Vec<(OsString, Vec<u8>)>,
    /// Device and inode, to know it again; and how many names it has.
    pub identity: (u64, u64, u64),
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What is saved, sorted by path.
    pub saved: Vec<Saved>,
    /// What is left out on purpose, with the reason.
    pub left_out: Vec<String>,
    /// What could not be looked at.
    pub problems: Vec<String>,
}

/// Looks through dom0's files below `root`. Stays on the file systems on which the folders are. `keys`: files that are left out wherever they
/// lie, beside those that look like keys.
pub fn walk(root: &Path, keys: &[PathBuf]) -> Found {
    let key = |path: &PathBuf| fs::metadata(path).map(|at| (at.dev(), at.ino())).ok();
    let mut walk = Walk {
        root,
        keys: keys.iter().filter_map(key).collect(),
        found: Found::default(),
    };
    for folder in FOLDERS {
        let path = Path::new(folder);
        match fs::symlink_metadata(root.join(path)) {
            Ok(metadata) => {
                walk.enter(path, &metadata, 0);
                if metadata.is_symlink() {
                    walk.problem(path, &"it is a link; what it leads to is not saved");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => walk.problem(path, &error),
        }
    }
    let mut found = walk.found;
    found.saved.sort_by(|a, b| {
        a.path
            .as_os_str()
            .as_bytes()
            .cmp(b.path.as_os_str().as_bytes())
    });
    found
}

struct Walk<'a> {
    root: &'a Path,
    keys: Vec<(u64, u64)>,
    found: Found,
}

impl Walk<'_> {
    fn problem(&mut self, path: &Path, error: &dyn std::fmt::Display) {
        let text = format!("/{}: {error}", path.display());
        self.found.problems.push(text);
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        let text = format!("/{} ({why})", path.display());
        self.found.left_out.push(text);
    }

    fn enter(&mut self, path: &Path, metadata: &Metadata, depth: usize) {
        if self.found.saved.len() >= MOST {
            let text = format!("dom0 has more than {MOST} files; the rest is missing");
            if self.found.problems.last() != Some(&text) {
                self.found.problems.push(text);
            }
            return;
        }
        let whole = self.root.join(path);
        let kind = match self.kind(path, &whole, metadata) {
            Ok(Some(kind)) => kind,
            Ok(None) => return,
            Err(error) => return self.problem(path, &error),
        };
        let attributes = attributes(&whole).unwrap_or_else(|error| {
            self.problem(path, &format!("its extended attributes: {error}"));
            Vec::new()
        });
        let is_folder = kind == Kind::Folder;
        self.found.saved.push(Saved {
            path: path.to_owned(),
            kind,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            modified: metadata.mtime(),
            attributes,
            identity: (metadata.dev(), metadata.ino(), metadata.nlink()),
        });
        if is_folder {
            self.below(path, &whole, metadata.dev(), depth);
        }
    }

    /// What a file is; `None` if it is left out.
    fn kind(&mut self, path: &Path, whole: &Path, metadata: &Metadata) -> io::Result<Option<Kind>> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Ok(Some(Kind::Folder));
        }
        if kind.is_symlink() {
            return Ok(Some(Kind::Link(fs::read_link(whole)?.into())));
        }
        if kind.is_fifo() {
            return Ok(Some(Kind::Pipe));
        }
        if !kind.is_file() {
            self.leave_out(path, "a socket or device");
            return Ok(None);
        }
        let known = self.keys.contains(&(metadata.dev(), metadata.ino()));
        if known || metadata.len() < LARGEST_KEY && is_key(whole)? {
            self.leave_out(path, "a key");
            return Ok(None);
        }
        Ok(Some(Kind::File(metadata.len())))
    }

    fn below(&mut self, path: &Path, whole: &Path, device: u64, depth: usize) {
        if depth >= DEPTH {
            return self.problem(path, &"its folders are too deep");
        }
        let entries = match fs::read_dir(whole) {
            Ok(entries) => entries,
            Err(error) => return self.problem(path, &error),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.problem(path, &error),
            };
            let below = path.join(entry.file_name());
            match entry.metadata() {
                Ok(metadata) if metadata.dev() != device => {
                    self.leave_out(&below, "another file system");
                }
                Ok(metadata) => self.enter(&below, &metadata, depth + 1),
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.problem(&below, &error),
            }
        }
    }
}

/// A key file is one line behind remarks.
fn is_key(path: &Path) -> io::Result<bool> {
    let mut content = Vec::new();
    File::open(path)?
        .take(LARGEST_KEY)
        .read_to_end(&mut content)?;
    let mut lines = content.split(|byte| *byte == b'\n');
    Ok(lines.any(|line| line.trim_ascii_start().starts_with(KEY)))
}

/// Extended attributes, where the file system has them.
fn attributes(path: &Path) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    use rustix::io::Errno;
    let mut names = vec![0; ATTRIBUTES];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOENT) => return Ok(Vec::new()),
        length => length?,
    };
    let mut all = Vec::new();
    let mut size = 0;
    let names = names.get(..length).unwrap_or_default();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; ATTRIBUTES];
        match rustix::fs::lgetxattr(path, name, &mut value[..]) {
            Err(Errno::NODATA) => {}
            length => {
                value.truncate(length?);
                size += name.len() + value.len();
                if size > ALL_ATTRIBUTES {
                    return Err(io::Error::other("they are larger than 1 MiB"));
                }
                all.push((std::ffi::OsStr::from_bytes(name).to_owned(), value));
            }
        }
    }
    all.sort();
    Ok(all)
}
