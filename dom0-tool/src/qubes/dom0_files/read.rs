//! Reads the archive again as it comes (doc/FORMAT.md, section 12): bytes in, files out.
//!
//! Whoever has the archive's key may have written anything into it. Every length is checked before memory is taken for it, and every input
//! is either files or a sentence about the byte at which it is wrong. What names may be is the business of whoever takes the files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::header::BLOCK;
use super::walk::MOST;

/// Records before one header, in bytes, at most: more than the walk lets any file have.
const LARGEST_RECORDS: u64 = 4 << 20;
/// How the key of an extended attribute begins.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file with so many bytes, which follow.
    File(u64),
    /// A symbolic link and where it leads.
    Link(Vec<u8>),
    /// A named pipe.
    Pipe,
    /// A further name of the file with this path.
    Name(Vec<u8>),
    /// Something that this release does not know.
    Other(u8),
}

/// An entry, as the archive has it: nothing of it is checked but its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path, without a slash at its end.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub modified: i64,
    /// Extended attributes.
    pub attributes: Vec<(OsString, Vec<u8>)>,
}

/// Who takes the files. An error is a sentence without its full stop, and ends it.
pub trait Files {
    /// An entry begins.
    fn begin(&mut self, entry: Entry) -> Result<(), String>;
    /// Some of its content.
    fn content(&mut self, bytes: &[u8]) -> Result<(), String>;
    /// It was all.
    fn end(&mut self) -> Result<(), String>;
}

/// Why it cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The archive is wrong at this byte.
    Wrong(u64, &'static str),
    /// Whoever takes the files cannot go on.
    Stopped(String),
}

/// The archive, so far.
#[derive(Debug)]
pub struct Reader {
    at: u64,
    state: State,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    entries: usize,
    /// Where its end began.
    ended: Option<u64>,
}

#[derive(Debug)]
enum State {
    /// A header, as far as it is there.
    Header(Vec<u8>),
    /// Records for the next header, as far as they are there; then so much more, of which nothing is kept.
    Records(Vec<u8>, u64, u64),
    /// Nothing that says anything.
    Passing(u64),
    /// Content, and what follows it up to the next block.
    Content(u64, u64),
    /// Behind the end.
    End,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            at: 0,
            state: State::Header(Vec::new()),
            records: BTreeMap::new(),
            entries: 0,
            ended: None,
        }
    }
}

impl Reader {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], files: &mut dyn Files) -> Result<(), Trouble> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let wanted = match &self.state {
                State::Header(have) => BLOCK.saturating_sub(have.len() as u64),
                State::Records(_, left, _) | State::Content(left, _) | State::Passing(left) => {
                    *left
                }
                State::End => rest.len() as u64,
            };
            let length = usize::try_from(wanted).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(length.min(rest.len()));
            self.take(now, files)?;
            self.at = self.at.saturating_add(now.len() as u64);
            rest = later;
        }
        Ok(())
    }

    /// That was all: whether it was a whole archive. Two blocks of zeros are its end, and nothing is behind them; zeros before that are a
    /// hole in what was sent.
    pub fn finish(self) -> Result<(), Trouble> {
        match self.ended {
            Some(ended) if self.at == ended + 2 * BLOCK => Ok(()),
            Some(ended) => Err(Trouble::Wrong(ended, "it ends before its end")),
            None => Err(Trouble::Wrong(self.at, "it ends before its end")),
        }
    }

    /// Takes no more bytes than the state has room for.
    fn take(&mut self, bytes: &[u8], files: &mut dyn Files) -> Result<(), Trouble> {
        let length = bytes.len() as u64;
        let state = std::mem::replace(&mut self.state, State::End);
        self.state = match state {
            State::Header(mut have) => {
                have.extend_from_slice(bytes);
                if (have.len() as u64) < BLOCK {
                    State::Header(have)
                } else {
                    self.header(&have, files)?
                }
            }
            State::Records(mut have, left, behind) => {
                have.extend_from_slice(bytes);
                if left > length {
                    State::Records(have, left - length, behind)
                } else {
                    self.records = self.parse(&have)?;
                    passing(behind)
                }
            }
            State::Passing(left) => passing(left.saturating_sub(length)),
            State::Content(left, behind) => {
                files.content(bytes).map_err(Trouble::Stopped)?;
                if left > length {
                    State::Content(left - length, behind)
                } else {
                    files.end().map_err(Trouble::Stopped)?;
                    passing(behind)
                }
            }
            State::End => State::End,
        };
        Ok(())
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, Trouble> {
        Err(Trouble::Wrong(self.at, what))
    }

    /// What follows a whole header.
    fn header(&mut self, block: &[u8], files: &mut dyn Files) -> Result<State, Trouble> {
        if block.iter().all(|byte| *byte == 0) {
            // The block may have come in several parts.
            self.ended = Some(self.at / BLOCK * BLOCK);
            return Ok(State::End);
        }
        let fields = match Fields::parse(block) {
            Ok(fields) => fields,
            Err(what) => return self.wrong(what),
        };
        let at = self.at;
        let behind = |size: u64| match size.checked_next_multiple_of(BLOCK) {
            Some(end) => Ok(end - size),
            None => Err(Trouble::Wrong(at, "a size is larger than anything")),
        };
        match fields.kind {
            b'x' if fields.size > LARGEST_RECORDS => self.wrong("a file has too many attributes"),
            b'x' if fields.size > 0 => {
                let behind = behind(fields.size)?;
                Ok(State::Records(Vec::new(), fields.size, behind))
            }
            b'x' => Ok(State::Header(Vec::new())),
            b'g' => {
                let behind = behind(fields.size)?;
                Ok(passing(fields.size + behind))
            }
            _ => {
                let records = std::mem::take(&mut self.records);
                let (entry, size) = match fields.entry(records) {
                    Ok(entry) => entry,
                    Err(what) => return self.wrong(what),
                };
                let behind = behind(size)?;
                self.entries += 1;
                if self.entries > MOST {
                    return self.wrong("it has more files than are ever saved");
                }
                files.begin(entry).map_err(Trouble::Stopped)?;
                if size == 0 {
                    files.end().map_err(Trouble::Stopped)?;
                    return Ok(State::Header(Vec::new()));
                }
                Ok(State::Content(size, behind))
            }
        }
    }

    /// `LENGTH KEY=VALUE` and a line feed, until there is no more.
    fn parse(&self, bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Trouble> {
        let mut records = BTreeMap::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((key, value, later)) = record(rest) else {
                return self.wrong("a record is not as records are");
            };
            records.insert(key.to_vec(), value.to_vec());
            rest = later;
        }
        Ok(records)
    }
}

/// What comes when so many bytes have passed.
fn passing(left: u64) -> State {
    if left == 0 {
        State::Header(Vec::new())
    } else {
        State::Passing(left)
    }
}

/// The first record: its key, its value, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(12).position(|byte| *byte == b' ')?;
    let length = decimal::<usize>(bytes.get(..blank)?)?;
    let (record, later) = bytes.split_at_checked(length)?;
    let text = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=')?;
    Some((text.get(..equals)?, text.get(equals + 1..)?, later))
}

fn decimal<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What the fields of a header say.
struct Fields {
    path: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    modified: i64,
    kind: u8,
    link: Vec<u8>,
}

impl Fields {
    fn parse(block: &[u8]) -> Result<Self, &'static str> {
        let field = |at: usize, length: usize| block.get(at..at + length).unwrap_or_default();
        if field(257, 8) != b"ustar\x0000" {
            return Err("this is no header of a tar archive");
        }
        let sum = block.iter().enumerate().map(|(at, byte)| match at {
            // The sum counts its own field as blanks.
            148..156 => u64::from(b' '),
            _ => u64::from(*byte),
        });
        if octal(field(148, 8)) != Some(sum.sum()) {
            return Err("the sum of a header is not what it says");
        }
        let number = |at, length| octal(field(at, length)).ok_or("a number is none");
        let small = |at| number(at, 8).map(|it| u32::try_from(it).unwrap_or(u32::MAX));
        Ok(Self {
            path: text(field(0, 100)),
            mode: small(100)?,
            owner: (small(108)?, small(116)?),
            size: number(124, 12)?,
            modified: i64::try_from(number(136, 12)?).unwrap_or(i64::MAX),
            kind: block.get(156).copied().unwrap_or_default(),
            link: text(field(157, 100)),
        })
    }

    /// The entry with what its records say, and the bytes that follow it.
    fn entry(mut self, records: BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(Entry, u64), &'static str> {
        let mut attributes = Vec::new();
        let none = "a number is none";
        for (key, value) in records {
            match key.as_slice() {
                b"path" => self.path = value,
                b"linkpath" => self.link = value,
                b"uid" => self.owner.0 = decimal(&value).ok_or(none)?,
                b"gid" => self.owner.1 = decimal(&value).ok_or(none)?,
                b"size" => self.size = decimal(&value).ok_or(none)?,
                b"mtime" => self.modified = decimal(&value).ok_or(none)?,
                key => {
                    if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                        attributes.push((OsString::from_vec(unescaped(name)), value));
                    }
                }
            }
        }
        let (kind, size) = match self.kind {
            b'0' | 0 => (Kind::File(self.size), self.size),
            b'1' => (Kind::Name(self.link), 0),
            b'2' => (Kind::Link(self.link), 0),
            b'5' => (Kind::Folder, 0),
            b'6' => (Kind::Pipe, 0),
            other => (Kind::Other(other), self.size),
        };
        if size != self.size {
            return Err("something without content says that it has some");
        }
        let mut path = self.path;
        if kind == Kind::Folder && path.ends_with(b"/") {
            path.pop();
        }
        let entry = Entry {
            path,
            kind,
            mode: self.mode & 0o7777,
            owner: self.owner,
            modified: self.modified,
            attributes,
        };
        Ok((entry, size))
    }
}

/// An attribute's name; other signs behind a `%` stand for themselves.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = name;
    while let Some((first, behind)) = rest.split_first() {
        let (byte, later) = match rest.get(..3) {
            Some(b"%25") => (b'%', rest.get(3..)),
            Some(b"%3D") => (b'=', rest.get(3..)),
            _ => (*first, Some(behind)),
        };
        out.push(byte);
        rest = later.unwrap_or_default();
    }
    out
}

/// Up to the first NUL.
fn text(field: &[u8]) -> Vec<u8> {
    let end = field.iter().position(|byte| *byte == 0);
    field
        .get(..end.unwrap_or(field.len()))
        .unwrap_or_default()
        .to_vec()
}

/// Digits up to a NUL or a blank.
fn octal(field: &[u8]) -> Option<u64> {
    let end = field.iter().position(|byte| matches!(byte, 0 | b' '));
    let digits = field.get(..end.unwrap_or(field.len()))?;
    if digits.is_empty() || !digits.iter().all(|byte| (b'0'..=b'7').contains(byte)) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}
