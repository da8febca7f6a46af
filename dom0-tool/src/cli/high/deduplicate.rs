//! What `arch-deduplicate` means.

use super::{Meaning, common, once};
use crate::cli::low;
use crate::cli::request::{Common, Deduplicate, Request};

pub fn deduplicate(low: low::Deduplicate) -> Meaning {
    let common = Common {
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    let volumes = once(low.volumes);
    Ok((common, Request::Deduplicate(Deduplicate { volumes })))
}
