//! What `backup` means.

use super::send::sending;
use super::{Meaning, common};
use crate::cli::error::UsageError;
use crate::cli::low;
use crate::cli::request::{Backup, Common, Request, Send};
use crate::cli::target::QubeName;

pub fn backup(low: low::Backup) -> Meaning {
    let common = Common {
        dry_run: low.dry_run,
        threads: low.sending.threads,
        ..common(low.place, low.unlock)?
    };
    let qubes = once(low.qubes);
    if qubes.is_empty() && !low.includes && !low.dom0 {
        return Err(UsageError::new(
            "no qube is named",
            "name some, or give --includes for all that are marked for backup, or --dom0",
        ));
    }
    let left = |name| !low.exclude.contains(name);
    if !qubes.is_empty() && !low.includes && !qubes.iter().any(left) {
        return Err(UsageError::new(
            "--exclude leaves no qube",
            "leave out fewer",
        ));
    }
    let send = Send {
        // A session has all that was asked for, so that what it is the session of can be told from it alone.
        send_unchanged: true,
        ..sending(low.sending, &common)?
    };
    let request = Backup {
        qubes,
        includes: low.includes,
        excluded: low.exclude,
        dom0: low.dom0,
        live: low.live,
        check: low.check_after_send,
        send,
    };
    Ok((common, Request::Backup(request)))
}

/// Each name once, in the order of its first mention.
fn once(names: Vec<QubeName>) -> Vec<QubeName> {
    let mut seen: Vec<QubeName> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}
