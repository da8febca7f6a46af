//! `restore dom0`: dom0's own files, into a folder of their own. What is live is for the user to compare and to copy.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nacre_core::session::{Session, SessionVolume};
use rustix::fs::{Mode, OFlags, RenameFlags};

use super::super::selection::{self, wish};
use super::super::world::World;
use crate::app::opening::open_archive;
use crate::archive::{Archive, Error, Result, Severity};
use crate::cli::{Exit, RestoreDom0, Verbosity};
use crate::joints::sanitise::sanitise;
use crate::joints::{Activity, Outcome, Progress, Task};
use crate::qubes::dom0_files::{Entry, Files, Kind, Laid, Reader, Trouble, Unpack, VOLUME};
use crate::report::text;
use crate::restore::{self, Version, Watch, cut_short};

/// What the folder's name ends with until everything is in it.
const UNFINISHED: &str = ".unfinished";

/// Restores the files.
pub fn run(world: &World<'_>, wanted: &RestoreDom0) -> Result<Exit> {
    let folder = &wanted.folder;
    let unfinished = unfinished(folder)?;
    let archive = open_archive(world)?;
    let sessions = archive.sessions()?;
    let volume = archive.head().volume(VOLUME).ok_or_else(|| {
        Error::refused(
            "the archive has no files of dom0",
            "`nacre backup --dom0` saves them.",
        )
    })?;
    let wish = wish(&wanted.session)?;
    let (session, at) = selection::session(&sessions, volume, &wish, false)?;
    if session.unfinished {
        world.monitor().warning(&format!(
            "{}; so a file may be a mixture of two backups",
            cut_short(&session.name.to_string())
        ));
    }
    let would = if world.common.dry_run { "would: " } else { "" };
    world.monitor().note(&format!(
        "{would}dom0's own files of session {} ({}) go to the new folder {}; those that are live stay as they are",
        session.name,
        text::size(at.size),
        folder.display(),
    ));
    let whole = if session.unfinished {
        Exit::Part
    } else {
        Exit::Done
    };
    let fetch = Fetch {
        world,
        archive: &archive,
        session,
        at,
    };
    if world.common.dry_run {
        if world.common.verbosity >= Verbosity::Verbose {
            fetch.read_into(&mut Names(world))?;
        }
        return Ok(whole);
    }
    let (laid, problems) = lay_down(&fetch, folder, &unfinished)?;
    for problem in &problems {
        world.monitor().warning(&format!("dom0: {problem}."));
    }
    world.monitor().note(&format!(
        "{} has {} in {} ({}); compare with the live ones (diff -r {}/home /home) and copy what you want back",
        folder.display(),
        text::count(laid.files, "file", "files"),
        text::count(laid.folders, "folder", "folders"),
        text::size(laid.bytes),
        folder.display(),
    ));
    Ok(if problems.is_empty() {
        whole
    } else {
        Exit::Part
    })
}

/// Where the files are laid down first; or why the folder cannot be made.
fn unfinished(folder: &Path) -> Result<PathBuf> {
    let named = folder.file_name().and_then(|name| {
        let mut name = name.to_owned();
        name.push(UNFINISHED);
        Some(folder.parent()?.join(name))
    });
    let Some(unfinished) = named else {
        return Err(Error::refused(
            format!("{} is no folder that can be made", folder.display()),
            "Give --save-to a new one.",
        ));
    };
    if folder.symlink_metadata().is_ok() {
        return Err(Error::refused(
            format!("{} is there already", folder.display()),
            "dom0's files are never laid over others: give --save-to a folder that is not there yet.",
        ));
    }
    if unfinished.symlink_metadata().is_ok() {
        return Err(Error::refused(
            format!(
                "{} is there: a restore was cut short, or is running",
                unfinished.display()
            ),
            "If none is running, remove it and run the same command again.",
        ));
    }
    Ok(unfinished)
}

/// The files of dom0 in a session.
struct Fetch<'a> {
    world: &'a World<'a>,
    archive: &'a Archive,
    session: &'a Session,
    at: &'a SessionVolume,
}

impl Fetch<'_> {
    /// Reads them through.
    fn read_into(&self, files: &mut dyn Files) -> Result<()> {
        let monitor = self.world.monitor();
        let progress = monitor.begin(&Task {
            activity: Activity::Receive,
            volume: VOLUME.to_owned(),
            total: Some(self.at.size),
        });
        let result = self.stream(files, &progress);
        let outcome = match &result {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        monitor.end(&progress, &outcome);
        result
    }

    fn stream(&self, files: &mut dyn Files, progress: &Progress) -> Result<()> {
        let volume = self.archive.head().volume(VOLUME);
        let ids = self.archive.volume_ids(volume.ok_or_else(Error::internal)?);
        let version = Version {
            root: self.at.root,
            size: self.at.size,
        };
        let watch = Watch {
            progress,
            stop: self.world.stop(),
        };
        let nodes = self.archive.nodes();
        let mut reader = Reader::default();
        let in_words = |trouble: Trouble| match trouble {
            Trouble::Wrong(at, _) if self.session.unfinished => self.cut_short_at(at),
            trouble => in_words(trouble),
        };
        let mut take = |bytes: &[u8]| reader.feed(bytes, files).map_err(in_words);
        let streamed = restore::stream(&nodes, &ids, version, watch, &mut take);
        self.archive.unless_outrun(streamed)?;
        reader.finish().map_err(in_words)
    }

    /// What was sent later is not there, or does not follow on what was sent.
    fn cut_short_at(&self, at: u64) -> Error {
        Error::refused(
            format!(
                "session {} was cut short in the files of dom0: from byte {at} of {VOLUME} on nothing can be read",
                self.session.name
            ),
            format!("Give --session=WHEN with a finished one; `nacre list {VOLUME}` shows them."),
        )
    }
}

fn in_words(trouble: Trouble) -> Error {
    match trouble {
        Trouble::Wrong(at, what) => Error::refused(
            format!("volume {VOLUME} is not as nacre writes it: {what} (byte {at})"),
            format!(
                "`nacre receive {VOLUME} --save-to=FILE` fetches it as it is, for a tar program in a disposable."
            ),
        ),
        Trouble::Stopped(why) => Error::refused(format!("not all could be written: {why}"), ""),
    }
}

/// Lays them down beside, and gives them their name when they are all there and safe on the disk.
fn lay_down(fetch: &Fetch<'_>, folder: &Path, unfinished: &Path) -> Result<(Laid, Vec<String>)> {
    let here = |error: std::io::Error| {
        Error::refused(
            format!("{} cannot be made: {error}", unfinished.display()),
            "",
        )
    };
    // Nobody but root looks into it before the user has: the files have the owners and permissions they had, those of programs included.
    DirBuilder::new()
        .mode(0o700)
        .create(unfinished)
        .map_err(here)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(unfinished, flags, Mode::empty());
    let root = root.map_err(|error| here(error.into()))?;
    let sync = root.try_clone().map_err(here)?;
    let mut unpack = Unpack::new(root);
    let laid = fetch
        .read_into(&mut unpack)
        .and_then(|()| {
            unpack
                .finish()
                .map_err(|why| in_words(Trouble::Stopped(why)))
        })
        .and_then(|laid| {
            publish(&sync, folder, unfinished).map_err(here)?;
            Ok(laid)
        });
    if let Err(error) = &laid {
        let monitor = fetch.world.monitor();
        monitor.note(&format!(
            "what came so far is in {}; remove it before you run the same command again",
            unfinished.display()
        ));
        if error.severity() == Severity::Integrity {
            // Behind a gap it cannot be told here where the next file begins. Programs that look for it are for another place than dom0.
            monitor.note(&format!(
                "if it stays damaged: nacre receive {VOLUME} --save-to=FILE --skip-corrupt-chunks fetches everything else, \
                 and in a disposable `tar --ignore-zeros --extract --file=FILE` goes on behind what is lost"
            ));
        }
    }
    laid
}

/// The contents are on the disk before the name is, and the name when the command ends.
fn publish(root: &impl std::os::fd::AsFd, folder: &Path, unfinished: &Path) -> std::io::Result<()> {
    rustix::fs::syncfs(root)?;
    let here = rustix::fs::CWD;
    rustix::fs::renameat_with(here, unfinished, here, folder, RenameFlags::NOREPLACE)?;
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

/// Says what would be laid down.
struct Names<'a>(&'a World<'a>);

impl Files for Names<'_> {
    fn begin(&mut self, entry: Entry) -> std::result::Result<(), String> {
        let path = sanitise(&entry.path, 300);
        let what = match entry.kind {
            Kind::Folder => format!("folder /{path}"),
            Kind::File(size) => format!("file /{path} ({})", text::size(size)),
            Kind::Link(to) => format!("link /{path}, which leads to {}", sanitise(&to, 300)),
            Kind::Pipe => format!("pipe /{path}"),
            Kind::Name(first) => format!("/{path}, a further name of /{}", sanitise(&first, 300)),
            Kind::Other(_) => format!("/{path}, of a kind that this release does not know"),
        };
        self.0.monitor().note(&format!("would make {what}"));
        Ok(())
    }

    fn content(&mut self, _bytes: &[u8]) -> std::result::Result<(), String> {
        Ok(())
    }

    fn end(&mut self) -> std::result::Result<(), String> {
        Ok(())
    }
}
