//! A disk with a file system whose writes are recorded.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::log::Log;

/// Where the writes are recorded.
const RECORD: &str = "/dev/ubde";
/// What of the empty file system is kept apart, in bytes.
const BLOCK: usize = 4096;

/// A file system.
pub struct Kind {
    pub name: &'static str,
    device: &'static str,
    make: &'static [&'static str],
    /// An object that nobody acknowledged is whole or not there. FAT gives the new name to a file without its size, and writes that later.
    pub atomic: bool,
}

pub const EXT4: Kind = Kind {
    name: "ext4",
    device: "/dev/ubda",
    make: &["mkfs.ext4", "-q", "-F"],
    atomic: true,
};
pub const XFS: Kind = Kind {
    name: "xfs",
    device: "/dev/ubdb",
    make: &["mkfs.xfs", "-q", "-f"],
    atomic: true,
};
pub const BTRFS: Kind = Kind {
    name: "btrfs",
    device: "/dev/ubdc",
    make: &["mkfs.btrfs", "-q", "-f"],
    atomic: true,
};
pub const VFAT: Kind = Kind {
    name: "vfat",
    device: "/dev/ubdd",
    make: &["mkfs.vfat"],
    atomic: false,
};

impl Kind {
    fn folder(&self) -> String {
        format!("/tmp/power-{}", self.name)
    }
}

/// Runs a command.
fn run(words: &[&str]) {
    // Nobody plays udev's part here.
    let output = Command::new(words[0])
        .args(&words[1..])
        .env("DM_DISABLE_UDEV", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
}

/// A mounted file system on a recorded disk.
pub struct Disk {
    kind: &'static Kind,
    size: u64,
    empty: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    /// Makes and mounts it. What was written to make it is not part of the record.
    pub fn make(kind: &'static Kind) -> Self {
        for module in ["dm-log-writes", "loop", kind.name] {
            // What is built in is no module.
            let _ = Command::new("modprobe").arg(module).output();
        }
        // The kernel shall write when it likes, not only when it is told.
        for setting in ["dirty_writeback_centisecs", "dirty_expire_centisecs"] {
            fs::write(Path::new("/proc/sys/vm").join(setting), "2").unwrap();
        }
        run(&[kind.make, &[kind.device]].concat());
        let (size, empty) = read_device(kind.device);
        let table = format!("0 {} log-writes {} {RECORD}", size / 512, kind.device);
        run(&["dmsetup", "create", kind.name, "--table", &table]);
        let folder = kind.folder();
        fs::create_dir_all(&folder).unwrap();
        let mapped = format!("/dev/mapper/{}", kind.name);
        run(&["mount", "-t", kind.name, &mapped, &folder]);
        Self { kind, size, empty }
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.kind.folder().into()
    }

    /// Notes in the record that everything so far was acknowledged.
    pub fn mark(&self, text: &str) {
        run(&["dmsetup", "message", self.kind.name, "0", "mark", text]);
    }

    /// Unmounts it; the record.
    pub fn end(self) -> Log {
        run(&["umount", &self.kind.folder()]);
        run(&["dmsetup", "remove", self.kind.name]);
        if self.kind.name == "btrfs" {
            // Else the kernel takes what cuts leave for an old copy of this.
            run(&["btrfs", "device", "scan", "--forget"]);
        }
        Log::read(RECORD, self.kind, self.size, self.empty)
    }
}

/// The device's size and its blocks that are not zero.
fn read_device(device: &str) -> (u64, Vec<(u64, Vec<u8>)>) {
    let mut file = File::open(device).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut piece).unwrap();
        if read == 0 {
            return (at, found);
        }
        for (number, block) in piece[..read].chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                found.push((at + (number * BLOCK) as u64, block.to_vec()));
            }
        }
        at += read as u64;
    }
}

/// What a power cut left.
pub struct Left {
    image: tempfile::NamedTempFile,
    kind: &'static Kind,
}

impl Left {
    /// A disk with these contents, which lies in memory.
    pub fn new(kind: &'static Kind, size: u64) -> Self {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(size).unwrap();
        Self { image, kind }
    }

    pub fn file(&self) -> &File {
        self.image.as_file()
    }

    /// Mounts it as the next start of the machine would.
    pub fn mounted(self, look: impl FnOnce(&Path)) {
        let image = self.image.path().to_str().unwrap();
        self.image.as_file().flush().unwrap();
        let folder = self.kind.folder();
        run(&["mount", "-t", self.kind.name, "-o", "loop", image, &folder]);
        look(Path::new(&folder));
        run(&["umount", &folder]);
    }
}
