//! Local storage on file systems that clone files: real Btrfs and XFS on loop devices.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.
#![allow(clippy::cast_possible_truncation)] // The volumes are small.

mod compressed;
mod kept;
mod links;
mod moved;
mod pool;
mod random;
mod restore;
mod scale;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use nacre::joints::{AlignedBuffer, Changes, FrozenVolume, Pool, Ranges, VolumeNames};
use nacre::source::open_pool;
use nacre_core::ids::ArchiveId;
use nacre_tests::MemoryState;
use nacre_tests::mounts::{FileSystem, Mounted};
use rustix::fs::FallocateFlags;

/// A folder on a mounted file system, as one archive sees it.
struct Desk {
    disk: Mounted,
    state: MemoryState,
    pool: Box<dyn Pool>,
}

const ARCHIVE: ArchiveId = ArchiveId([0x5a; 16]);
const BLOCK: u64 = 4096;

/// Calls `check` on a fresh Btrfs and a fresh XFS.
fn on_both(test: &str, check: impl Fn(&Desk)) {
    on_both_of(512, test, check);
}

/// The same, of so many MiB.
fn on_both_of(mib: u64, test: &str, check: impl Fn(&Desk)) {
    for kind in [FileSystem::Btrfs, FileSystem::Xfs] {
        match Mounted::new(kind, mib) {
            Ok(disk) => check(&Desk::on(disk)),
            Err(why) => nacre_tests::skip(&format!("{test} on {kind:?}"), &why),
        }
    }
}

fn on_btrfs(test: &str, check: impl Fn(&Desk)) {
    match Mounted::new(FileSystem::Btrfs, 512) {
        Ok(disk) => check(&Desk::on(disk)),
        Err(why) => nacre_tests::skip(test, &why),
    }
}

impl Desk {
    fn on(disk: Mounted) -> Self {
        let state = MemoryState::new();
        let pool = open(&disk, ARCHIVE, &state);
        Self { disk, state, pool }
    }

    /// The pool as another archive sees it.
    fn seen_by(&self, archive: ArchiveId) -> Box<dyn Pool> {
        open(&self.disk, archive, &MemoryState::new())
    }

    /// The pool as the next run of the program sees it.
    fn reopened(&self) -> Box<dyn Pool> {
        open(&self.disk, ARCHIVE, &self.state)
    }

    fn path(&self, local: &str) -> PathBuf {
        self.disk.path().join(local)
    }

    /// Makes or opens a volume.
    fn image(&self, local: &str) -> File {
        let path = self.path(local);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(path).unwrap()
    }

    fn freeze(&self, local: &str) -> Box<dyn FrozenVolume> {
        freeze(self.pool.as_ref(), local)
    }

    /// Freezes and commits, as a session does. Returns what the head would remember.
    fn session(&self, local: &str) -> Vec<u8> {
        let mut frozen = self.freeze(local);
        frozen.committed().unwrap();
        frozen.identity()
    }

    /// The snapshot files, sorted.
    fn snapshots(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path(".nacre-snapshots/5a5a5a5a")) else {
            return Vec::new();
        };
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }
}

fn open(disk: &Mounted, archive: ArchiveId, state: &MemoryState) -> Box<dyn Pool> {
    let place = disk.path().display().to_string();
    open_pool(&place, archive, Arc::new(state.clone())).unwrap()
}

fn freeze(pool: &dyn Pool, local: &str) -> Box<dyn FrozenVolume> {
    let frozen = pool.freeze(&[VolumeNames::same(local)]).unwrap();
    frozen.into_iter().next().unwrap().unwrap()
}

/// Fills blocks with bytes that depend on block and seed, and writes them out.
fn write(file: &File, blocks: std::ops::Range<u64>, seed: u64) {
    for block in blocks {
        let mut content = vec![0; 4096];
        blake3::Hasher::new()
            .update(&[block.to_le_bytes(), seed.to_le_bytes()].concat())
            .finalize_xof()
            .fill(&mut content);
        file.write_all_at(&content, block * BLOCK).unwrap();
    }
    file.sync_all().unwrap();
}

fn punch(file: &File, blocks: std::ops::Range<u64>) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let length = (blocks.end - blocks.start) * BLOCK;
    rustix::fs::fallocate(file, flags, blocks.start * BLOCK, length).unwrap();
}

fn ranges(changes: Changes) -> Ranges {
    match changes {
        Changes::Ranges(ranges) => Ranges::of(&ranges),
        Changes::Everything(why) => panic!("everything: {why}"),
    }
}

fn reason(changes: Changes) -> String {
    match changes {
        Changes::Ranges(ranges) => panic!("believed: {ranges:?}"),
        Changes::Everything(why) => why,
    }
}

/// The frozen content as `send` reads it: data only, holes as zeros.
fn content(frozen: &dyn FrozenVolume) -> Vec<u8> {
    let size = usize::try_from(frozen.size()).unwrap();
    let mut all = vec![0; size];
    let mut at = 0;
    while let Some(range) = frozen.next_data(at).unwrap() {
        assert!(at <= range.start && range.start < range.end && range.end <= frozen.size());
        let (start, end) = (range.start as usize, range.end as usize);
        let mut buffer = AlignedBuffer::new((end - start).next_multiple_of(4096));
        frozen.read_at(range.start, &mut buffer).unwrap();
        all[start..end].copy_from_slice(&buffer[..end - start]);
        at = range.end;
    }
    all
}

/// Checks that every byte that differs lies in the ranges, zeros standing behind the shorter one's end.
fn assert_all_found(old: &[u8], new: &[u8], found: &Ranges, what: &str) {
    let step = 512;
    for start in (0..new.len()).step_by(step) {
        let end = (start + step).min(new.len());
        let mut before = old.get(start..old.len().min(end)).unwrap_or(&[]).to_vec();
        before.resize(end - start, 0);
        if before != new[start..end] {
            let differ = (start..end).filter(|at| before[at - start] != new[*at]);
            for at in differ {
                assert!(
                    found.touches(at as u64, at as u64 + 1),
                    "{what}: byte {at} changed and is not in {found:?}"
                );
            }
        }
    }
}

fn run(command: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(command).args(arguments).output();
    let output = output.map_err(|error| format!("{command}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}
