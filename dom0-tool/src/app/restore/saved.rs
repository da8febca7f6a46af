//! What the archive has of qubes: settings out of their volume, and which session has which content.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use nacre_core::head::{Then, Volume};
use nacre_core::ids::SessionSeq;
use nacre_core::session::{Session, SessionVolume};
use nacre_core::settings::{self, Settings};

use super::super::selection::wish;
use super::super::world::World;
use crate::archive::{Archive, Error, Result, Sessions, Wish};
use crate::cli::SessionPoint;
use crate::joints::{Progress, RestoreGoal, SourceError, VolumeRange};
use crate::qubes::restore::{Content, Saved, SavedQube};
use crate::restore::{self, Compare, RestoreOptions, RestoreReport, Version, Watch};

/// An open archive.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The command's world.
    pub world: &'a World<'a>,
    /// The archive.
    pub archive: &'a Archive,
    /// Its sessions.
    pub sessions: &'a Sessions,
}

impl<'a> Source<'a> {
    /// Reads what the session says. With the newest, a qube that is named and not in it is looked for in older ones: it may have been
    /// removed since.
    pub fn read(&self, point: &SessionPoint, named: &[&str]) -> Result<Saved> {
        let volume = self.archive.head().volume(settings::VOLUME).ok_or_else(|| {
            Error::refused(
                "the archive has no settings of qubes",
                "It was made with `nacre send`; `nacre receive` restores its volumes, `nacre list` shows them.",
            )
        })?;
        let wish = wish(point)?;
        let candidates = self.candidates(volume, &wish)?;
        let mut saved = Saved::default();
        for (number, (seq, session, at)) in candidates.iter().enumerate() {
            let missing = named.iter().any(|name| !saved.qubes.contains_key(*name));
            if number > 0 && !missing {
                break;
            }
            let settings = self.settings(volume, session, at)?;
            let only_missing = number > 0;
            if !only_missing {
                saved.system = settings.system;
            }
            for (name, qube) in settings.qubes {
                let wanted = !only_missing || named.contains(&name.as_str());
                if wanted && !saved.qubes.contains_key(&name) {
                    let (contents, unknown) = self.contents(&qube, *seq, wish != Wish::Newest);
                    let qube = SavedQube {
                        settings: qube,
                        session: session.name.to_string(),
                        contents,
                        unknown,
                    };
                    saved.qubes.insert(name, qube);
                }
            }
        }
        Ok(saved)
    }

    /// Sessions with settings, best first; only one where the user named one.
    fn candidates(
        &self,
        volume: &Volume,
        wish: &Wish,
    ) -> Result<Vec<(SessionSeq, &'a Session, &'a SessionVolume)>> {
        let mut all: Vec<_> = self.sessions.of_volume(volume.id).collect();
        all.reverse();
        match wish {
            Wish::Newest => all.sort_by_key(|(_, session, _)| session.unfinished),
            Wish::Named(name) => all.retain(|(_, session, _)| session.name == *name),
            Wish::Tagged(tag) => {
                all.retain(|(_, session, _)| session.has_tag(tag));
                all.truncate(1);
            }
        }
        if all.is_empty() {
            let name = match wish {
                Wish::Newest => "no session".to_owned(),
                Wish::Named(name) => format!("no session {name}"),
                Wish::Tagged(tag) => format!("no session with the tag {tag}"),
            };
            return Err(Error::refused(
                format!("the archive has {name} with settings of qubes"),
                format!("`nacre list {}` shows those it has.", settings::VOLUME),
            ));
        }
        Ok(all)
    }

    fn settings(&self, volume: &Volume, session: &Session, at: &SessionVolume) -> Result<Settings> {
        let what = format!("the settings of qubes in session {}", session.name);
        if at.size > settings::LARGEST as u64 {
            let error = nacre_core::error::FormatError::OutOfRange("the qubes' settings");
            return Err(Error::damaged(what)(error));
        }
        let goal = Memory::new(at.size);
        let progress = Progress::default();
        let version = Version {
            root: at.root,
            size: at.size,
        };
        let options = RestoreOptions {
            threads: 1,
            compare: Compare::Nothing,
        };
        let watch = Watch {
            progress: &progress,
            stop: self.world.stop(),
        };
        let ids = self.archive.volume_ids(volume);
        let nodes = self.archive.nodes();
        let report = restore::restore(&nodes, &ids, version, &goal, options, watch);
        let is_damaged = |report: &RestoreReport| !report.damage.is_empty();
        let report = self.archive.unless_given_away(report, is_damaged)?;
        if let Some((_, why)) = report.damage.ranges().next() {
            return Err(Error::Lost(format!("{what} cannot be read whole: {why}")));
        }
        Settings::parse(&goal.into_bytes()).map_err(Error::damaged(what))
    }

    /// Where the content of a qube's volumes is: in the newest finished session, not after `last`, that has all of them, else in the newest for
    /// each. Where the user asked for the session `last` itself (`named`), what it has is taken from there, finished or not, and the rest from the
    /// newest for each. What only unfinished ones have is taken from those if the settings are of one too, and is marked. Beside it: volumes of which
    /// is not known any more which ones they were.
    fn contents(
        &self,
        qube: &settings::Qube,
        last: SessionSeq,
        named: bool,
    ) -> (BTreeMap<String, Content>, BTreeSet<String>) {
        let mut volumes: Vec<(&String, &Volume)> = Vec::new();
        let mut unknown = BTreeSet::new();
        let has_version = |id| {
            let oldest = self.sessions.of_volume(id).next();
            oldest.is_some_and(|(seq, ..)| seq <= last)
        };
        let stored = qube.volumes.iter();
        for (name, volume) in stored.filter(|(_, volume)| !volume.stored_as.is_empty()) {
            // The settings have the names of their own time.
            let head = self.archive.head();
            match head.volume_then(&volume.stored_as, last, has_version) {
                Then::Is(volume) => volumes.push((name, volume)),
                Then::Gone => {}
                Then::Unknown => {
                    unknown.insert(name.clone());
                }
            }
        }
        let of_settings = self.sessions.get(last);
        let last_is_unfinished = of_settings.is_some_and(|session| session.unfinished);
        let is_trusted =
            |(seq, session): &(SessionSeq, &Session)| !session.unfinished || named && *seq == last;
        let is_usable =
            |one: &(SessionSeq, &Session)| one.0 <= last && (is_trusted(one) || last_is_unfinished);
        let mut sessions: Vec<_> = self.sessions.iter().rev().filter(is_usable).collect();
        sessions.sort_by_key(|one| !is_trusted(one));
        let has = |session: &Session| {
            let all = volumes.iter();
            all.filter(|(_, volume)| session.volume(volume.id).is_some())
                .count()
        };
        let is_meant = named && of_settings.is_some_and(|session| has(session) > 0);
        let mut trusted = sessions.iter().filter(|one| is_trusted(one));
        let common = trusted.find(|(_, session)| !is_meant && has(session) == volumes.len());
        let mut contents = BTreeMap::new();
        for (name, volume) in &volumes {
            let of_volume = |(_, session): &(SessionSeq, &'a Session)| {
                let session: &'a Session = session;
                Some((session, session.volume(volume.id)?))
            };
            let found = match common {
                Some(common) => of_volume(common),
                None => sessions.iter().find_map(of_volume),
            };
            if let Some((session, at)) = found {
                let content = Content {
                    volume: volume.name.clone(),
                    session: session.name.to_string(),
                    size: at.size,
                    unfinished: session.unfinished,
                };
                contents.insert((*name).clone(), content);
            }
        }
        (contents, unknown)
    }

    /// The volume and the version that a plan names.
    pub fn version(&self, content: &Content) -> Result<(&'a Volume, Version)> {
        let gone = || {
            let (volume, session) = (&content.volume, &content.session);
            Error::refused(
                format!("the archive does not have volume {volume} of session {session} any more"),
                "",
            )
        };
        let volume = self
            .archive
            .head()
            .volume(&content.volume)
            .ok_or_else(gone)?;
        let mut all = self.sessions.of_volume(volume.id);
        let found = all.find(|(_, session, _)| session.name.to_string() == content.session);
        let (_, _, at) = found
            .filter(|(_, _, at)| at.size == content.size)
            .ok_or_else(gone)?;
        let version = Version {
            root: at.root,
            size: at.size,
        };
        Ok((volume, version))
    }
}

/// A volume small enough to be held.
struct Memory {
    bytes: Mutex<Vec<u8>>,
}

impl Memory {
    fn new(size: u64) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Self {
            bytes: Mutex::new(vec![0; size.min(settings::LARGEST)]),
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        self.bytes
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl RestoreGoal for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let mut all = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes.len());
        if let Some(part) = all.get_mut(start..end) {
            part.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn zero(&self, _range: VolumeRange) -> Result<(), SourceError> {
        // It begins with zeros, and nothing is written twice.
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let all = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = all.get(start..).unwrap_or_default();
        let there = rest.len().min(buffer.len());
        let (filled, behind) = buffer.split_at_mut(there);
        filled.copy_from_slice(rest.get(..there).unwrap_or_default());
        behind.fill(0);
        Ok(())
    }

    fn starts_empty(&self) -> bool {
        true
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        Ok(())
    }
}
