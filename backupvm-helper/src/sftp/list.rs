//! Listing a class, several folders at once: a listing costs a few round trips per folder, and there are 256 of packs.

use nacre_wire::{Class, Name};

use super::packet::Entry;
use super::{Answer, Ask, Handle, Packet, REGULAR, Sftp, refusal, status};
use crate::backend::{DEAD, UNLOCKED};
use crate::failure::Failure;

/// Folders that are read at once.
const AT_ONCE: usize = 16;
/// How the names begin of what a helper of the host leaves: over SFTP nobody can see whether that lives.
const LOCKED: &str = ".put-";

/// Called with a name and a size; `false` means that nobody wants the rest.
type Each<'a> = &'a mut dyn FnMut(Name, u64) -> bool;

pub(super) fn list(sftp: &Sftp, class: Class, each: Each<'_>) -> Result<(), Failure> {
    let folders: Vec<String> = if class == Class::Pack {
        (0..=u8::MAX)
            .map(|shard| format!("pack/{shard:02x}"))
            .collect()
    } else {
        vec![class.folder().to_owned()]
    };
    for some in folders.chunks(AT_ONCE) {
        if !list_some(sftp, some, each)? {
            break;
        }
    }
    Ok(())
}

fn list_some(sftp: &Sftp, folders: &[String], each: Each<'_>) -> Result<bool, Failure> {
    let mut opening = Vec::new();
    for folder in folders {
        let path = sftp.folders.path(folder);
        let fill = |packet: Packet| packet.string(&path);
        opening.push((folder, sftp.session.send(Ask::Opendir, fill)?));
    }
    let mut open: Vec<(&String, Handle<'_>)> = Vec::new();
    for (folder, ticket) in opening {
        match ticket.handle("list a folder") {
            Ok(handle) => open.push((folder, handle)),
            Err(failure) if failure.code == nacre_wire::ErrorCode::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    while !open.is_empty() {
        let mut reading = Vec::new();
        for (_, handle) in &open {
            let fill = |packet: Packet| packet.string(handle.bytes());
            reading.push(sftp.session.send(Ask::Readdir, fill)?);
        }
        let mut more = Vec::new();
        for (ticket, (folder, handle)) in reading.into_iter().zip(open) {
            match ticket.wait()? {
                Answer::Names(entries) => {
                    for entry in entries {
                        if !take(sftp, folder, entry, each)? {
                            return Ok(false);
                        }
                    }
                    more.push((folder, handle));
                }
                Answer::Status(status::EOF, _) => {}
                other => return Err(refusal("list a folder", &other)),
            }
        }
        open = more;
    }
    Ok(true)
}

/// Tells of an object, removes a leftover, passes over everything else.
fn take(sftp: &Sftp, folder: &str, entry: Entry, each: Each<'_>) -> Result<bool, Failure> {
    let path = [folder.as_bytes(), b"/", &entry.name].concat();
    let begins = |with: &str| entry.name.starts_with(with.as_bytes());
    if (begins(UNLOCKED) || begins(LOCKED)) && !entry.name.contains(&b'/') {
        let times = sftp.now.zip(entry.attributes.modified);
        if times.is_some_and(|(now, then)| now.saturating_sub(then) > DEAD) {
            let whole = [&sftp.folders.path("")[..], b"/", &path].concat();
            sftp.remove(&whole);
        }
        return Ok(true);
    }
    let Some(name) = Name::parse(&path) else {
        return Ok(true);
    };
    // Some servers list names only.
    let attributes = if entry.attributes.size.is_some() {
        Some(entry.attributes)
    } else {
        sftp.attributes(Ask::Lstat, &sftp.path_of(name))?
    };
    match attributes {
        Some(stat) if stat.is_type(REGULAR) => Ok(each(name, stat.size.unwrap_or(0))),
        _ => Ok(true),
    }
}
