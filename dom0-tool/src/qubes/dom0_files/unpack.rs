//! Lays the files of the archive into a folder of their own.
//!
//! Nothing of an archive may reach out of that folder, whatever it names: every name is looked up component by component, links are not
//! followed, and what is there already is never opened. What cannot be laid down as it was is named, and the rest goes on; that the disk is
//! full ends it.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::read::{Entry, Files, Kind};
use crate::backup::is_zero;
use crate::joints::sanitise::sanitise;

/// Longest path below the root.
const LONGEST: usize = 4096;
/// Most bytes of what is remembered of folders to their end.
const MOST_OF_FOLDERS: usize = 64 << 20;
/// So much of zeros is left out as a hole.
const HOLE: usize = 4096;
/// Longest part of a path that is shown.
const SHOWN: usize = 300;

/// What was laid down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Laid {
    /// Files, further names of files not counted.
    pub files: usize,
    /// Folders.
    pub folders: usize,
    /// Links, pipes and further names.
    pub others: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// A folder that is being filled.
#[derive(Debug)]
pub struct Unpack {
    root: OwnedFd,
    /// The folder of the last name, by its path.
    parent: Option<(Vec<u8>, OwnedFd)>,
    open: Option<Open>,
    /// Folders get what they had when they are full, the innermost first.
    folders: Vec<Entry>,
    remembered: usize,
    laid: Laid,
    problems: Vec<String>,
}

/// A file that is being written.
#[derive(Debug)]
struct Open {
    entry: Entry,
    file: File,
    at: u64,
}

impl Unpack {
    /// Fills the folder that is open here, which is empty.
    pub fn new(root: OwnedFd) -> Self {
        Self {
            root,
            parent: None,
            open: None,
            folders: Vec::new(),
            remembered: 0,
            laid: Laid::default(),
            problems: Vec::new(),
        }
    }

    /// When everything is there: what it was, and what is not as it was.
    pub fn finish(mut self) -> Result<(Laid, Vec<String>), String> {
        for folder in std::mem::take(&mut self.folders).into_iter().rev() {
            let opened = self.parent(&folder.path).and_then(|(parent, name)| {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                Ok(fs::openat(parent, name, flags, Mode::empty())?)
            });
            match opened {
                Ok(opened) => self.dress(&folder, &opened),
                Err(why) => self.problem(&folder, &why)?,
            }
        }
        Ok((self.laid, self.problems))
    }

    /// The folder in which a path's last name is, made where the archive does not have it, and that name.
    fn parent<'a>(&mut self, path: &'a [u8]) -> Result<(BorrowedFd<'_>, &'a OsStr), Why> {
        let mut parts = path.split(|byte| *byte == b'/').collect::<Vec<_>>();
        let well = |part: &&[u8]| !matches!(*part, b"" | b"." | b"..") && !part.contains(&0);
        if path.len() > LONGEST || !parts.iter().all(well) {
            return Err(Why::Name);
        }
        let name = parts.pop().unwrap_or_default();
        let folder = path.get(..path.len().saturating_sub(name.len() + 1));
        let folder = folder.unwrap_or_default();
        if self
            .parent
            .as_ref()
            .is_none_or(|(known, _)| known != folder)
        {
            let mut at = self.root.try_clone().map_err(Why::from)?;
            for part in parts {
                at = enter(&at, OsStr::from_bytes(part))?;
            }
            self.parent = Some((folder.to_vec(), at));
        }
        let (_, parent) = self.parent.as_ref().ok_or(Why::Name)?;
        Ok((parent.as_fd(), OsStr::from_bytes(name)))
    }

    /// Makes what has no content, or opens what has some.
    fn make(&mut self, entry: &Entry) -> Result<Option<File>, Why> {
        let private = Mode::from_raw_mode(0o600);
        let (parent, name) = self.parent(&entry.path)?;
        match &entry.kind {
            Kind::Folder => match fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
                // Made for what is in it; whatever else has the name is told when it is opened.
                Err(Errno::EXIST) => drop(enter(parent, name)?),
                made => made?,
            },
            Kind::File(_) => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = fs::openat(parent, name, flags, private)?;
                return Ok(Some(file.into()));
            }
            Kind::Link(target) => fs::symlinkat(OsStr::from_bytes(target), parent, name)?,
            Kind::Pipe => fs::mknodat(parent, name, FileType::Fifo, private, 0)?,
            Kind::Name(first) => self.name(entry, first)?,
            Kind::Other(_) => return Err(Why::Kind),
        }
        Ok(None)
    }

    /// A further name of a file.
    fn name(&mut self, entry: &Entry, first: &[u8]) -> Result<(), Why> {
        let (old_parent, old) = self.parent(first)?;
        let old_parent = old_parent.try_clone_to_owned().map_err(Why::from)?;
        let found = fs::statat(&old_parent, old, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(Why::Name);
        }
        let (parent, name) = self.parent(&entry.path)?;
        fs::linkat(old_parent, old, parent, name, AtFlags::empty())?;
        Ok(())
    }

    /// Gives a file or folder that is open its owner, attributes, permissions and time, in the order in which none takes another away.
    fn dress(&mut self, entry: &Entry, opened: &impl AsFd) {
        let (owner, group) = ids(entry);
        let mut failed = Vec::new();
        let mut done = |what: &str, result: rustix::io::Result<()>| {
            if let Err(error) = result {
                failed.push(format!("{what} ({error})"));
            }
        };
        done("its owner", fs::fchown(opened, owner, group));
        for (name, value) in &entry.attributes {
            let set = fs::fsetxattr(opened, name.as_os_str(), value, XattrFlags::empty());
            done(&attribute(name), set);
        }
        done("its permissions", fs::fchmod(opened, mode(entry)));
        done("its time", fs::futimens(opened, &times(entry)));
        self.tell(entry, &failed);
    }

    /// The same for what is not opened: a link, or a pipe.
    fn dress_unopened(&mut self, entry: &Entry) -> Result<(), Why> {
        let (owner, group) = ids(entry);
        let mut failed = Vec::new();
        let mut done = |what: &str, result: rustix::io::Result<()>| {
            if let Err(error) = result {
                failed.push(format!("{what} ({error})"));
            }
        };
        let (parent, name) = self.parent(&entry.path)?;
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        done("its owner", fs::chownat(parent, name, owner, group, itself));
        if !entry.attributes.is_empty() {
            // No call takes a folder and a name; the last component is not followed.
            let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
            path.extend(name.as_bytes());
            let path = CString::new(path).map_err(|_| Why::Name)?;
            for (name, value) in &entry.attributes {
                let set = fs::lsetxattr(&path, name.as_os_str(), value, XattrFlags::empty());
                done(&attribute(name), set);
            }
        }
        if entry.kind == Kind::Pipe {
            let set = fs::chmodat(parent, name, mode(entry), AtFlags::empty());
            done("its permissions", set);
        }
        done(
            "its time",
            fs::utimensat(parent, name, &times(entry), itself),
        );
        self.tell(entry, &failed);
        Ok(())
    }

    /// Names what of an entry is not as it was.
    fn tell(&mut self, entry: &Entry, failed: &[String]) {
        if !failed.is_empty() {
            let text = format!(
                "{}: not as it was: {}",
                shown(&entry.path),
                failed.join(", ")
            );
            self.problems.push(text);
        }
    }

    /// An entry that is not there, or an end to all.
    fn problem(&mut self, entry: &Entry, why: &Why) -> Result<(), String> {
        let path = shown(&entry.path);
        let why = match why {
            Why::Name => {
                "it, or what it leads to, has a name that no file of dom0 can have".to_owned()
            }
            Why::Kind => "it is of a kind that this release does not know".to_owned(),
            Why::Is(Errno::LOOP | Errno::NOTDIR) => "one of its folders is no folder".to_owned(),
            Why::Is(Errno::EXIST) => "something of this name is there already".to_owned(),
            Why::Is(error) if is_everywhere(*error) => return Err(format!("{path}: {error}")),
            Why::Is(error) => error.to_string(),
        };
        self.problems.push(format!("{path}: {why}"));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let is_hole = rest.chunks(HOLE).next().is_some_and(is_zero);
            let alike = rest.chunks(HOLE);
            let alike = alike.take_while(|piece| is_zero(piece) == is_hole);
            let (run, later) = rest.split_at(alike.map(<[u8]>::len).sum());
            if !is_hole && let Err(error) = open.file.write_all_at(run, open.at) {
                // What cannot be written here can hardly be written elsewhere.
                return Err(format!("{}: {error}", shown(&open.entry.path)));
            }
            open.at = open.at.saturating_add(run.len() as u64);
            rest = later;
        }
        Ok(())
    }
}

impl Files for Unpack {
    fn begin(&mut self, entry: Entry) -> Result<(), String> {
        match self.make(&entry) {
            Ok(Some(file)) => self.open = Some(Open { entry, file, at: 0 }),
            Ok(None) if entry.kind == Kind::Folder => {
                let attributes = entry.attributes.iter();
                let attributes: usize = attributes.map(|(a, b)| a.len() + b.len()).sum();
                self.remembered += size_of::<Entry>() + entry.path.len() + attributes;
                if self.remembered > MOST_OF_FOLDERS {
                    return Err("it has more folders than can be remembered".to_owned());
                }
                self.laid.folders += 1;
                self.folders.push(entry);
            }
            Ok(None) => {
                self.laid.others += 1;
                // A further name is dressed already.
                if !matches!(entry.kind, Kind::Name(_))
                    && let Err(why) = self.dress_unopened(&entry)
                {
                    self.problem(&entry, &why)?;
                }
            }
            Err(why) => self.problem(&entry, &why)?,
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.write(bytes)
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(Open { entry, file, at }) = self.open.take() else {
            return Ok(());
        };
        // Holes at the end.
        file.set_len(at)
            .map_err(|error| format!("{}: {error}", shown(&entry.path)))?;
        self.dress(&entry, &file);
        self.laid.files += 1;
        self.laid.bytes = self.laid.bytes.saturating_add(at);
        Ok(())
    }
}

/// Why an entry is not there.
enum Why {
    /// Its name.
    Name,
    /// Its kind.
    Kind,
    /// The system says no.
    Is(Errno),
}

impl From<Errno> for Why {
    fn from(error: Errno) -> Self {
        Self::Is(error)
    }
}

impl From<std::io::Error> for Why {
    fn from(error: std::io::Error) -> Self {
        Self::Is(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// Opens a folder in a folder, made where it is not there; never by way of a link.
fn enter(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Why> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || fs::openat(&parent, name, flags, Mode::empty());
    match open() {
        Err(Errno::NOENT) => {
            fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
            Ok(open()?)
        }
        opened => Ok(opened?),
    }
}

/// Errors that the next file will have too.
fn is_everywhere(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO | Errno::MFILE | Errno::NFILE
    )
}

fn ids(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    let (owner, group) = entry.owner;
    // The largest number would mean that it is left as it is.
    let owner = (owner != u32::MAX).then(|| Uid::from_raw(owner));
    let group = (group != u32::MAX).then(|| Gid::from_raw(group));
    (owner, group)
}

fn mode(entry: &Entry) -> Mode {
    Mode::from_raw_mode(entry.mode)
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.modified,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn attribute(name: &OsStr) -> String {
    format!("its attribute {}", sanitise(name.as_bytes(), SHOWN))
}

/// A path for people.
fn shown(path: &[u8]) -> String {
    format!("/{}", sanitise(path, SHOWN))
}
