//! Named bytes behind an SFTP server of version 3.
//!
//! What a power cut over there leaves: with fsync@openssh.com, which this uses on files and on folders, the same as in a
//! directory (`crate::directory`). Without it whatever the server's system has written by then: said as `unsynced`.
//!
//! Names are given by hardlink@openssh.com, which refuses an existing one in one atomic step; else by version 3's plain
//! rename, which must refuse it, too, but not atomically everywhere: said as `single-writer`. Never by posix-rename.

mod folders;
mod list;
mod packet;
mod read;
mod session;
mod upload;

pub use packet::{decode, decode_version};

use std::sync::{Arc, Mutex};

use nacre_wire::{Class, ErrorCode, Facts, ListEntry, Name, Range};

use crate::args::Options;
use crate::backend::{Backend, ByteSink, ListSink, Upload};
use crate::confine;
use crate::failure::Failure;
use crate::far::{Host, Service, SshChild};
use folders::Folders;
use packet::{Answer, Ask, Attributes, Extensions, FOLDER, Packet, REGULAR, number, status};
use session::{Handle, Session, refusal};

/// Bytes of one read or write where the server does not say how many it takes: what every server must take.
const PLAIN_PIECE: u32 = 32 * 1024;
/// Most bytes of one read or write.
const MOST_PIECE: u32 = 255 * 1024;
/// Flags of `Ask::Open`.
const READ: u32 = 1;
const CREATE_NEW: u32 = 0x02 | 0x08 | 0x20;

/// An archive's folder behind an SFTP server.
pub(crate) struct Sftp {
    session: Arc<Session>,
    extensions: Extensions,
    folders: Folders,
    append_only: bool,
    /// Names are given atomically.
    atomic: bool,
    /// Files and folders can be forced to the disk.
    synced: bool,
    /// One at a time, where that is not atomic.
    turn: Mutex<()>,
    /// The server's clock when this was opened.
    now: Option<u32>,
    read_piece: u32,
    write_piece: usize,
}

impl Sftp {
    /// Calls the host's SFTP server and opens the archive at `path`. The process is confined when this returns.
    pub(crate) fn open(
        host: &Host,
        path: &[u8],
        create: bool,
        options: &Options,
    ) -> Result<(Self, bool), Failure> {
        let mut ssh = SshChild::start(host, Service::Sftp, options)?;
        ssh.write(&packet::init());
        let Some(extensions) = greet(&mut ssh)? else {
            let (code, said) = ssh.end();
            let (code, text) = match code {
                // ssh's own word for a host that has no such subsystem is no failure to connect.
                Some(255) if !said.contains("subsystem request failed") => {
                    (ErrorCode::Unreachable, "ssh could not connect")
                }
                _ => (
                    ErrorCode::Unsupported,
                    "the ssh host has neither nacre-helper nor SFTP, or prints something at login",
                ),
            };
            return Err(Failure::new(code, format!("{text}; it said: {said}")));
        };
        let landlock = options.confine && {
            confine::confine_limits()?;
            confine::confine_from_files()?
        };
        let session = Session::start(ssh)?;
        let mut sftp = Self {
            folders: Folders::at(path),
            session,
            extensions,
            append_only: options.append_only,
            atomic: extensions.hardlink,
            synced: extensions.fsync,
            turn: Mutex::new(()),
            now: None,
            read_piece: PLAIN_PIECE,
            write_piece: PLAIN_PIECE as usize,
        };
        sftp.ask_limits()?;
        sftp.open_folders(create)?;
        sftp.try_out();
        if create {
            sftp.sync_folders()?;
        }
        Ok((sftp, landlock))
    }

    fn ask_limits(&mut self) -> Result<(), Failure> {
        if !self.extensions.limits {
            return Ok(());
        }
        let answer = self.extended(b"limits@openssh.com", |packet| packet)?;
        if let Answer::Extended(limits) = answer {
            // 0 means that there is none.
            let piece = |at| match number(&limits, at) {
                None => PLAIN_PIECE,
                Some(0) => MOST_PIECE,
                Some(most) => {
                    u32::try_from(most).map_or(MOST_PIECE, |most| most.clamp(1024, MOST_PIECE))
                }
            };
            self.read_piece = piece(1);
            self.write_piece = piece(2) as usize;
        }
        Ok(())
    }

    fn extended(
        &self,
        name: &[u8],
        fill: impl FnOnce(Packet) -> Packet,
    ) -> Result<Answer, Failure> {
        let fill = |packet: Packet| fill(packet.string(name));
        self.session.ask(Ask::Extended, fill)
    }

    /// Finds out, with a file in the archive's own folder, what the server's file system can do. Where none can be made
    /// (read-only), the first attempt to write will say so.
    fn try_out(&mut self) {
        let Ok((handle, temporary)) = self.make_temporary("") else {
            return;
        };
        let fill = |packet: Packet| packet.string(handle.bytes());
        let stat = self.session.send(Ask::Fstat, fill);
        let stat = stat.and_then(|ticket| ticket.attributes("stat"));
        let now = stat.ok().flatten().and_then(|stat| stat.modified);
        drop(handle);
        let twin = [&temporary[..], b"-2"].concat();
        let atomic = self.extensions.hardlink && self.hardlink(&temporary, &twin).is_ok();
        let synced = self.extensions.fsync && self.fsync_folder("").is_ok();
        for leftover in [&temporary, &twin] {
            self.remove(leftover);
        }
        (self.now, self.atomic, self.synced) = (now, atomic, synced);
    }

    fn hardlink(&self, from: &[u8], to: &[u8]) -> Result<(), Failure> {
        let fill = |packet: Packet| packet.string(from).string(to);
        match self.extended(b"hardlink@openssh.com", fill)? {
            Answer::Status(status::OK, _) => Ok(()),
            other => Err(refusal("give the object its name", &other)),
        }
    }

    /// Forces a file or folder to the disk.
    fn fsync(&self, handle: &Handle<'_>) -> Result<(), Failure> {
        let fill = |packet: Packet| packet.string(handle.bytes());
        match self.extended(b"fsync@openssh.com", fill)? {
            Answer::Status(status::OK, _) => Ok(()),
            other => Err(refusal("fsync", &other)),
        }
    }

    /// Removes a file that may not be there. Failing is no harm: it only takes space.
    fn remove(&self, path: &[u8]) {
        let fill = |packet: Packet| packet.string(path);
        let _ = self.session.ask(Ask::Remove, fill);
    }

    fn path_of(&self, name: Name) -> Vec<u8> {
        self.folders.path(name.as_str())
    }

    /// What a path leads to; `None` if nowhere.
    fn attributes(&self, ask: Ask, path: &[u8]) -> Result<Option<Attributes>, Failure> {
        let ticket = self.session.send(ask, |packet| packet.string(path))?;
        ticket.attributes("stat")
    }

    /// Opens an object for reading; its size.
    fn open_object(&self, name: Name) -> Result<(Handle<'_>, u64), Failure> {
        let path = self.path_of(name);
        let fill = |packet: Packet| packet.string(&path).u32(READ).u32(0);
        let opened = self.session.open("open", Ask::Open, fill);
        let handle = opened.map_err(|mut failure| {
            if failure.code == ErrorCode::NotFound {
                failure.text = format!("{name} is not there");
            }
            failure
        })?;
        let fill = |packet: Packet| packet.string(handle.bytes());
        let stat = self.session.send(Ask::Fstat, fill)?.attributes("stat")?;
        let stat = stat.unwrap_or_default();
        match stat.size {
            Some(size) if stat.is_type(REGULAR) => Ok((handle, size)),
            _ => Err(Failure::new(ErrorCode::Io, "it is not a regular file")),
        }
    }

    fn refuse_in_append_only(&self, what: &str) -> Result<(), Failure> {
        if self.append_only {
            let text = format!("{what} is refused: the helper was started append-only");
            return Err(Failure::new(ErrorCode::Refused, text));
        }
        Ok(())
    }
}

/// Reads the server's first packet. `None` if none comes, or if it is not SFTP's.
fn greet(ssh: &mut SshChild) -> Result<Option<Extensions>, Failure> {
    let Some(length) = ssh.read(4)? else {
        return Ok(None);
    };
    let length = length.try_into().map_or(0, u32::from_be_bytes) as usize;
    if !(5..64 * 1024).contains(&length) {
        return Ok(None);
    }
    let body = ssh.read(length)?;
    Ok(body.and_then(|body| decode_version(&body).ok()))
}

impl Backend for Sftp {
    fn facts(&self) -> Facts {
        Facts {
            append_only: self.append_only,
            single_writer: !self.atomic,
            unsynced: !self.synced,
            ..Facts::default()
        }
    }

    fn begin(&self, name: Name) -> Result<Box<dyn Upload + '_>, Failure> {
        Ok(Box::new(upload::SftpUpload::begin(self, name.as_str())?))
    }

    fn read(&self, name: Name, ranges: &[Range], each: ByteSink<'_>) -> Result<(), Failure> {
        read::read(self, name, ranges, each)
    }

    fn stat(&self, name: Name) -> Result<Option<u64>, Failure> {
        match self.attributes(Ask::Lstat, &self.path_of(name))? {
            None => Ok(None),
            Some(stat) if stat.is_type(REGULAR) && stat.size.is_some() => Ok(stat.size),
            Some(_) => Err(Failure::new(ErrorCode::Io, "it is not a regular file")),
        }
    }

    fn list(&self, class: Class, each: ListSink<'_>) -> Result<(), Failure> {
        list::list(self, class, &mut |name, size| {
            each(ListEntry { name, size })
        })
    }

    fn delete(&self, names: &[Name]) -> Result<(), Failure> {
        self.refuse_in_append_only("delete")?;
        for some in names.chunks(64) {
            let mut tickets = Vec::new();
            for name in some {
                let path = self.path_of(*name);
                let fill = |packet: Packet| packet.string(&path);
                tickets.push(self.session.send(Ask::Remove, fill)?);
            }
            for (name, ticket) in some.iter().zip(tickets) {
                match ticket.wait()? {
                    Answer::Status(status::OK | status::NO_SUCH_FILE, _) => {
                        self.folders.mark_dirty(name.as_str());
                    }
                    other => return Err(refusal(&format!("delete {name}"), &other)),
                }
            }
        }
        Ok(())
    }

    fn punch(&self, _: Name, _: &[Range]) -> Result<(), Failure> {
        self.refuse_in_append_only("punch")?;
        let text = "SFTP has no way to give space back from the middle of a file";
        Err(Failure::new(ErrorCode::Unsupported, text))
    }

    fn probe_punch(&self) -> Result<bool, Failure> {
        Ok(false)
    }

    fn barrier(&self) -> Result<(), Failure> {
        self.sync_folders()
    }

    fn leave(&self, file: &str, text: &[u8]) -> Result<(), Failure> {
        let mut upload = Box::new(upload::SftpUpload::begin(self, file)?);
        upload.append(text)?;
        upload.finish(text.len() as u64).map(drop)
    }

    fn free_space(&self) -> Result<u64, Failure> {
        if !self.extensions.statvfs {
            let text = "the SFTP server does not tell how much space is free";
            return Err(Failure::new(ErrorCode::Unsupported, text));
        }
        let root = self.folders.path("");
        let answer = self.extended(b"statvfs@openssh.com", |packet| packet.string(&root))?;
        let Answer::Extended(numbers) = answer else {
            return Err(refusal("ask for free space", &answer));
        };
        // The second number is the size of a block, the fifth how many an ordinary user can still have.
        let (size, blocks) = (number(&numbers, 1), number(&numbers, 4));
        let (size, blocks) = (size.unwrap_or(0), blocks.unwrap_or(0));
        Ok(size.saturating_mul(blocks))
    }
}
