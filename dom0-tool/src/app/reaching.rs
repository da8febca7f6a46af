//! The way to a command's target, and under what name this machine remembers it.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use nacre_core::ids::HeaderHash;

use super::patience::patience;
use super::reached::Aim;
use super::retrying::Tries;
use super::world::World;
use crate::archive::{Error, Result};
use crate::cli::{RemotePath, Target};
use crate::joints::{Store, StoreError, StoreErrorKind};
use crate::store::{self, Lasting, Launch, Reopen, Route};

/// Where the archive is.
pub fn target<'a>(world: &World<'a>) -> Result<&'a Target> {
    world.common.targets.first().ok_or_else(|| {
        Error::refused(
            "it is not said where the archive is",
            "Give --dest, or put dest into /etc/nacre/nacre.ini.",
        )
    })
}

/// Where the archive is, as `--dest` has it.
pub fn place(world: &World<'_>) -> Result<String> {
    Ok(target(world)?.to_string())
}

/// What the user calls the target: its name in the ini, or the place.
pub fn title(world: &World<'_>) -> String {
    let place = || world.common.targets.first().map(ToString::to_string);
    let name = world.common.name.clone();
    name.or_else(place).unwrap_or_default()
}

/// Reaches the store, if the user wants that not only at the first try. With `create` the archive's folder is made if it is not there.
pub fn reach(world: &World<'_>, create: bool) -> Result<Arc<dyn Store>> {
    let target = target(world)?;
    let route = Route {
        ssh_options: world.common.ssh_options.clone(),
        limit: world.common.limit,
        patience: patience()?,
        ..Route::default()
    };
    let route = match world.common.qubes_options.as_slice() {
        [] => route,
        options => Route {
            qrexec_options: options.to_vec(),
            ..route
        },
    };
    let way = Way {
        aim: Aim {
            target: target.clone(),
            usb_device: world.common.usb_device.clone(),
            ground: world.ground(),
            all: Arc::clone(&world.reached),
        },
        route,
        create,
    };
    let mut tries = world.tries();
    let store = tries.until(|| way.reach())?;
    if tries.none() {
        return Ok(store);
    }
    Ok(Arc::new(Lasting::new(
        store,
        Box::new(Again { way, tries }),
    )))
}

/// A target, and how to get there.
struct Way {
    aim: Aim,
    route: Route,
    create: bool,
}

impl Way {
    fn reach(&self) -> Result<Arc<dyn Store>> {
        let target = &self.aim.target;
        let call =
            || launch(&self.route, target, self.create).and_then(|launch| store::open(&launch));
        let client = self.aim.reach(&call);
        Ok(client.map_err(|error| with_place(error, target))?)
    }
}

/// Reaches a store again whose connection broke in the middle of a command.
struct Again {
    way: Way,
    tries: Tries,
}

impl Reopen for Again {
    fn again(&mut self, error: StoreError) -> std::result::Result<Arc<dyn Store>, StoreError> {
        let mut last = error;
        loop {
            match self.tries.wait(last.clone().into()) {
                Ok(()) => self.way.aim.give_up(),
                // Whoever is stopped says so himself.
                Err(_) => return Err(last),
            }
            match self.way.reach() {
                Ok(store) => return Ok(store),
                Err(Error::Store(error)) => last = error,
                // A qube that does not start, for example.
                Err(error) => {
                    let (kind, detail) = (StoreErrorKind::Unreachable, error.to_string());
                    return Err(StoreError::new(kind, None, detail));
                }
            }
        }
    }

    fn progressed(&mut self) {
        self.tries.progressed();
    }
}

fn launch(route: &Route, target: &Target, create: bool) -> std::result::Result<Launch, StoreError> {
    let text = |path: &'_ RemotePath| path.0.clone();
    match target {
        Target::File(path) => route.directory(path, create),
        Target::Ssh(host, path) => route.ssh(&host.to_string(), text(path).as_deref(), create),
        Target::Qubes(qube, path) => Ok(route.qube(&qube.0, text(path).as_deref(), create)),
        Target::QubesSsh(qube, host, path) => {
            let (host, path) = (host.to_string(), text(path));
            Ok(route.qube_ssh(&qube.0, &host, path.as_deref(), create))
        }
        Target::QubesUsb(qube, uuid, path) => {
            Ok(route.qube_usb(&qube.0, &uuid.0, text(path).as_deref(), create))
        }
        Target::Usb(uuid, path) => route.usb(&uuid.0, text(path).as_deref(), create),
        // Names were looked up when the command line was understood.
        Target::Named(name) => {
            let detail = format!("the ini has no target {name}");
            Err(StoreError::new(StoreErrorKind::NoArchive, None, detail))
        }
    }
}

/// An error of a store that does not say where it is, with the place. Of a folder only that nothing is there needs it.
pub fn with_place(mut error: Error, target: &Target) -> Error {
    if let Error::Store(store) = &mut error {
        let place = match target {
            Target::File(_) if store.kind != StoreErrorKind::NoArchive => return error,
            Target::File(path) => path.display().to_string(),
            other => other.to_string(),
        };
        if !store.detail.starts_with(&format!("{place}: ")) {
            store.detail = format!("{place}: {}", store.detail);
        }
    }
    error
}

/// Under what name this machine remembers the target: the same for all ways to write it.
pub fn pin_name(world: &World<'_>) -> Result<String> {
    let target = target(world)?;
    let canonical = match target {
        Target::File(path) => {
            let path = std::path::absolute(path).map_err(|error| {
                Error::State(format!("the target's path cannot be used: {error}"))
            })?;
            path.as_os_str().as_bytes().to_vec()
        }
        // Begins with its scheme, so that it is no path of a folder here.
        other => canonical(other).to_string().into_bytes(),
    };
    // Any hash would do: it makes a place of any length a file name.
    let hash = HeaderHash::of(&canonical).to_string();
    Ok(hash.chars().take(32).collect())
}

/// One form for all spellings that lead to the same place: hosts and UUIDs in small letters, paths without idle slashes. The names
/// of users and qubes are told apart by case. That ports stay as they are written is on purpose: which one ssh takes where none is
/// given, its configuration says.
fn canonical(target: &Target) -> Target {
    let mut target = target.clone();
    match &mut target {
        Target::Ssh(host, path) | Target::QubesSsh(_, host, path) => {
            host.host.make_ascii_lowercase();
            tidy(path);
        }
        Target::QubesUsb(_, uuid, path) | Target::Usb(uuid, path) => {
            uuid.0.make_ascii_lowercase();
            tidy(path);
            // Of a disk, no path is its root.
            if path.0.as_deref() == Some("/") {
                path.0 = None;
            }
        }
        Target::Qubes(_, path) => tidy(path),
        Target::File(_) | Target::Named(_) => (),
    }
    target
}

fn tidy(path: &mut RemotePath) {
    if let Some(text) = &mut path.0 {
        let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
        *text = format!("/{}", parts.collect::<Vec<_>>().join("/"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_text(text: &str) -> String {
        canonical(&text.parse().unwrap()).to_string()
    }

    #[test]
    fn one_place_is_remembered_under_one_name() {
        for (one, other) in [
            ("ssh://u@NAS.local/b", "ssh://u@nas.local//b/"),
            ("qubes://vault/b", "qubes://vault/./b/"),
            ("qubes-ssh://net:u@Nas/b", "qubes-ssh://net:u@nas/b/"),
            ("usb:1234-ABCD", "usb:1234-abcd/"),
            (
                "qubes-usb://sys-usb/1234-ABCD/b",
                "qubes-usb://sys-usb/1234-abcd/b/",
            ),
        ] {
            assert_eq!(canonical_text(one), canonical_text(other));
        }
    }

    #[test]
    fn two_places_are_never_remembered_under_one_name() {
        let places = [
            "ssh://nas/b",
            "ssh://u@nas/b",
            "ssh://U@nas/b",
            "ssh://nas:22/b",
            "ssh://nas",
            "ssh://nas/b/..",
            "ssh://nas/B",
            "qubes://nas/b",
            "qubes://Nas/b",
            "qubes://nas",
            "qubes-ssh://q:nas/b",
            "qubes-ssh://q:u@nas/b",
            "qubes-usb://q/1234-ABCD/b",
            "usb:1234-ABCD/b",
            "usb:1234-ABCD",
        ];
        let forms: std::collections::BTreeSet<_> =
            places.iter().map(|one| canonical_text(one)).collect();
        assert_eq!(forms.len(), places.len());
    }
}
