//! The archive's folder on the disk, and whose it is. Nothing on the disk is trusted: no link is followed here.

use std::os::fd::{BorrowedFd, OwnedFd};

use nacre_wire::ErrorCode;
use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use crate::failure::{Failure, While};

/// The folder where no path was given.
const DEFAULT: &[u8] = b"nacre";
/// Who owns new archives where the disk does not say better: the first ordinary user, in Qubes `user`.
pub(super) const ORDINARY: u32 = 1000;

/// As whom the server runs.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// Finds the archive's owner; with `create`, makes the folder (not its parents) for its parent's owner. Also the path, from
/// the disk's top.
pub(super) fn prepare(
    root: BorrowedFd<'_>,
    path: &[u8],
    create: bool,
) -> Result<(Owner, Vec<u8>), Failure> {
    let parts: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    let mut path = parts.join(&b'/');
    if path.is_empty() {
        path = DEFAULT.to_vec();
    }
    if parts.contains(&&b".."[..]) {
        let text = "the archive's path must be without `..`";
        return Err(Failure::new(ErrorCode::Refused, text));
    }
    let folder = match beneath(root, &path) {
        Ok(folder) => folder,
        Err(Errno::NOENT) if create => make(root, &path)?,
        Err(Errno::NOENT) => {
            let text = "the folder does not exist on the disk";
            return Err(Failure::new(ErrorCode::NoArchive, text));
        }
        Err(errno) => return Err(Failure::kernel("open the archive's folder", errno)),
    };
    let stat = rustix::fs::fstat(&folder).doing("stat the archive's folder")?;
    if stat.st_uid == 0 {
        let text = "the archive on the disk belongs to root; give it, with `chown -R`, to whom it shall be served as";
        return Err(Failure::new(ErrorCode::Refused, text));
    }
    let owner = Owner {
        user: stat.st_uid,
        group: stat.st_gid,
    };
    Ok((owner, path))
}

/// Opens a folder without following links and without leaving the disk.
fn beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
}

fn make(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Failure> {
    let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or(b"."),
            path.get(at + 1..).unwrap_or(b""),
        ),
        None => (&b"."[..], path),
    };
    let parent = beneath(root, parent).map_err(|errno| {
        let mut failure = Failure::kernel("the folder that shall hold the archive", errno);
        if errno == Errno::NOENT {
            failure.code = ErrorCode::NoArchive;
        }
        failure
    })?;
    let holder = rustix::fs::fstat(&parent).doing("stat")?;
    rustix::fs::mkdirat(&parent, name, Mode::RWXU).doing("make the archive's folder")?;
    let folder = beneath(root, path).doing("open the archive's folder")?;
    let ordinary = |id| if id == 0 { ORDINARY } else { id };
    let (user, group) = (ordinary(holder.st_uid), ordinary(holder.st_gid));
    let made = rustix::fs::fstat(&folder).doing("stat")?;
    // FAT keeps no owners: there the mount's is everyone's.
    if (made.st_uid, made.st_gid) != (user, group) {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        rustix::fs::fchown(&folder, Some(user), Some(group)).doing("give the folder away")?;
    }
    // The archive's own name and owner: after this a power cut cannot take them.
    for changed in [&folder, &parent] {
        match rustix::fs::fsync(changed) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rustix::fs::syncfs(changed),
            result => result,
        }
        .doing("fsync the folder that holds the archive")?;
    }
    Ok(folder)
}
