//! Where in the archive everything lies: what has no content first, then each file from a chunk boundary on, then further names of files.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::header::{BLOCK, comment, filler, headers};
use super::walk::{Kind, Saved};

/// Two blocks of zeros end an archive.
const END: u64 = 2 * BLOCK;

/// A part of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// What it is.
    pub content: Content,
}

/// What a part of the archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A comment up to the next chunk: these bytes, blanks, a line feed.
    Filler(Vec<u8>),
    /// The content of a file, then zeros to the next block.
    File {
        /// Below the root.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// Device and inode.
        identity: (u64, u64),
    },
}

/// The parts, without gaps, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Parts.
    pub pieces: Vec<Piece>,
    /// Bytes altogether.
    pub size: u64,
}

impl Layout {
    /// Lays out what was found, sorted by path. `chunk`: bytes of a chunk.
    pub fn new(saved: &[Saved], chunk: u64) -> Self {
        let mut layout = Self::default();
        let mut first: BTreeMap<(u64, u64), &Saved> = BTreeMap::new();
        let (mut files, mut names) = (Vec::new(), Vec::new());
        for one in saved {
            let (device, inode, count) = one.identity;
            match one.kind {
                Kind::File(_) if count > 1 && first.contains_key(&(device, inode)) => {
                    names.push(one);
                }
                Kind::File(size) => {
                    first.insert((device, inode), one);
                    if size == 0 {
                        layout.bytes(headers(one, None));
                    } else {
                        files.push((one, size));
                    }
                }
                _ => layout.bytes(headers(one, None)),
            }
        }
        for (file, size) in files {
            layout.align(chunk);
            layout.bytes(headers(file, None));
            let (device, inode, _) = file.identity;
            let content = Content::File {
                path: file.path.clone(),
                size,
                identity: (device, inode),
            };
            layout.piece(size.next_multiple_of(BLOCK), content);
        }
        if !names.is_empty() {
            layout.align(chunk);
        }
        for name in names {
            let (device, inode, _) = name.identity;
            let first = first.get(&(device, inode));
            let first = first.map(|first| first.path.as_os_str().as_bytes());
            layout.bytes(headers(name, first));
        }
        layout.bytes(vec![0; usize::try_from(END).unwrap_or(0)]);
        layout
    }

    fn piece(&mut self, length: u64, content: Content) {
        self.pieces.push(Piece {
            start: self.size,
            length,
            content,
        });
        self.size += length;
    }

    fn bytes(&mut self, bytes: Vec<u8>) {
        match self.pieces.last_mut() {
            Some(Piece {
                length,
                content: Content::Bytes(before),
                ..
            }) => {
                *length += bytes.len() as u64;
                self.size += bytes.len() as u64;
                before.extend(bytes);
            }
            _ => self.piece(bytes.len() as u64, Content::Bytes(bytes)),
        }
    }

    fn align(&mut self, chunk: u64) {
        let gap = self.size.next_multiple_of(chunk) - self.size;
        if gap == 0 {
            return;
        }
        let mut begin = filler(gap).to_vec();
        if gap > BLOCK {
            begin.extend(comment(gap));
        }
        self.piece(gap, Content::Filler(begin));
    }
}
