//! All options of all commands, as the definition of the command line has them.

use std::collections::BTreeMap;

use clap::{ArgAction, Command, CommandFactory};

use super::low::Low;

/// What stands behind an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is on or off.
    Switch,
    /// One value; a second one is an error.
    Value,
    /// A value, and it may be repeated.
    Values,
}

/// Options by their long names.
#[derive(Debug)]
pub struct Catalog {
    root: Command,
    kinds: BTreeMap<String, Kind>,
}

impl Catalog {
    /// Reads the definition.
    pub fn new() -> Self {
        let mut root = Low::command();
        root.build();
        let mut kinds = BTreeMap::new();
        for sub in root.get_subcommands() {
            for arg in sub.get_arguments() {
                if let Some(long) = arg.get_long()
                    && let Some(kind) = kind_of(arg)
                {
                    // Where commands differ, a value is expected: only `list --tag` may stand alone.
                    let known = kinds.entry(long.to_owned()).or_insert(kind);
                    if kind == Kind::Values {
                        *known = kind;
                    }
                }
            }
        }
        Self { root, kinds }
    }

    /// The definition itself.
    pub fn root(&self) -> &Command {
        &self.root
    }

    /// What stands behind an option, or `None` for one that no command has.
    pub fn kind(&self, long: &str) -> Option<Kind> {
        self.kinds.get(long).copied()
    }

    /// Whether the word behind `--long` belongs to it.
    pub fn takes_value(&self, long: &str, command: Option<&str>) -> bool {
        let of_command = command
            .and_then(|name| self.root.find_subcommand(name))
            .and_then(|sub| sub.get_arguments().find(|arg| arg.get_long() == Some(long)));
        match of_command {
            Some(arg) => {
                kind_of(arg).is_some_and(|kind| kind != Kind::Switch)
                    && !arg.is_require_equals_set()
            }
            None => self.kind(long).is_some_and(|kind| kind != Kind::Switch),
        }
    }

    /// The names of all options that an ini may set, sorted.
    pub fn names(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.kinds
            .iter()
            .filter(|(name, _)| *name != "config")
            .map(|(name, kind)| (name.as_str(), *kind))
    }
}

/// `None` for options that end the program (`--help`).
pub fn kind_of(arg: &clap::Arg) -> Option<Kind> {
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => Some(Kind::Switch),
        ArgAction::Set => Some(Kind::Value),
        ArgAction::Append => Some(Kind::Values),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_of_one_kind_in_every_command() {
        let catalog = Catalog::new();
        for sub in catalog.root().get_subcommands() {
            for arg in sub.get_arguments() {
                let (Some(long), Some(kind)) = (arg.get_long(), kind_of(arg)) else {
                    continue;
                };
                let is_switch = kind == Kind::Switch;
                let known_as_switch = catalog.kind(long) == Some(Kind::Switch);
                assert_eq!(is_switch, known_as_switch, "{} --{long}", sub.get_name());
            }
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Low::command().debug_assert();
    }
}
