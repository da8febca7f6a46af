//! The pool itself: its state, and its metadata through a metadata snapshot.
//!
//! A pool has one metadata snapshot at most. Ours lasts seconds. Two things remember it, so that a crash of ours leaves none for good: a file
//! in dom0's folder of the archive, written before the reservation and, with the block it begins with, after it; and the same in /run, under a
//! lock which keeps other processes of ours waiting.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use super::btree::BLOCK;
use super::command::{dmsetup, lvm};
use super::metadata::{BlockReader, Metadata};
use super::names::mapper_name;
use super::run_file::RunFile;
use super::status::PoolStatus;
use crate::joints::{SourceError, SourceErrorKind, StateDir};
use crate::source::storage_error;

/// The file in dom0's folder while a metadata snapshot is reserved: the name of the pool's device, and the block it begins with.
const MARK: &str = "lvm-metadata-snapshot";
const LONGEST_MARK: usize = 1024;
/// How often somebody else's metadata snapshot is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// A thin pool.
pub struct Thin {
    /// The volume group.
    pub group: String,
    /// The pool's name in it.
    pub pool: String,
    /// LVM's uuid of the pool.
    pub uuid: String,
    state: Arc<dyn StateDir>,
    /// How long somebody else's metadata snapshot is waited for.
    pub patience: Duration,
}

impl Thin {
    /// A pool with what is remembered of it.
    pub fn new(group: &str, pool: &str, uuid: &str, state: Arc<dyn StateDir>) -> Self {
        Self {
            group: group.to_owned(),
            pool: pool.to_owned(),
            uuid: uuid.to_owned(),
            state,
            patience: Duration::from_secs(30),
        }
    }

    /// `vg/pool`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.group, self.pool)
    }

    /// `vg/volume`.
    pub fn path(&self, volume: &str) -> String {
        format!("{}/{volume}", self.group)
    }

    /// The device of an active volume.
    pub fn device(&self, volume: &str) -> PathBuf {
        Path::new("/dev/mapper").join(mapper_name(&self.group, volume))
    }

    /// The name of the pool's device, and its state. A pool that is not active is activated, and stays so.
    pub fn status(&self) -> Result<(String, PoolStatus), SourceError> {
        let plain = mapper_name(&self.group, &self.pool);
        // With volumes active, LVM puts a layer of its own above the pool proper.
        let names = [format!("{plain}-tpool"), plain];
        let place = self.place();
        let look = || {
            let found = names.iter().find_map(|name| {
                let line = dmsetup(&place, &["status", name]).ok()?;
                Some((name.clone(), PoolStatus::parse(&line)?))
            });
            found.ok_or_else(|| {
                let detail = "device-mapper does not show the thin pool";
                SourceError::new(SourceErrorKind::Io, place.clone(), detail)
            })
        };
        look().or_else(|_| {
            lvm(&place, "lvchange", &["--activate", "y", &place])?;
            look()
        })
    }

    /// Reads the metadata as they are now. The metadata snapshot is gone when it returns, however it returns.
    pub fn with_metadata<T>(
        &self,
        read: impl FnOnce(&Metadata<DeviceReader>) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let reserved = Reserved::take(self)?;
        let node = format!("{}_tmeta", mapper_name(&self.group, &self.pool));
        let result = DeviceReader::open(&Path::new("/dev/mapper").join(node))
            .and_then(Metadata::open)
            .and_then(|metadata| read(&metadata));
        // If it was not ours to the end, its blocks may have come to hold something else: neither what was read nor an error of it counts.
        reserved.release().and(result)
    }

    fn remember(&self, text: &str) -> Result<(), SourceError> {
        let bytes = text.as_bytes();
        let done = self.state.replace(MARK, bytes);
        done.map_err(|error| SourceError::new(SourceErrorKind::Io, MARK, error.to_string()))
    }

    fn remembered(&self) -> String {
        let found = self.state.read(MARK, LONGEST_MARK).ok().flatten();
        String::from_utf8_lossy(&found.unwrap_or_default()).into_owned()
    }

    fn forget(&self) -> Result<(), SourceError> {
        let done = self.state.remove(MARK);
        done.map_err(|error| SourceError::new(SourceErrorKind::Io, MARK, error.to_string()))
    }
}

/// A metadata snapshot of ours.
struct Reserved<'a> {
    thin: &'a Thin,
    device: String,
    lock: RunFile,
    open: bool,
    /// The block that it begins with.
    held_root: Option<u64>,
}

impl<'a> Reserved<'a> {
    fn take(thin: &'a Thin) -> Result<Self, SourceError> {
        // Waits for other processes (and threads) of ours, which hold it for seconds.
        let lock = RunFile::lock(&format!(
            "{}.metadata",
            mapper_name(&thin.group, &thin.pool)
        ))?;
        let place = thin.place();
        let device = wait_until_free(thin, &lock)?;
        // A crash from here on leaves the mark: the next run releases what was reserved.
        thin.remember(&device)?;
        lock.write(&device)?;
        let mut reserved = Self {
            thin,
            device,
            lock,
            open: false,
            held_root: None,
        };
        let message = ["message", &reserved.device, "0", "reserve_metadata_snap"];
        if let Err(error) = dmsetup(&place, &message) {
            // Whoever was faster holds it; it must not be taken for ours later.
            thin.forget()?;
            reserved.lock.write("")?;
            return Err(error);
        }
        reserved.open = true;
        let (_, status) = thin.status()?;
        reserved.held_root = status.held_root;
        let mark = mark(&reserved.device, status.held_root.unwrap_or_default());
        thin.remember(&mark)?;
        reserved.lock.write(&mark)?;
        Ok(reserved)
    }

    fn release(mut self) -> Result<(), SourceError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), SourceError> {
        if !self.open {
            return Ok(());
        }
        self.open = false;
        let now = self.thin.status().map(|(_, status)| status.held_root);
        if self.held_root.is_some() && now.is_ok_and(|now| now != self.held_root) {
            self.lock.write("")?;
            self.thin.forget()?;
            let detail = "another program released the pool's metadata snapshot while it was being read; run this again";
            let place = self.thin.place();
            return Err(SourceError::new(SourceErrorKind::Io, place, detail));
        }
        release(self.thin, &self.device, &self.lock)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        // Only after an error or a panic. What fails here is found by the next run.
        let _ = self.end();
    }
}

fn mark(device: &str, held_root: u64) -> String {
    format!("{device} {held_root}")
}

/// Releases first, and forgets then: a crash between leaves a mark whose block nobody holds.
fn release(thin: &Thin, device: &str, lock: &RunFile) -> Result<(), SourceError> {
    let message = ["message", device, "0", "release_metadata_snap"];
    dmsetup(&thin.place(), &message)?;
    lock.write("")?;
    thin.forget()
}

/// Waits until no metadata snapshot is there, and releases one that a crash of ours left. Returns the name of the pool's device.
fn wait_until_free(thin: &Thin, lock: &RunFile) -> Result<String, SourceError> {
    let until = Instant::now() + thin.patience;
    loop {
        let (device, status) = thin.status()?;
        status.check_health(&thin.place())?;
        let Some(held) = status.held_root else {
            return Ok(device);
        };
        let marks = [thin.remembered(), lock.read()];
        let waited = Instant::now() >= until;
        // Whoever held the lock is dead. A mark without a block was written just before a reservation: if that was never made, what is there
        // is somebody else's, who had all our patience to be done.
        let exact = marks.contains(&mark(&device, held));
        if exact || waited && marks.contains(&device) {
            release(thin, &device, lock)?;
            continue;
        }
        if waited {
            let detail = format!(
                "another program holds the pool's metadata snapshot; wait until it is done, or if none is running, release it with: dmsetup message {device} 0 release_metadata_snap"
            );
            return Err(SourceError::new(SourceErrorKind::Io, thin.place(), detail));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The device with a pool's metadata, read past the page cache: the kernel changes it beneath.
#[derive(Debug)]
pub struct DeviceReader {
    file: File,
    place: String,
}

impl DeviceReader {
    fn open(path: &Path) -> Result<Self, SourceError> {
        let place = path.display().to_string();
        let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| storage_error(&place, error))?;
        let file = File::from(fd);
        Ok(Self { file, place })
    }
}

impl BlockReader for DeviceReader {
    fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let error = |error| storage_error(&self.place, error);
        let end = || {
            let detail = format!("block {first} lies behind its end");
            SourceError::new(SourceErrorKind::Unreadable, self.place.clone(), detail)
        };
        // Offsets are signed numbers to the kernel.
        let start = first.checked_mul(BLOCK as u64).filter(|at| *at < 1 << 62);
        let start = start.ok_or_else(end)?;
        let mut done = 0;
        while done < buffer.len() {
            match rustix::io::pread(&self.file, &mut buffer[done..], start + done as u64) {
                Ok(0) => return Err(end()),
                Ok(count) => done += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(other) => return Err(error(other)),
            }
        }
        Ok(())
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}
