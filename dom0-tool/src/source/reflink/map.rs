//! The extents of a file, read batch by batch: where each byte lies on the file system, or that it is zero.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::rc::Rc;

use nacre_sys::{BtrfsExtent, BtrfsExtentKind, FiemapExtent, fiemap_flags};
use rustix::io::Errno;

/// Some bytes of a file that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
    /// Where the first byte lies.
    pub place: Place,
}

/// Where bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Nowhere: they read as zeros.
    Zero,
    /// At this address and those that follow.
    At(u64),
    /// In an extent that is compressed as a whole.
    Within {
        /// Address of the extent.
        address: u64,
        /// Its length there.
        disk_length: u64,
        /// How it is compressed.
        compression: u8,
        /// Offset of the first byte in what it uncompresses to.
        offset: u64,
    },
    /// Not known: inline, delayed, encoded. Never the same as anything.
    Unknown,
}

impl Place {
    /// The place so many bytes further on.
    pub fn further(self, by: u64) -> Self {
        match self {
            Self::At(address) => Self::At(address.wrapping_add(by)),
            Self::Within {
                address,
                disk_length,
                compression,
                offset,
            } => Self::Within {
                address,
                disk_length,
                compression,
                offset: offset.wrapping_add(by),
            },
            place => place,
        }
    }

    /// Whether bytes that lie in the two places are the same ones.
    pub fn is_same(self, other: Self) -> bool {
        self != Self::Unknown && self == other
    }
}

/// How the map is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// FIEMAP. Says nothing of compressed extents.
    Fiemap,
    /// The items of Btrfs' own tree; needs CAP_SYS_ADMIN.
    BtrfsTree,
}

/// The best way for a file on Btrfs, tried once.
pub fn way_on_btrfs(file: &File, inode: u64) -> Way {
    match nacre_sys::btrfs_extents(file, inode, 0, u64::MAX) {
        Ok(_) => Way::BtrfsTree,
        Err(_) => Way::Fiemap,
    }
}

/// Why a map cannot be used.
#[derive(Debug)]
pub enum MapError {
    /// The kernel's word.
    Kernel(Errno),
    /// Extents that overlap or end before they begin.
    Nonsense,
}

/// How far one map has been read, for another that must not be read further.
#[derive(Clone, Debug, Default)]
pub struct Frontier(Rc<Cell<u64>>);

/// Some extents as the kernel tells them.
pub enum Batch {
    /// See [`nacre_sys::fiemap`].
    Fiemap(Vec<FiemapExtent>),
    /// See [`nacre_sys::btrfs_extents`].
    Btrfs(Vec<BtrfsExtent>),
}

/// Asks for those from one offset to another.
type Ask<'a> = Box<dyn Fn(u64, u64) -> Result<Batch, Errno> + 'a>;

/// Walks the extents of a file that nobody changes, in rising order. What lies between them is a hole.
pub struct Map<'a> {
    ask: Ask<'a>,
    size: u64,
    /// Where the next batch begins.
    next: u64,
    /// First byte of which nothing has been read yet.
    covered: u64,
    /// On Btrfs, begin of an item that goes on behind what was asked for: what of it lies there is asked for once it may be.
    cut: Option<u64>,
    batch: VecDeque<Extent>,
    /// Already read, and not part of what was given last.
    ahead: Option<Extent>,
    /// Begin of an extent whose end only the next one tells.
    open: Option<u64>,
    done: bool,
    /// Told how far this map has been read.
    told: Option<Frontier>,
    /// How far it may be read.
    limit: Option<Frontier>,
}

impl<'a> Map<'a> {
    /// Of the first `size` bytes.
    pub fn new(file: &'a File, inode: u64, way: Way, size: u64) -> Self {
        Self::of(
            Box::new(move |start, end| match way {
                Way::Fiemap => nacre_sys::fiemap(file, start, end).map(Batch::Fiemap),
                Way::BtrfsTree => {
                    nacre_sys::btrfs_extents(file, inode, start, end).map(Batch::Btrfs)
                }
            }),
            size,
        )
    }

    /// Of a file about whose first `size` bytes that can be asked.
    pub fn of(ask: Ask<'a>, size: u64) -> Self {
        Self {
            ask,
            size,
            next: 0,
            covered: 0,
            batch: VecDeque::new(),
            ahead: None,
            cut: None,
            open: None,
            done: false,
            told: None,
            limit: None,
        }
    }

    /// Tells how far it has been read.
    #[must_use]
    pub fn before(self, frontier: &Frontier) -> Self {
        let told = Some(frontier.clone());
        Self { told, ..self }
    }

    /// Is read no further than another map has been, at the moment of every reading.
    #[must_use]
    pub fn behind(self, frontier: &Frontier) -> Self {
        let limit = Some(frontier.clone());
        Self { limit, ..self }
    }

    /// First byte that must not be read yet.
    fn limit(&self) -> u64 {
        let limit = self.limit.as_ref();
        limit.map_or(u64::MAX, |Frontier(reached)| reached.get())
    }

    fn read(&mut self) -> Result<(), MapError> {
        let limit = self.limit();
        if limit <= self.covered {
            // Whoever asks for it has not asked the other map first: no answer would be right.
            return Err(MapError::Nonsense);
        }
        match (self.ask)(self.next, limit).map_err(MapError::Kernel)? {
            Batch::Fiemap(found) => self.take_fiemap(&found, limit)?,
            Batch::Btrfs(found) => self.take_btrfs(&found, limit)?,
        }
        if let Some(Frontier(reached)) = &self.told {
            reached.set(if self.done { u64::MAX } else { self.covered });
        }
        Ok(())
    }

    /// There is nothing more before `limit`.
    fn reached(&mut self, limit: u64) -> Result<(), MapError> {
        self.close(limit.min(self.size))?;
        if limit >= self.size {
            self.done = true;
        } else if self.covered < limit {
            self.put(self.covered, limit, Place::Zero)?;
        }
        Ok(())
    }

    fn take_fiemap(&mut self, found: &[FiemapExtent], limit: u64) -> Result<(), MapError> {
        if found.is_empty() {
            self.reached(limit)?;
        }
        for extent in found {
            let place = match extent.flags {
                flags if flags & fiemap_flags::NO_ADDRESS != 0 => Place::Unknown,
                flags if flags & fiemap_flags::UNWRITTEN != 0 => Place::Zero,
                _ => Place::At(extent.physical),
            };
            let end = extent.logical.checked_add(extent.length);
            let end = end.ok_or(MapError::Nonsense)?;
            // An extent that was given in the batch before up to the middle.
            let skip = self.next.saturating_sub(extent.logical);
            let (start, end) = (extent.logical.saturating_add(skip), end.min(limit));
            self.put(start, end, place.further(skip))?;
            if extent.flags & fiemap_flags::LAST != 0 {
                self.reached(limit)?;
            }
        }
        self.next = self.covered;
        Ok(())
    }

    fn take_btrfs(&mut self, found: &[BtrfsExtent], limit: u64) -> Result<(), MapError> {
        if self.cut.is_some() && found.is_empty() {
            return Err(MapError::Nonsense);
        }
        for extent in found {
            self.close(extent.logical)?;
            let start = extent.logical;
            let (length, place) = match extent.kind {
                BtrfsExtentKind::Unknown => {
                    self.open = Some(start);
                    continue;
                }
                BtrfsExtentKind::Zero(length) => (length, Place::Zero),
                BtrfsExtentKind::Data {
                    address,
                    disk_length,
                    offset,
                    length,
                    compression,
                } => {
                    let place = if compression == 0 {
                        Place::At(address).further(offset)
                    } else {
                        Place::Within {
                            address,
                            disk_length,
                            compression,
                            offset,
                        }
                    };
                    (length, place)
                }
            };
            let end = start.checked_add(length).ok_or(MapError::Nonsense)?;
            if length == 0 {
                return Err(MapError::Nonsense);
            }
            let given = match self.cut.take() {
                Some(cut) if cut == start => self.covered.saturating_sub(start),
                Some(_) => return Err(MapError::Nonsense),
                None => 0,
            };
            if given < length {
                self.put(start + given, end.min(limit), place.further(given))?;
            }
            self.cut = (end > limit).then_some(start);
        }
        match found.last() {
            Some(last) => {
                let behind = last.logical.checked_add(1).ok_or(MapError::Nonsense)?;
                self.next = self.cut.unwrap_or(behind);
            }
            None => {
                let open = self.open;
                self.reached(limit)?;
                self.open = open;
            }
        }
        Ok(())
    }

    /// Ends the extent of which only the begin was known.
    fn close(&mut self, end: u64) -> Result<(), MapError> {
        match self.open.take().map(|start| start.max(self.covered)) {
            Some(start) if start < end => self.put(start, end, Place::Unknown),
            _ => Ok(()),
        }
    }

    fn put(&mut self, start: u64, end: u64, place: Place) -> Result<(), MapError> {
        if start < self.covered || end <= start {
            return Err(MapError::Nonsense);
        }
        self.covered = end;
        if start < self.size {
            let end = end.min(self.size);
            self.batch.push_back(Extent { start, end, place });
        } else {
            self.done = true;
        }
        Ok(())
    }

    /// The next extent as the kernel gives it.
    fn piece(&mut self) -> Result<Option<Extent>, MapError> {
        while self.batch.is_empty() && !self.done {
            self.read()?;
        }
        Ok(self.batch.pop_front())
    }

    /// The same, if it may be read already.
    fn piece_ahead(&mut self) -> Result<Option<Extent>, MapError> {
        if self.batch.is_empty() && self.limit() <= self.covered {
            return Ok(None);
        }
        self.piece()
    }

    /// The next extent, joined with those that go on where it ends: where XFS cuts depends on who else shares the space just now.
    fn joined(&mut self) -> Result<Option<Extent>, MapError> {
        let first = match self.ahead.take() {
            Some(extent) => Some(extent),
            None => self.piece()?,
        };
        let Some(mut extent) = first else {
            return Ok(None);
        };
        while let Some(next) = self.piece_ahead()? {
            let goes_on = extent.place.further(extent.end - extent.start) == next.place;
            if next.start != extent.end || !goes_on {
                self.ahead = Some(next);
                break;
            }
            extent.end = next.end;
        }
        Ok(Some(extent))
    }
}

impl Iterator for Map<'_> {
    type Item = Result<Extent, MapError>;

    fn next(&mut self) -> Option<Self::Item> {
        let extent = self.joined().transpose()?;
        self.done |= extent.is_err();
        Some(extent)
    }
}
