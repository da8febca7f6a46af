//! Puts what was typed into the order the parser wants: the command first, its options behind it.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::catalog::{Catalog, Kind};
use super::needless;

/// What was typed, in order.
#[derive(Debug, Default)]
pub struct Arranged {
    /// Program, command, everything else.
    pub argv: Vec<OsString>,
    /// Switches turned off by their `--no-` form, without dashes.
    pub negated: BTreeSet<String>,
    /// What to tell about options that do nothing.
    pub notices: Vec<String>,
}

/// Arranges a command line, whose first word is the program. Options that do nothing are taken out;
/// whatever is unknown stays for the parser to refuse.
pub fn arrange(args: Vec<OsString>, catalog: &Catalog) -> Arranged {
    let mut arranged = Arranged::default();
    let mut args = args.into_iter().peekable();
    let program = args.next().unwrap_or_else(|| OsString::from("nacre"));
    let mut command = None;
    let mut rest: Vec<OsString> = Vec::new();
    while let Some(arg) = args.next() {
        let word = arg.to_str().unwrap_or_default();
        if word == "--" {
            rest.push(arg);
            rest.extend(args);
            break;
        }
        if let Some(option) = word.strip_prefix("--") {
            let (name, has_value) = match option.split_once('=') {
                Some((name, _)) => (name, true),
                None => (option, false),
            };
            if let Some(notice) = needless::notice(name) {
                arranged.notices.push(notice);
                let next = args.peek().and_then(|next| next.to_str());
                if !has_value && next.is_some_and(|next| needless::takes(name, next)) {
                    args.next();
                }
                continue;
            }
            if let Some(switch) = negated_switch(name, has_value, catalog) {
                let typed = format!("--{switch}");
                rest.retain(|earlier| earlier.to_str() != Some(typed.as_str()));
                arranged.negated.insert(switch);
                continue;
            }
            arranged.negated.remove(name);
            let takes_next =
                !has_value && catalog.takes_value(name, command_name(command.as_ref()));
            rest.push(arg);
            rest.extend(takes_next.then(|| args.next()).flatten());
        } else if command.is_some() || (word.len() > 1 && word.starts_with('-')) {
            rest.push(arg);
        } else {
            command = Some(arg);
        }
    }
    arranged.argv.push(program);
    arranged.argv.extend(command);
    arranged.argv.extend(rest);
    arranged
}

fn command_name(command: Option<&OsString>) -> Option<&str> {
    command.and_then(|command| command.to_str())
}

/// `no-dedup` is `dedup` turned off, if `dedup` is a switch.
fn negated_switch(name: &str, has_value: bool, catalog: &Catalog) -> Option<String> {
    let switch = name.strip_prefix("no-").filter(|_| !has_value)?;
    (catalog.kind(switch) == Some(Kind::Switch)).then(|| switch.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arranged(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let argv = arrange(words, &Catalog::new()).argv;
        argv.iter()
            .map(|arg| arg.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn options_before_the_command_are_moved_behind_it_with_their_values() {
        for (typed, wanted) in [
            (
                "nacre --dest file:/x send a b",
                "nacre send --dest file:/x a b",
            ),
            (
                "nacre --dest=file:/x -u send a",
                "nacre send --dest=file:/x -u a",
            ),
            ("nacre --quiet list --tag a", "nacre list --quiet --tag a"),
            ("nacre send --dest file:/x", "nacre send --dest file:/x"),
            ("nacre --tag base send a", "nacre send --tag base a"),
            ("nacre send -- --autoprune", "nacre send -- --autoprune"),
            ("nacre --authmin -1 list", "nacre list --authmin -1"),
            ("nacre --help", "nacre --help"),
            (
                "nacre send --passcmd --autoprune a",
                "nacre send --passcmd --autoprune a",
            ),
            ("nacre --meta-reduce on list a", "nacre list a"),
            ("nacre --meta-reduce extra:10 list a", "nacre list a"),
            ("nacre --meta-reduce=on list a", "nacre list a"),
            ("nacre --meta-reduce list on", "nacre list on"),
            ("nacre --force-retry send on", "nacre send on"),
        ] {
            assert_eq!(arranged(typed), wanted);
        }
    }

    #[test]
    fn the_last_of_a_switch_and_its_negation_counts() {
        let negated = |line: &str| {
            let words = line.split(' ').map(OsString::from).collect();
            let arranged = arrange(words, &Catalog::new());
            (arranged.argv.len(), arranged.negated.contains("dedup"))
        };
        assert_eq!(negated("nacre send --dedup --no-dedup"), (2, true));
        assert_eq!(negated("nacre send --no-dedup --dedup"), (3, false));
    }
}
