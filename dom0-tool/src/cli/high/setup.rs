//! What `setup` means.

use super::{Meaning, common_anywhere};
use crate::cli::error::UsageError;
use crate::cli::low::{self, Unlock};
use crate::cli::request::{Common, Request, Setup};
use crate::cli::target::Target;

/// What a target is called unless somebody says otherwise.
const NAME: &str = "backup";

pub fn setup(low: low::Setup) -> Meaning {
    let name = low.name.unwrap_or_else(|| NAME.to_owned());
    // As `--dest` would read it.
    if name.parse() != Ok(Target::Named(name.clone())) {
        return Err(UsageError::new(
            format!("{name:?} is no name of a target"),
            "take a word of letters, digits, '-' and '_'",
        ));
    }
    let unlock = Unlock {
        passcmd: low.passcmd,
        key_file: None,
        recovery: false,
        authmin: None,
        force_allow_rollback: false,
    };
    let ini = low.place.config.clone();
    let common = Common {
        dry_run: low.dry_run,
        ..common_anywhere(low.place, unlock)?
    };
    let request = Setup {
        key_file: low.new_key_file,
        timer: low.timer,
        sheet: low.sheet.is_none_or(|switch| switch.0),
        force: low.force,
        name,
        ini,
    };
    Ok((common, Request::Setup(request)))
}
