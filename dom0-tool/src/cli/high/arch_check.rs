//! `arch-check`: what was typed, and what it means.

use super::{Meaning, common, once, one_session};
use crate::cli::error::UsageError;
use crate::cli::low;
use crate::cli::request::{ArchCheck, Common, Request};
use crate::cli::slice::DataSlice;

pub(super) fn arch_check(low: low::ArchCheck) -> Meaning {
    let common = Common {
        threads: low.threads,
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    if !low.repair && (low.dry_run || !low.import_other_from.is_empty()) {
        return Err(UsageError::new(
            "--dry-run and --import-other-from belong to --repair",
            "add --repair, or leave them out: without it nothing is changed",
        ));
    }
    let volumes = once(low.volumes);
    if low.repair && (!volumes.is_empty() || !low.volex.is_empty() || low.session.is_some()) {
        return Err(UsageError::new(
            "--repair looks at the whole archive",
            "name neither volumes nor a session",
        ));
    }
    let request = ArchCheck {
        volumes,
        excluded: low.volex,
        data: low.data.map(|slice| slice.unwrap_or(DataSlice::All)),
        session: match low.session {
            None => None,
            some => Some(one_session(some)?),
        },
        repair: low.repair,
        imports: low.import_other_from,
    };
    Ok((common, Request::ArchCheck(request)))
}
