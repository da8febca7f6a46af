//! Where the files lie in the image: groups of blocks as in ext4, some full, some not, large files in several extents.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::content::Content;
use super::machine::{MachineFiles, MachineKind};
use super::{BLOCK, Random, index};

/// What to make.
#[derive(Clone, Debug)]
pub struct ImageShape {
    /// Size of the image in bytes; need not be a multiple of anything.
    pub size: u64,
    /// How much of it is used, in percent.
    pub fill: u64,
    /// Same seed, same image.
    pub seed: u64,
    /// Folders whose files become the image's programs and texts.
    pub folders: Vec<PathBuf>,
}

/// What was made, in bytes of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageReport {
    /// Programs, libraries and other binary files of this machine.
    pub binary: u64,
    /// Text files of this machine.
    pub text: u64,
    /// Data that does not compress.
    pub incompressible: u64,
    /// Logs.
    pub logs: u64,
    /// Databases and small files.
    pub small: u64,
}

impl ImageReport {
    /// All used blocks, in bytes.
    pub fn used(&self) -> u64 {
        self.binary + self.text + self.incompressible + self.logs + self.small
    }

    /// The report as one line of JSON, sizes in MiB.
    pub fn json(&self, shape: &ImageShape) -> String {
        let mib = |bytes: u64| bytes >> 20;
        format!(
            "{{\"size_mib\": {}, \"used_mib\": {}, \"binary_mib\": {}, \"text_mib\": {}, \"incompressible_mib\": {}, \"logs_mib\": {}, \"small_mib\": {}, \"seed\": {}}}",
            mib(shape.size),
            mib(self.used()),
            mib(self.binary),
            mib(self.text),
            mib(self.incompressible),
            mib(self.logs),
            mib(self.small),
            shape.seed
        )
    }
}

/// Kinds of content, with their share in percent of the used blocks.
const SHARES: [(Kind, u64); 5] = [
    (Kind::Binary, 30),
    (Kind::Text, 24),
    (Kind::Incompressible, 28),
    (Kind::Log, 9),
    (Kind::Small, 9),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Binary,
    Text,
    Incompressible,
    Log,
    Small,
}

struct Sources {
    machine: MachineFiles,
    content: Content,
}

impl Sources {
    /// The next file of a kind, at most `most` bytes.
    fn next(&mut self, kind: Kind, most: usize, out: &mut Vec<u8>) {
        out.clear();
        match kind {
            Kind::Binary => self.machine.next(MachineKind::Binary, most, out),
            Kind::Text => self.machine.next(MachineKind::Text, most, out),
            Kind::Incompressible => self.content.incompressible(most, out),
            Kind::Log => self.content.log(most, out),
            Kind::Small => self.content.small(most, out),
        }
    }
}

/// Fills an empty file with an image of the shape.
///
/// # Errors
/// If the file cannot be written, or if the folders hold no file to take.
pub fn make_image(file: &File, shape: &ImageShape) -> io::Result<ImageReport> {
    file.set_len(shape.size)?;
    let mut sources = Sources {
        machine: MachineFiles::find(&shape.folders, shape.seed),
        content: Content::new(shape.seed),
    };
    let mut free = FreeSpace::new(shape);
    let budget = shape.size / 100 * shape.fill;
    let mut used = [0_u64; SHARES.len()];
    let mut data = Vec::new();
    // The kind that lags furthest behind its share comes next, so that all kinds are everywhere in the image.
    while let Some(which) = (0..SHARES.len())
        .filter(|i| used[*i] < budget / 100 * SHARES[*i].1)
        .min_by_key(|i| used[*i] / SHARES[*i].1)
    {
        let (kind, percent) = SHARES[which];
        let most = index(budget / 100 * percent - used[which]);
        sources.next(kind, most, &mut data);
        if data.is_empty() && matches!(kind, Kind::Binary | Kind::Text) {
            return Err(io::Error::other(
                "no programs or no text in the folders that --from names",
            ));
        }
        let placed = place(file, &data, &mut free)?;
        used[which] += placed.max(BLOCK as u64);
        if placed < data.len() as u64 {
            break; // No block is free.
        }
    }
    let [binary, text, incompressible, logs, small] = used;
    Ok(ImageReport {
        binary,
        text,
        incompressible,
        logs,
        small,
    })
}

/// Writes a file into free extents; returns the bytes of the blocks it took.
fn place(file: &File, data: &[u8], free: &mut FreeSpace) -> io::Result<u64> {
    let mut rest = data;
    let mut placed = 0;
    while !rest.is_empty() {
        let Some((offset, room)) = free.take(rest.len() as u64) else {
            break;
        };
        let (now, later) = rest.split_at(rest.len().min(index(room)));
        file.write_all_at(now, offset)?;
        placed += room;
        rest = later;
    }
    Ok(placed)
}

/// Blocks not used yet: groups of 32 MiB that are filled from their start up to a level of their own.
struct FreeSpace {
    /// (next free block, first block not to be used) of each group, the group to use now last.
    groups: Vec<(u64, u64)>,
    random: Random,
}

impl FreeSpace {
    fn new(shape: &ImageShape) -> Self {
        let mut random = Random::new(shape.seed, "layout");
        let blocks = shape.size / BLOCK as u64;
        let group = (32 << 20) / BLOCK as u64;
        let mut groups: Vec<(u64, u64)> = (0..blocks.div_ceil(group))
            .map(|g| {
                let (start, end) = (g * group, ((g + 1) * group).min(blocks));
                // Levels from 2 * fill - 100 to 100 percent have `fill` as their mean; five more for rounding.
                let level = (100 - random.below(2 * (100 - shape.fill.min(100)) + 1) + 5).min(100);
                (start, start + (end - start) * level / 100)
            })
            .collect();
        // The first groups are used first, but not strictly: a disk that has lived for a while.
        groups.reverse();
        Self { groups, random }
    }

    /// An extent for up to `length` bytes: (offset, room in bytes). A long file is split now and then.
    fn take(&mut self, length: u64) -> Option<(u64, u64)> {
        let wanted = length.div_ceil(BLOCK as u64);
        let wanted = if wanted > 2048 && self.random.below(3) == 0 {
            wanted / 2
        } else {
            wanted
        };
        loop {
            let last = self.groups.len().checked_sub(1)?;
            let nearby = self.groups.len().min(8);
            let group = last - self.random.index(nearby);
            let (next, end) = self.groups[group];
            if next >= end {
                self.groups.remove(group);
                continue;
            }
            let taken = wanted.min(end - next);
            // A gap of a few blocks now and then: files that were deleted.
            let gap = if self.random.below(16) == 0 {
                self.random.below(24)
            } else {
                0
            };
            self.groups[group].0 = next + taken + gap;
            return Some((next * BLOCK as u64, taken * BLOCK as u64));
        }
    }
}
