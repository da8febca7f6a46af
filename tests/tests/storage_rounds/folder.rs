//! A folder of image files on a file system that clones files.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nacre_tests::desk::Desk;
use nacre_tests::mounts::{FileSystem, Mounted};
use rustix::fs::FallocateFlags;

use crate::place::Place;

pub struct Folder {
    mounted: Mounted,
}

impl Folder {
    pub fn new(kind: FileSystem) -> Result<Self, String> {
        let mounted = Mounted::new(kind, 600)?;
        fs::create_dir_all(mounted.path().join("pool/appvms/mail"))
            .map_err(|error| error.to_string())?;
        Ok(Self { mounted })
    }

    fn root(&self) -> PathBuf {
        self.mounted.path().join("pool")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn open(&self, name: &str) -> File {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        options.open(self.path(name)).unwrap()
    }
}

impl Place for Folder {
    fn desk(&self) -> Desk {
        Desk::new()
    }

    fn local(&self) -> String {
        self.root().display().to_string()
    }

    fn volumes(&self) -> [&'static str; 2] {
        ["appvms/mail/private.img", "vm-root.img"]
    }

    fn alias(&self) -> &'static str {
        "appvms/other/private.img"
    }

    fn grain(&self) -> u64 {
        1
    }

    fn exists(&self, volume: &str) -> bool {
        self.path(volume).exists()
    }

    fn resize(&self, volume: &str, size: u64) {
        self.open(volume).set_len(size).unwrap();
    }

    /// Not synced: the program must see to that itself.
    fn write(&self, volume: &str, at: u64, bytes: &[u8]) {
        self.open(volume).write_all_at(bytes, at).unwrap();
    }

    fn discard(&self, volume: &str, range: Range<u64>) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let length = range.end - range.start;
        rustix::fs::fallocate(self.open(volume), flags, range.start, length).unwrap();
    }

    fn content(&self, volume: &str) -> Vec<u8> {
        fs::read(self.path(volume)).unwrap()
    }

    fn replace(&self, volume: &str) {
        let dirty = "appvms/mail/dirty";
        rustix::fs::ioctl_ficlone(self.open(dirty), self.open(volume)).unwrap();
        fs::rename(self.path(dirty), self.path(volume)).unwrap();
    }

    fn remove(&self, volume: &str) {
        fs::remove_file(self.path(volume)).unwrap();
    }

    fn snapshots(&self) -> Vec<String> {
        let root = self.root();
        let mut found = Vec::new();
        files(&root.join(".nacre-snapshots"), &mut found);
        let below = |path: PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
        let mut found: Vec<String> = found.into_iter().map(below).collect();
        found.sort();
        found
    }

    fn left_overs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.contains(".nacre-") && name != ".nacre-snapshots")
            .collect()
    }

    fn lose(&self, snapshot: &str) {
        self.remove(snapshot);
    }

    fn swap(&self, one: &str, other: &str) {
        let [one, other] = [one, other].map(|name| self.path(name));
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        let cwd = rustix::fs::CWD;
        rustix::fs::renameat_with(cwd, &one, cwd, &other, flags).unwrap();
    }

    fn rename(&self, snapshot: &str, name: &str) {
        fs::rename(self.path(snapshot), self.path(name)).unwrap();
    }

    fn scribble(&self, snapshot: &str, at: u64, bytes: &[u8]) {
        let path = self.path(snapshot);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(bytes, at).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    }

    fn make_anew(&self, snapshot: &str, volume: &str) {
        self.lose(snapshot);
        rustix::fs::ioctl_ficlone(self.open(snapshot), self.open(volume)).unwrap();
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}
