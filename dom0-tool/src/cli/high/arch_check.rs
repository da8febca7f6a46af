//! `arch-check`: what was typed, and what it means.

use super::local::local;
use super::{Meaning, common, once, one_session};
use crate::cli::error::UsageError;
use crate::cli::low;
use crate::cli::request::{ArchCheck, CheckAction, Common, Key, Request};
use crate::cli::slice::DataSlice;

pub(super) fn arch_check(low: low::ArchCheck) -> Meaning {
    let common = Common {
        threads: low.threads,
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    let switches = [low.repair, low.clean, low.change_uuid, low.upgrade_format];
    if switches.iter().filter(|switch| **switch).count() > 1 {
        return Err(UsageError::new(
            "--repair, --clean, --change-uuid and --upgrade-format are done one by one",
            "give one of them",
        ));
    }
    let nothing_is_done = low.dry_run && !low.repair && !low.clean;
    if nothing_is_done || !low.repair && !low.import_other_from.is_empty() {
        return Err(UsageError::new(
            "--dry-run belongs to --repair and --clean, --import-other-from to --repair",
            "add one of these, or leave it out: the check alone changes nothing",
        ));
    }
    if low.change_uuid {
        return Ok((common, Request::Key(Key::ChangeUuid)));
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
        action: match switches {
            [true, ..] => CheckAction::Repair,
            [_, true, ..] => CheckAction::Clean,
            [.., true] => CheckAction::UpgradeFormat,
            _ => CheckAction::Look,
        },
        imports: low.import_other_from,
        // Without --repair these two may come from the ini, and are not looked at.
        heal_from: low.heal_from,
        local: local(low.storage)?,
    };
    Ok((common, Request::ArchCheck(request)))
}
