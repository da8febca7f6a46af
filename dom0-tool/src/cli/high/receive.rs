//! What `receive` means.

use super::local::local;
use super::{Meaning, common, once, one_session, selection};
use crate::cli::error::UsageError;
use crate::cli::local::Local;
use crate::cli::low;
use crate::cli::request::{Common, Goal, Receive, Request, Selection, SnapshotUse, WriteMode};

pub fn receive(low: low::Receive) -> Meaning {
    let mode = match (low.sparse, low.sparse_write) {
        (false, false) => WriteMode::Replace,
        (true, false) => WriteMode::Sparse,
        (false, true) => WriteMode::SparseWrite,
        (true, true) => {
            return Err(UsageError::new(
                "--sparse and --sparse-write do not go together",
                "give --sparse to fetch less, or --sparse-write to fetch everything",
            ));
        }
    };
    let common = Common {
        dry_run: low.dry_run,
        threads: low.threads,
        ..common(low.place, low.unlock)?
    };
    let snapshot = SnapshotUse {
        same: low.use_snapshot || low.use_snapshot_diff,
        other: low.use_snapshot_diff,
        required: low.req_snapshot,
    };
    let local = local(low.storage)?;
    let (goal, selection) = match (low.save_to, local) {
        (Some(path), Local::None) => (Goal::SaveTo(path), one_volume(low.select)?),
        (None, Local::None) => {
            return Err(UsageError::new(
                "it is not said where to write",
                "give --local=VG/POOL, --local=/FOLDER, or --save-to=PATH for one volume",
            ));
        }
        (None, local) => {
            let mut select = low.select;
            // A file that lists volumes says which are meant.
            select.all |= matches!(local, Local::File(_)) && select.volumes.is_empty();
            (Goal::Local(local), selection(select)?)
        }
        (Some(_), _) => {
            return Err(UsageError::new(
                "--save-to and --local do not go together",
                "give one of them",
            ));
        }
    };
    check_snapshot(snapshot, mode, &goal)?;
    let request = Receive {
        selection,
        session: one_session(low.past.session)?,
        strict: low.past.session_strict.is_none_or(|switch| switch.0),
        goal,
        mode,
        snapshot,
        skip_corrupt: low.skip_corrupt_chunks,
        force: low.force,
    };
    Ok((common, Request::Receive(request)))
}

fn one_volume(select: low::Select) -> Result<Selection, UsageError> {
    let volumes = once(select.volumes);
    let [volume] = volumes.as_slice() else {
        return Err(UsageError::new(
            "--save-to takes exactly one volume",
            "name it; `nacre list` shows which there are",
        ));
    };
    if select.all || select.volex.contains(volume) {
        return Err(UsageError::new(
            "--save-to takes exactly one volume, without --all and --volex",
            "leave them out",
        ));
    }
    Ok(Selection {
        volumes,
        all: false,
        excluded: Vec::new(),
    })
}

fn check_snapshot(snapshot: SnapshotUse, mode: WriteMode, goal: &Goal) -> Result<(), UsageError> {
    if snapshot == SnapshotUse::default() {
        return Ok(());
    }
    if snapshot.required && !snapshot.same {
        return Err(UsageError::new(
            "--req-snapshot alone says nothing",
            "give --use-snapshot or --use-snapshot-diff too",
        ));
    }
    if matches!(goal, Goal::SaveTo(_)) {
        return Err(UsageError::new(
            "a snapshot can be used only where it lies",
            "give --local instead of --save-to",
        ));
    }
    if mode != WriteMode::Replace {
        return Err(UsageError::new(
            "a snapshot takes the place of what is there, while --sparse and --sparse-write change that",
            "give one of them",
        ));
    }
    Ok(())
}
