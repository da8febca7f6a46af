//! Which volumes and sessions the user means.

use nacre_core::head::Volume;
use nacre_core::session::{Session, SessionVolume};

use crate::archive::{Archive, Error, Result, Sessions, Wish};
use crate::cli::{Selection, SessionPoint};

/// The names of all volumes of the archive.
pub fn names(archive: &Archive) -> Vec<String> {
    let all = archive.head().volumes.iter();
    all.map(|volume| volume.name.clone()).collect()
}

/// The volumes of the archive that are meant, and the names that it does not have.
pub fn volumes<'a>(archive: &'a Archive, selection: &Selection) -> (Vec<&'a Volume>, Vec<String>) {
    let names = names(archive);
    let (found, missing) = selection.resolve(&names);
    let found = found
        .into_iter()
        .filter_map(|name| archive.head().volume(name));
    let missing = missing.into_iter().map(str::to_owned);
    (found.collect(), missing.collect())
}

/// A volume by name, or why there is none.
pub fn volume<'a>(archive: &'a Archive, name: &str) -> Result<&'a Volume> {
    archive.head().volume(name).ok_or_else(|| {
        Error::refused(
            format!("the archive has no volume {name}"),
            "See `nacre list` for those it has.",
        )
    })
}

/// What the command line says, as the archive understands it.
pub fn wish(point: &SessionPoint) -> Result<Wish> {
    Ok(match point {
        SessionPoint::Newest => Wish::Newest,
        SessionPoint::At(time) => {
            Wish::Named(time.as_str().parse().map_err(Error::damaged("--session"))?)
        }
        SessionPoint::Tagged(tag) => Wish::Tagged(tag.as_str().to_owned()),
    })
}

/// The session of a volume that is meant, or why there is none.
pub fn session<'a>(
    sessions: &'a Sessions,
    volume: &Volume,
    wish: &Wish,
    strict: bool,
) -> Result<(&'a Session, &'a SessionVolume)> {
    sessions.choose(volume.id, wish, strict).ok_or_else(|| {
        let name = &volume.name;
        let sentence = match wish {
            Wish::Newest => format!("volume {name} has no session yet"),
            Wish::Named(session) => format!("volume {name} has no session {session}"),
            Wish::Tagged(tag) => format!("volume {name} has no session with the tag {tag}"),
        };
        Error::refused(
            sentence,
            format!("See `nacre list {name}` for those it has."),
        )
    })
}
