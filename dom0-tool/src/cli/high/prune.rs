//! What `prune` means.

use super::{Meaning, common, one_session, selection};
use crate::cli::error::UsageError;
use crate::cli::keep::AutoPrune;
use crate::cli::low;
use crate::cli::request::{Common, Prune, Request, Rules, Which};

pub fn prune(low: low::Prune) -> Meaning {
    let rules = rules(&low);
    let which = match (low.session, rules) {
        (Some(_), Some(_)) => {
            return Err(UsageError::new(
                "--session names what goes, and rules say it too",
                "give either",
            ));
        }
        (session @ Some(_), None) if low.all_before => Which::Before(one_session(session)?),
        (Some(session), None) => Which::Named(session),
        (None, _) if low.all_before => {
            return Err(UsageError::new(
                "--all-before needs a session before which all go",
                "give --session=YYYYMMDD-HHMMSS or ^TAG",
            ));
        }
        (None, Some(rules)) => Which::Rules(rules),
        (None, None) if !low.retention.is_empty() => Which::Rules(Rules::default()),
        (None, None) => {
            return Err(UsageError::new(
                "it is not said which sessions go",
                "give --session, --autoprune=on, or rules like --keep-daily=7; or write [retention] into the ini",
            ));
        }
    };
    let common = Common {
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    let request = Prune {
        selection: selection(low.select)?,
        which,
        retention: low.retention,
        keep: low.keep,
        force: low.force,
    };
    Ok((common, Request::Prune(request)))
}

/// The rules, if there is any. `--apdays` alone says how, not whether.
fn rules(low: &low::Prune) -> Option<Rules> {
    let counts = [
        low.keep_last,
        low.keep_hourly,
        low.keep_daily,
        low.keep_weekly,
        low.keep_monthly,
        low.keep_yearly,
    ];
    let thinning = low.autoprune.unwrap_or_default() != AutoPrune::Off;
    let rules = Rules {
        counts: counts.map(Option::unwrap_or_default),
        within: low.keep_within,
        thinning: thinning.then(|| low.apdays.unwrap_or_default()),
    };
    (rules != Rules::default()).then_some(rules)
}
