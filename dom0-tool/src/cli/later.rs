//! What is known and comes in a later release, and what is known and no longer needed.

use super::error::UsageError;

/// A later release, by what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Targets on other machines and in other qubes.
    Targets,
}

impl Release {
    /// Its number.
    pub fn number(self) -> &'static str {
        match self {
            Self::Targets => "0.4",
        }
    }
}

/// Commands to come.
const COMMANDS: &[(&str, Release)] = &[];

/// Long options to come, without their dashes.
const OPTIONS: &[(&str, Release)] = &[];

/// Work-arounds that users of Wyng have in their scripts. `--force-retry` made it try again what had failed after an interruption; here the next
/// command goes on from the last commit by itself, however often it failed before.
const NEEDLESS: &[&str] = &["purge-tmp", "tar-bypass", "maxsync", "vouch", "force-retry"];

/// What Wyng thinned out is not kept here: no manifests, and of every cache only what the newest head still needs.
const META_REDUCE: &str = "meta-reduce";

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
    if name == META_REDUCE {
        let text = "--meta-reduce does nothing here: what this machine keeps of an archive has bounds of its own, and `nacre delete --clean` removes all of it that can be made anew";
        return Some(text.to_owned());
    }
    NEEDLESS
        .contains(&name)
        .then(|| format!("--{name} does nothing here: what it works around does not arise"))
}

fn find(table: &[(&str, Release)], name: &str) -> Option<Release> {
    let row = table.iter().find(|(known, _)| *known == name)?;
    Some(row.1)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "in a test, a panic is how a surprise is reported"
)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn what_does_nothing_says_why() {
        let said = needless("meta-reduce").unwrap();
        assert!(said.contains("`nacre delete --clean`"), "{said}");
        assert!(needless("maxsync").unwrap().contains("does not arise"));
        assert_eq!(needless("dest"), None);
    }

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
