//! Real file systems on loop devices, for tests that run as root.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Their names say it.
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
    Tmpfs,
    /// exFAT through FUSE: no hard links, no rename that refuses to replace.
    ExfatFuse,
}

impl FileSystem {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Ext4,
        Self::Xfs,
        Self::Btrfs,
        Self::Tmpfs,
        Self::ExfatFuse,
    ];

    fn make(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["mkfs.ext4", "-q", "-F"],
            Self::Xfs => &["mkfs.xfs", "-q", "-f"],
            Self::Btrfs => &["mkfs.btrfs", "-q", "-f"],
            Self::Tmpfs => &["true"],
            Self::ExfatFuse => &["mkfs.exfat"],
        }
    }

    fn mount(self) -> &'static [&'static str] {
        match self {
            Self::Tmpfs => &["mount", "-t", "tmpfs"],
            Self::ExfatFuse => &["mount", "-t", "exfat-fuse", "-o", "loop,noatime"],
            _ => &["mount", "-o", "loop"],
        }
    }
}

/// Makes an image of 300 MiB with ext4 that nobody has mounted yet.
pub fn ext4_image(image: &Path, uuid: &str) -> Result<(), String> {
    let file = std::fs::File::create(image).map_err(|error| error.to_string())?;
    file.set_len(300 << 20).map_err(|error| error.to_string())?;
    let make = [FileSystem::Ext4.make(), &["-U", uuid]].concat();
    run(&make, &[image])
}

/// A mounted file system of its own. Dropping it unmounts and removes it.
pub struct Mounted {
    place: tempfile::TempDir,
    kind: FileSystem,
}

impl Mounted {
    /// Makes and mounts one of `mib` MiB, at least 300 for XFS. Why not, where this machine cannot.
    pub fn new(kind: FileSystem, mib: u64) -> Result<Self, String> {
        Self::on_image(kind, mib, &std::env::temp_dir())
    }

    /// The same, with its image in a folder of the caller's choice.
    pub fn on_image(kind: FileSystem, mib: u64, folder: &Path) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting needs root".into());
        }
        let place = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
        let image = place.path().join("image");
        let folder = place.path().join("mounted");
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(mib << 20).map_err(|error| error.to_string())?;
        run(kind.make(), &[image.as_path()])?;
        if kind == FileSystem::Tmpfs {
            let size = format!("size={mib}m");
            let command = [kind.mount(), &["-o", &size, "tmpfs"]].concat();
            run(&command, &[folder.as_path()])?;
        } else {
            run(kind.mount(), &[image.as_path(), folder.as_path()])?;
        }
        Ok(Self { place, kind })
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.place.path().join("mounted")
    }

    /// The file beneath the loop device.
    pub fn image(&self) -> PathBuf {
        self.place.path().join("image")
    }

    /// What a power cut at this moment leaves: the device as it is now, without what the kernel has not yet written to it.
    /// `stop` is called between the copy and the unmounting, to end whoever uses it.
    pub fn power_cut(self, stop: impl FnOnce()) -> Result<Self, String> {
        let place = tempfile::tempdir().map_err(|error| error.to_string())?;
        let image = place.path().join("image");
        let folder = place.path().join("mounted");
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        run(&["cp", "--sparse=always"], &[&self.image(), &image])?;
        stop();
        let kind = self.kind;
        drop(self);
        run(kind.mount(), &[image.as_path(), folder.as_path()])?;
        Ok(Self { place, kind })
    }

    /// Makes it read-only.
    pub fn make_read_only(&self) -> Result<(), String> {
        run(&["mount", "-o", "remount,ro"], &[&self.path()])
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let path = self.path();
        if run(&["umount"], &[&path]).is_err() {
            let _ = run(&["umount", "-l"], &[&path]);
        }
    }
}

fn run(command: &[&str], paths: &[&Path]) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let output = Command::new(program)
        .args(arguments)
        .args(paths)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.trim()))
}
