//! Imports into a thin pool of this machine, with the names that qubesd gives (qubes/storage/lvm.py).

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

fn lvm(arguments: &[&str]) -> Option<()> {
    let status = Command::new("lvm")
        .args(arguments)
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success()).then_some(())
}

/// An empty volume beside the old one. `vid`: `GROUP/NAME`.
pub(super) fn begin(vid: &str, size: u64) -> Option<PathBuf> {
    let (group, name) = vid.split_once('/')?;
    let import = format!("{name}-import");
    let size = format!("{size}b");
    let pool = format!("{group}/vm-pool");
    lvm(&[
        "lvcreate", "-q", "-y", "-V", &size, "-T", &pool, "-n", &import,
    ])?;
    let doubled = import.replace('-', "--");
    Some(PathBuf::from(format!("/dev/mapper/{group}-{doubled}")))
}

/// The new one takes the name, and the old one that of a revision; or the new one goes.
pub(super) fn end(vid: &str, well: bool) -> Option<()> {
    let (group, name) = vid.split_once('/')?;
    let import = format!("{name}-import");
    if !well {
        return lvm(&["lvremove", "-q", "-f", &format!("{group}/{import}")]);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    // There is none when the qube is new.
    let _ = lvm(&["lvrename", "-q", group, name, &format!("{name}-{now}-back")]);
    lvm(&["lvrename", "-q", group, &import, name])
}
