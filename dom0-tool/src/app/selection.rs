//! Which volumes and sessions the user means.

use nacre_core::head::Volume;
use nacre_core::session::{Session, SessionVolume};

use crate::archive::{Archive, Error, Result, Sessions, Wish};
use crate::cli::{Selection, SessionPoint, VolumeName};
use crate::qubes::qube_of;

/// The names of all volumes of the archive.
pub fn names(archive: &Archive) -> Vec<String> {
    let all = archive.head().volumes.iter();
    all.map(|volume| volume.name.clone()).collect()
}

/// The volumes of a qube that the archive has.
pub fn of_qube<'a>(archive: &'a Archive, qube: &str) -> Vec<&'a Volume> {
    let all = archive.head().volumes.iter();
    let of_qube = all.filter(|volume| qube_of(&volume.name).is_some_and(|(of, _)| of == qube));
    of_qube.collect()
}

/// Whether a name is that of a qube: the archive has volumes of it, and no volume of that very name, which would be meant.
pub fn is_qube(archive: &Archive, name: &str) -> bool {
    archive.head().volume(name).is_none() && !of_qube(archive, name).is_empty()
}

/// A volume, or the volumes of a qube, by name.
pub fn named<'a>(archive: &'a Archive, name: &str) -> Result<Vec<&'a Volume>> {
    if is_qube(archive, name) {
        Ok(of_qube(archive, name))
    } else {
        Ok(vec![volume(archive, name)?])
    }
}

/// The selection with the volumes of qubes in the place of their names.
fn without_qubes(archive: &Archive, selection: &Selection) -> Selection {
    let each = |names: &[VolumeName]| {
        let mut all: Vec<VolumeName> = Vec::new();
        for name in names {
            let of_qube = named(archive, name.as_str()).unwrap_or_default();
            let of_qube = of_qube.iter().filter_map(|volume| volume.name.parse().ok());
            let volumes: Vec<VolumeName> = of_qube.collect();
            let volumes = if volumes.is_empty() {
                vec![name.clone()]
            } else {
                volumes
            };
            let fresh = volumes.into_iter().filter(|one| !all.contains(one));
            let fresh: Vec<VolumeName> = fresh.collect();
            all.extend(fresh);
        }
        all
    };
    Selection {
        volumes: each(&selection.volumes),
        all: selection.all,
        excluded: each(&selection.excluded),
    }
}

/// The volumes of the archive that are meant, and the names that it does not have. A qube's name means its volumes.
pub fn volumes<'a>(archive: &'a Archive, selection: &Selection) -> (Vec<&'a Volume>, Vec<String>) {
    let names = names(archive);
    let selection = without_qubes(archive, selection);
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
