//! What a day of use does to a disk image: records updated in place, new files, longer logs, deleted files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;

use super::content::Content;
use super::{BLOCK, Random, index};

/// What to do to the image.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// Same image and seed, same result.
    pub seed: u64,
    /// Scattered 4 KiB writes, in hundredths of a percent of the image's size.
    pub scattered: u64,
    /// Only what lies before this offset is changed.
    pub limit: u64,
}

/// What was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayReport {
    /// Blocks of 4 KiB that were written.
    pub blocks: BTreeSet<u64>,
}

impl DayReport {
    /// How many pieces of the size (in bytes) hold a written block.
    pub fn touched(&self, piece: u64) -> u64 {
        let per_piece = piece / BLOCK as u64;
        let pieces: BTreeSet<u64> = self
            .blocks
            .iter()
            .map(|block| block / per_piece.max(1))
            .collect();
        pieces.len() as u64
    }

    /// The report as one line of JSON.
    pub fn json(&self, seed: u64) -> String {
        let bytes = self.blocks.len() * BLOCK;
        let chunks = |kib: u64| self.touched(kib << 10);
        format!(
            "{{\"seed\": {seed}, \"distinct_4k_blocks\": {}, \"distinct_4k_bytes\": {bytes}, \"touched_64k_chunks\": {}, \"touched_128k_chunks\": {}, \"touched_1024k_chunks\": {}}}",
            self.blocks.len(),
            chunks(64),
            chunks(128),
            chunks(1024)
        )
    }
}

/// Changes the image as a day of use would. The content is written, not synced.
///
/// # Errors
/// If the image cannot be read or written, or holds nothing.
pub fn spend_a_day(file: &File, day: &Day) -> io::Result<DayReport> {
    let size = file.metadata()?.len().min(day.limit);
    let used = used_blocks(file, size)?;
    if used.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the image is empty: nothing to change",
        ));
    }
    let mut image = Image {
        file,
        blocks: size / BLOCK as u64,
        free: free_blocks(&used, size / BLOCK as u64),
        used,
        random: Random::new(day.seed, "day"),
        report: DayReport::default(),
    };
    image.scatter(size / BLOCK as u64 * day.scattered / 10_000)?;
    let mut content = Content::new(day.seed.wrapping_add(1 << 32));
    // In an image of 4 GiB and more these are whole files; in smaller ones they shrink with it.
    let scale = |blocks: u64| ((blocks * size.min(1 << 32)) >> 32).max(1);
    for turn in 0..8 {
        let blocks = scale(image.random.pick(&[16, 64, 256, 512, 1024, 1536]));
        image.new_file(blocks, turn % 2 == 0)?;
    }
    for _ in 0..6 {
        let blocks = scale(image.random.pick(&[8, 16, 32, 64, 128]));
        let mut lines = Vec::new();
        content.log_lines(index(blocks) * BLOCK, &mut lines);
        image.write_free(&lines)?;
    }
    for _ in 0..4 {
        let blocks = scale(image.random.pick(&[64, 128, 256, 512]));
        let start = image.used_block().min(image.blocks.saturating_sub(blocks));
        image.write(start, &vec![0; index(blocks) * BLOCK])?;
    }
    Ok(image.report)
}

struct Image<'a> {
    file: &'a File,
    blocks: u64,
    used: Vec<u64>,
    free: Vec<u64>,
    random: Random,
    report: DayReport,
}

impl Image<'_> {
    /// Half of the writes go to a few hot regions of 1 MiB (databases, the journal), half anywhere.
    fn scatter(&mut self, writes: u64) -> io::Result<()> {
        let region = (1 << 20) / BLOCK as u64;
        let hot: Vec<u64> = (0..(self.blocks / region / 100).max(2))
            .map(|_| self.used_block() / region * region)
            .collect();
        for turn in 0..writes {
            let block = if turn % 2 == 0 {
                (self.random.pick(&hot) + self.random.below(region)).min(self.blocks - 1)
            } else {
                self.used_block()
            };
            let data = self.altered(block)?;
            self.write(block, &data)?;
        }
        Ok(())
    }

    /// New content of a block: a record updated (60 %), moved data (25 %), all new (15 %).
    fn altered(&mut self, block: u64) -> io::Result<Vec<u8>> {
        let kind = self.random.below(100);
        if kind < 60 {
            let mut data = self.read(block)?;
            let length = 64 + self.random.index(1400);
            let start = self.random.index(BLOCK - length);
            let donor = self.used_block();
            let other = self.read(donor)?;
            data[start..start + length].copy_from_slice(&other[..length]);
            self.random.fill(&mut data[start..start + 8]);
            return Ok(data);
        }
        let mut data = vec![0; BLOCK];
        if kind < 85 {
            let donor = self.used_block();
            data = self.read(donor)?;
            self.random.fill(&mut data[16..24]);
        } else {
            self.random.fill(&mut data);
        }
        Ok(data)
    }

    /// A new file in free space: incompressible, or a copy of used data with a few bytes of each KiB altered.
    fn new_file(&mut self, blocks: u64, incompressible: bool) -> io::Result<()> {
        let mut data = vec![0; index(blocks) * BLOCK];
        if incompressible {
            self.random.fill(&mut data);
        } else {
            for piece in data.chunks_mut(BLOCK) {
                let donor = self.used_block();
                self.file.read_exact_at(piece, donor * BLOCK as u64)?;
                for kib in piece.chunks_mut(1024) {
                    self.random.fill(&mut kib[..8]);
                }
            }
        }
        self.write_free(&data)
    }

    /// Writes whole blocks where nothing was; where no run of free blocks is long enough, as much as one takes.
    fn write_free(&mut self, data: &[u8]) -> io::Result<()> {
        if self.free.is_empty() {
            return Ok(());
        }
        let wanted = data.len() / BLOCK;
        let from = self.random.index(self.free.len());
        let first = self.free[from];
        let run = (0..wanted)
            .take_while(|i| {
                self.free
                    .get(from + i)
                    .is_some_and(|b| *b == first + *i as u64)
            })
            .count();
        self.free.drain(from..from + run);
        self.write(first, &data[..run * BLOCK])
    }

    fn used_block(&mut self) -> u64 {
        self.random.pick(&self.used)
    }

    fn read(&self, block: u64) -> io::Result<Vec<u8>> {
        let mut data = vec![0; BLOCK];
        self.file.read_exact_at(&mut data, block * BLOCK as u64)?;
        Ok(data)
    }

    fn write(&mut self, block: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, block * BLOCK as u64)?;
        let count = (data.len() / BLOCK) as u64;
        self.report.blocks.extend(block..block + count);
        Ok(())
    }
}

/// Whole blocks before `size` that hold anything but zeros, rising.
fn used_blocks(file: &File, size: u64) -> io::Result<Vec<u64>> {
    let mut used = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) {
        let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(size);
        let mut offset = start / BLOCK as u64 * BLOCK as u64;
        while offset + BLOCK as u64 <= end {
            let length = index((end - offset).min(1 << 20)) / BLOCK * BLOCK;
            let piece = &mut buffer[..length];
            file.read_exact_at(piece, offset)?;
            let first = offset / BLOCK as u64;
            let blocks = piece.chunks(BLOCK).zip(first..);
            used.extend(
                blocks
                    .filter(|(b, _)| b.iter().any(|byte| *byte != 0))
                    .map(|(_, n)| n),
            );
            offset += length as u64;
        }
        if end >= size {
            break;
        }
        at = end.max(start + 1);
    }
    Ok(used)
}

fn free_blocks(used: &[u64], blocks: u64) -> Vec<u64> {
    let mut used = used.iter().peekable();
    (0..blocks)
        .filter(|block| used.next_if(|u| *u == block).is_none())
        .collect()
}
