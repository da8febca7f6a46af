//! What is known and comes in a later release, and what is known and no longer needed.

use super::error::UsageError;

/// A later release, by what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Pruning, checking, keys.
    Keeping,
    /// Targets on other machines and in other qubes.
    Targets,
    /// Qubes with their settings.
    Qubes,
}

impl Release {
    /// Its number.
    pub fn number(self) -> &'static str {
        match self {
            Self::Keeping => "0.3",
            Self::Targets => "0.4",
            Self::Qubes => "0.5",
        }
    }
}

use Release::{Keeping, Qubes};

/// Commands to come.
const COMMANDS: &[(&str, Release)] = &[];

/// Long options to come, without their dashes.
const OPTIONS: &[(&str, Release)] = &[("meta-reduce", Keeping), ("dom0", Qubes)];

/// Work-arounds that users of Wyng have in their scripts. `--force-retry` made it try again what had failed after an interruption; here the next
/// command goes on from the last commit by itself, however often it failed before.
const NEEDLESS: &[&str] = &["purge-tmp", "tar-bypass", "maxsync", "vouch", "force-retry"];

/// The error about something that comes later.
pub fn comes_later(what: &str, release: Release) -> UsageError {
    UsageError::new(
        format!(
            "{what} is not in this release, it comes in {}",
            release.number()
        ),
        "`nacre --help` shows what there is",
    )
}

/// The error about a command to come, if `name` is one.
pub fn command(name: &str) -> Option<UsageError> {
    find(COMMANDS, name).map(|release| comes_later(&format!("the command {name}"), release))
}

/// The error about an option to come, if `name` (without dashes) is one.
pub fn option(name: &str) -> Option<UsageError> {
    find(OPTIONS, name).map(|release| comes_later(&format!("the option --{name}"), release))
}

/// The notice about an option that does nothing, if `name` (without dashes) is one.
pub fn needless(name: &str) -> Option<String> {
    NEEDLESS
        .contains(&name)
        .then(|| format!("--{name} does nothing here: what it works around does not arise"))
}

fn find(table: &[(&str, Release)], name: &str) -> Option<Release> {
    let row = table.iter().find(|(known, _)| *known == name)?;
    Some(row.1)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn nothing_is_both_here_and_to_come() {
        let root = crate::cli::low::Low::command();
        for sub in root.get_subcommands() {
            assert!(command(sub.get_name()).is_none(), "{}", sub.get_name());
            for long in sub.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(option(long).is_none(), "{long}");
                assert!(needless(long).is_none(), "{long}");
            }
        }
    }
}
