//! What `key` means.

use super::{Meaning, common};
use crate::cli::error::UsageError;
use crate::cli::low::{self, KeyAction};
use crate::cli::request::{Common, Key, Request};

/// From what was typed to what it means.
pub fn meaning(low: low::Key) -> Meaning {
    only_what_belongs(&low)?;
    let common = Common {
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    let unasked = common.unattended && !low.force && !common.dry_run;
    let request = match low.action {
        KeyAction::List => Key::List,
        KeyAction::ChangeUuid => Key::ChangeUuid,
        KeyAction::Add => {
            if low.new_key_file.is_some() && low.new_passcmd.is_some() {
                return Err(UsageError::new(
                    "a key is a key file or a passphrase, not both",
                    "add one after the other",
                ));
            }
            Key::Add {
                label: low.label,
                key_file: low.new_key_file,
                passcmd: low.new_passcmd,
            }
        }
        KeyAction::Remove => {
            if unasked {
                return Err(UsageError::new(
                    "key remove asks first, and --unattended allows no question",
                    "add --force if it is really meant",
                ));
            }
            Key::Remove {
                key: low.which.ok_or_else(|| {
                    UsageError::new(
                        "key remove needs a key",
                        "give its number or name; `nacre key list` shows them",
                    )
                })?,
                force: low.force,
            }
        }
        KeyAction::Passphrase => Key::Passphrase {
            key: low.which,
            passcmd: low.new_passcmd,
        },
        KeyAction::Recovery => {
            if common.unattended && !low.untested && !common.dry_run {
                return Err(UsageError::new(
                    "the recovery code is to be typed back in, and --unattended allows no question",
                    "add --untested, and type it in later with `nacre list --recovery`",
                ));
            }
            Key::Recovery {
                label: low.label,
                untested: low.untested,
            }
        }
        KeyAction::RotateMaster => Key::RotateMaster {
            key_files: low.keep_key_file,
            passcmds: low.keep_passcmd,
            force: low.force,
        },
    };
    Ok((common, Request::Key(request)))
}

/// An option that an action does not look at would promise what is not done.
fn only_what_belongs(low: &low::Key) -> Result<(), UsageError> {
    use KeyAction::{Add, Passphrase, Recovery, Remove, RotateMaster};
    let given: [(&str, bool, &[KeyAction]); 8] = [
        ("a key", low.which.is_some(), &[Remove, Passphrase]),
        ("--label", low.label.is_some(), &[Add, Recovery]),
        ("--new-key-file", low.new_key_file.is_some(), &[Add]),
        (
            "--new-passcmd",
            low.new_passcmd.is_some(),
            &[Add, Passphrase],
        ),
        (
            "--keep-key-file",
            !low.keep_key_file.is_empty(),
            &[RotateMaster],
        ),
        (
            "--keep-passcmd",
            !low.keep_passcmd.is_empty(),
            &[RotateMaster],
        ),
        ("--untested", low.untested, &[Recovery]),
        ("--force", low.force, &[Remove, RotateMaster]),
    ];
    match given
        .iter()
        .find(|(_, is_given, actions)| *is_given && !actions.contains(&low.action))
    {
        Some((what, ..)) => Err(UsageError::new(
            format!("this action of key does not take {what}"),
            "leave it out; see `nacre key --help`",
        )),
        None => Ok(()),
    }
}
