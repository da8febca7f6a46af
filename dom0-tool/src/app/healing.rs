//! Where `arch-check --repair` looks for content that an archive has lost: files and local storage, then other targets.

use std::cell::RefCell;

use nacre_core::ids::ArchiveId;

use super::end::sentence;
use super::opening::open_archive;
use super::reaching::title;
use super::storages::{Direction, Storage};
use super::world::World;
use crate::archive::{Archive, Result};
use crate::cli::Import;
use crate::joints::{Frozen, Level, SourceError, VolumeNames, VolumeSource};
use crate::maintain::Elsewhere;
use crate::source::PlainSource;

/// What is on this machine.
pub struct Here<'a> {
    /// Who is told.
    pub world: &'a World<'a>,
    /// Files and devices.
    pub imports: &'a [Import],
    /// Local storage.
    pub storages: Vec<Storage>,
}

impl Here<'_> {
    /// What there is of a volume. What cannot be had is told, and holds up nothing.
    pub fn of_volume(&self, volume: &str) -> Vec<Elsewhere> {
        let mut found = Vec::new();
        let imports = self.imports.iter();
        for import in imports.filter(|import| import.volume.as_str() == volume) {
            let plain = PlainSource::new(vec![(volume.to_owned(), import.path.clone())]);
            let frozen = plain.freeze(&[VolumeNames::same(volume)]);
            self.take(import.path.display().to_string(), frozen, &mut found);
        }
        for storage in &self.storages {
            let frozen = freeze(storage, volume);
            self.take(storage.place.to_string(), frozen, &mut found);
        }
        found
    }

    fn take(&self, name: String, frozen: Result<Frozen, SourceError>, into: &mut Vec<Elsewhere>) {
        for one in frozen.unwrap_or_else(|error| vec![Err(error)]) {
            match one {
                Ok(volume) => into.push(Elsewhere::local(name.clone(), volume)),
                Err(error) => self.world.monitor().error(&sentence(&error.into())),
            }
        }
    }
}

fn freeze(storage: &Storage, volume: &str) -> Result<Frozen, SourceError> {
    let names = match storage.names(Direction::Send) {
        Some(names) => names,
        None => vec![VolumeNames::same(volume)],
    };
    let here = storage.pool.list()?;
    let meant = |names: &VolumeNames| names.archive == volume && here.contains(&names.local);
    let names: Vec<VolumeNames> = names.into_iter().filter(meant).collect();
    match names.as_slice() {
        [] => Ok(Vec::new()),
        names => storage.pool.freeze(names),
    }
}

/// Other targets, each an archive of its own that may have the same volumes.
pub struct Others<'a>(Vec<Other<'a>>);

struct Other<'a> {
    world: &'a World<'a>,
    state: RefCell<State>,
}

enum State {
    /// Nothing was lost yet that it could have.
    Untried,
    Open(Box<Archive>),
    /// Cannot be had; it was told why.
    Closed,
}

impl<'a> Others<'a> {
    /// None of them is reached yet.
    pub fn new(worlds: &'a [World<'a>]) -> Self {
        let other = |world| Other {
            world,
            state: RefCell::new(State::Untried),
        };
        Self(worlds.iter().map(other).collect())
    }

    /// What they have of a volume. One that cannot be had is told once, and holds up nothing. `own`: the archive that is repaired.
    pub fn of_volume(&self, own: ArchiveId, volume: &str) -> Vec<Elsewhere> {
        let all = self.0.iter();
        all.filter_map(|other| other.of_volume(own, volume))
            .collect()
    }
}

impl Other<'_> {
    fn of_volume(&self, own: ArchiveId, volume: &str) -> Option<Elsewhere> {
        let name = title(self.world);
        let mut state = self.state.borrow_mut();
        if matches!(*state, State::Untried) {
            *state = self.open(&name, own);
        }
        let State::Open(archive) = &*state else {
            return None;
        };
        let found = Elsewhere::archive(format!("the target {name}"), archive, volume);
        match found {
            Ok(found) => found,
            Err(error) => {
                self.tell(&name, &sentence(&error));
                *state = State::Closed;
                None
            }
        }
    }

    fn open(&self, name: &str, own: ArchiveId) -> State {
        let monitor = self.world.monitor();
        monitor.note(&format!("looking for lost content at the target {name}"));
        // What is said while it is opened is about it.
        monitor.target(name);
        let opened = open_archive(self.world);
        monitor.target("");
        match opened {
            Ok(archive) if archive.id() == own => {
                let text = format!("the target {name} has the archive that is repaired");
                monitor.message(Level::Detail, &text);
                State::Closed
            }
            Ok(archive) => State::Open(Box::new(archive)),
            Err(error) => {
                self.tell(name, &sentence(&error));
                State::Closed
            }
        }
    }

    fn tell(&self, name: &str, why: &str) {
        self.world.monitor().warning(&format!(
            "the target {name} cannot be asked for lost content: {why}"
        ));
    }
}
