//! Finding a disk, mounting and unmounting it.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nacre_wire::ErrorCode;
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use super::folder::ORDINARY;
use crate::failure::{Failure, While};

/// Where every such helper mounts its disk, each in a namespace of its own.
pub(super) const POINT: &str = "/run/nacre-helper";
/// How long a disk that was just attached may take to appear.
const APPEARING: Duration = Duration::from_secs(10);
/// How long unmounting may find it busy: a server that was killed takes a moment to go.
const BUSY: Duration = Duration::from_secs(10);

/// A disk, mounted where only this process and its children see it.
pub(super) struct Mounted {
    root: OwnedFd,
}

impl Mounted {
    /// Finds the file system and mounts it.
    pub(super) fn new(uuid: &[u8]) -> Result<Self, Failure> {
        let device = find(checked(uuid)?)?;
        // The kernel's drivers of these are meant for disks that somebody else had in his hands; the rest is refused.
        let (kinds, options): (&[&str], _) = match kind_of(&device)?.as_str() {
            "ext4" | "ext3" | "ext2" => (&["ext4"], String::new()),
            "xfs" => (&["xfs"], String::new()),
            "btrfs" => (&["btrfs"], String::new()),
            "vfat" => (&["vfat"], owned()),
            "exfat" => (&["exfat", "exfat-fuse"], owned()),
            other => {
                let text = format!(
                    "the disk has a file system `{other}`; ext4, XFS, Btrfs, FAT and exFAT are served"
                );
                return Err(Failure::new(ErrorCode::Unsupported, text));
            }
        };
        separate()?;
        let options = format!("nosuid,nodev,noexec{options}");
        let mut last = None;
        for kind in kinds {
            match mount(kind, &options, &device) {
                Ok(()) => {
                    last = None;
                    break;
                }
                Err(failure) => last = Some(failure),
            }
        }
        if let Some(failure) = last {
            return Err(failure);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(POINT, flags, Mode::empty()).doing("open the disk")?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Forces everything to the disk and unmounts it.
    pub(super) fn unmount(self) -> Result<(), Failure> {
        let synced = rustix::fs::syncfs(&self.root);
        drop(self.root);
        let deadline = Instant::now() + BUSY;
        let unmounted = loop {
            match rustix::mount::unmount(POINT, UnmountFlags::NOFOLLOW) {
                Err(Errno::BUSY) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                result => break result,
            }
        };
        synced.doing("write the disk to its end")?;
        unmounted.doing("unmount the disk")
    }
}

/// Options for file systems that keep no owners.
fn owned() -> String {
    format!(",uid={ORDINARY},gid={ORDINARY},umask=077")
}

/// Hexadecimal digits and dashes: no path, no option.
fn checked(uuid: &[u8]) -> Result<&str, Failure> {
    let fits = (1..=36).contains(&uuid.len())
        && uuid.first() != Some(&b'-')
        && uuid
            .iter()
            .all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let text = std::str::from_utf8(uuid).ok().filter(|_| fits);
    text.ok_or_else(|| {
        let text = "a file system's UUID is hexadecimal digits and dashes";
        Failure::new(ErrorCode::Refused, text)
    })
}

/// The device with the file system. udev's link is used, for which udev has looked at the disk already; without udev, blkid
/// looks for it.
fn find(uuid: &str) -> Result<PathBuf, Failure> {
    let deadline = Instant::now() + APPEARING;
    loop {
        let link = Path::new("/dev/disk/by-uuid").join(uuid);
        if let Ok(device) = link.canonicalize() {
            return Ok(device);
        }
        let wanted = format!("UUID={uuid}");
        let said = blkid(&["-c", "/dev/null", "-o", "device", "-t", &wanted])?;
        let mut devices = said.lines().filter(|line| line.starts_with("/dev/"));
        match (devices.next(), devices.next()) {
            (Some(device), None) => return Ok(device.into()),
            (Some(_), Some(_)) => {
                let text = format!("there are two file systems with the UUID {uuid}");
                return Err(Failure::new(ErrorCode::Refused, text));
            }
            _ if Instant::now() >= deadline => {
                let text = format!("there is no disk with the file system {uuid}");
                return Err(Failure::new(ErrorCode::Unreachable, text));
            }
            _ => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}

fn kind_of(device: &Path) -> Result<String, Failure> {
    let device = device.display().to_string();
    let said = blkid(&["-p", "-o", "value", "-s", "TYPE", "--", &device])?;
    Ok(said.trim().chars().take(20).collect())
}

/// What blkid says; nothing found is an empty text.
fn blkid(arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new("/usr/sbin/blkid")
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| {
        let text = format!("cannot start blkid: {error}");
        Failure::new(ErrorCode::Unsupported, text)
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A mount namespace of our own, from which nothing spreads.
fn separate() -> Result<(), Failure> {
    // Deprecated because other flags than this one can make descriptors vanish under other threads.
    #[allow(deprecated)]
    rustix::thread::unshare(UnshareFlags::NEWNS).doing("leave the others' mounts")?;
    // Slave, not private: what others unmount shall not live on here, where it would keep their disks busy.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave).doing("keep mounts to myself")?;
    match rustix::fs::mkdir(POINT, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Failure::kernel("make a place for the disk", errno)),
    }
}

/// mount(8), which knows how FUSE file systems are started. Those stay behind as processes: they must not hold our
/// streams, on whose end the client waits.
fn mount(kind: &str, options: &str, device: &Path) -> Result<(), Failure> {
    let said = rustix::fs::memfd_create("mount", MemfdFlags::CLOEXEC).doing("make a file")?;
    let mut said = File::from(said);
    let failed = |text: String| Failure::new(ErrorCode::Unreachable, format!("mount: {text}"));
    let stderr = said
        .try_clone()
        .map_err(|error| failed(error.to_string()))?;
    let status = Command::new("mount")
        .args(["-t", kind, "-o", options, "--"])
        .arg(device)
        .arg(POINT)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .status()
        .map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    let _ = said.rewind();
    let _ = said.take(300).read_to_end(&mut text);
    Err(failed(String::from_utf8_lossy(&text).trim().to_owned()))
}
