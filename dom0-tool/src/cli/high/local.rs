//! What `--local` and `--vols-from` mean, and the commands that need little else.

use super::{common, once, one_session, selection};
use crate::cli::error::UsageError;
use crate::cli::local::Local;
use crate::cli::low::{self, Storage};
use crate::cli::request::{Common, Delete, Diff, Monitor, OneVolume, Request};

/// The one storage, or the one file that names several.
pub fn local(storage: Storage) -> Result<Local, UsageError> {
    let file = match (storage.vols_from, storage.local_from) {
        (Some(_), Some(_)) => {
            return Err(UsageError::new(
                "--vols-from and --local-from are the same option",
                "give one of them",
            ));
        }
        (one, other) => one.or(other),
    };
    match (storage.local, file) {
        (Some(_), Some(_)) => Err(UsageError::new(
            "--local and --vols-from do not go together",
            "put the storage and its volumes into the file",
        )),
        (Some(place), None) => Ok(Local::Place(place)),
        (None, Some(file)) => Ok(Local::File(file)),
        (None, None) => Ok(Local::None),
    }
}

pub fn monitor(low: low::Monitor) -> Result<(Common, Request), UsageError> {
    let common = Common {
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    let local = local(low.storage)?;
    if local == Local::None {
        return Err(UsageError::new(
            "it is not said where the volumes lie",
            "give --local=VG/POOL or --local=/FOLDER",
        ));
    }
    let request = Monitor {
        local,
        volumes: once(low.volumes),
        excluded: low.volex,
    };
    Ok((common, Request::Monitor(request)))
}

pub fn diff(low: low::Diff) -> Result<(Common, Request), UsageError> {
    let common = common(low.place, low.unlock)?;
    let local = local(low.storage)?;
    let imports = low.import_other_from;
    if local == Local::None && imports.is_empty() {
        return Err(UsageError::new(
            "it is not said what to compare with",
            "give --local=VG/POOL, --local=/FOLDER or --import-other-from='VOLUME:|:/PATH'",
        ));
    }
    let mut select = low.select;
    if select.volumes.is_empty() && !select.all {
        // What is named together with its place need not be named again.
        select.volumes = imports.iter().map(|i| i.volume.clone()).collect();
        select.all = matches!(local, Local::File(_));
    }
    let request = Diff {
        selection: selection(select)?,
        imports,
        local,
        session: one_session(low.past.session)?,
        strict: low.past.session_strict.is_none_or(|switch| switch.0),
        quick: low.quick,
    };
    Ok((common, Request::Diff(request)))
}

pub fn delete(low: low::Delete) -> Result<(Common, Request), UsageError> {
    let common = Common {
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    let volumes = once(low.volumes);
    let others = !volumes.is_empty() || low.vid.is_some() || low.clean || low.all;
    if low.forget && others {
        return Err(UsageError::new(
            "delete --forget is about all that this machine remembers of the archive",
            "leave out names, --vid, --clean and --all",
        ));
    }
    let volume = match (volumes.as_slice(), low.vid, low.clean) {
        _ if low.forget => None,
        ([volume], None, false) => Some(OneVolume::Named(volume.clone())),
        ([], Some(number), false) => Some(OneVolume::Numbered(number)),
        ([], None, true) => None,
        (_, _, true) => {
            return Err(UsageError::new(
                "delete --clean goes by what the archive has, not by names",
                "leave the names out",
            ));
        }
        _ => {
            return Err(UsageError::new(
                "delete removes one volume at a time",
                "name exactly one, or give its number with --vid",
            ));
        }
    };
    if low.all && !low.clean {
        return Err(UsageError::new(
            "--all is for delete --clean; the volumes of an archive go one by one",
            "name the volume",
        ));
    }
    let asks = volume.is_some() || low.forget;
    if common.unattended && asks && !low.force && !common.dry_run {
        return Err(UsageError::new(
            "delete asks first, and --unattended allows no question",
            "add --force if it is really meant",
        ));
    }
    let request = Delete {
        volume,
        clean: low.clean,
        all: low.all,
        forget: low.forget,
        local: local(low.storage)?,
        force: low.force,
    };
    Ok((common, Request::Delete(request)))
}
