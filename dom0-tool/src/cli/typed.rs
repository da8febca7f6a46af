//! The command line in two steps: what was typed, and then, with what the ini adds, what it means.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};

use super::arrange::arrange;
use super::catalog::{Catalog, Kind, kind_of};
use super::error::{Early, UsageError};
use super::high;
use super::low::Low;
use super::named::{self, Sections};
use super::request::{CheckAction, Common, Invocation, Request};
use super::rivals::beaten;
use super::target::Target;

/// What an ini says about one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The option's long name, without dashes.
    pub option: String,
    /// Its values; `1` or `0` for a switch.
    pub values: Vec<String>,
    /// Where it says so: file and line.
    pub place: String,
}

/// A command line as it was typed: every word is known, its meaning is not.
#[derive(Debug)]
pub struct Typed {
    catalog: Catalog,
    argv: Vec<OsString>,
    negated: BTreeSet<String>,
    notices: Vec<String>,
    command: String,
    matches: ArgMatches,
}

impl Typed {
    /// Reads a command line, whose first word is the program.
    pub fn new(args: Vec<OsString>) -> Result<Self, Early> {
        let catalog = Catalog::new();
        let arranged = arrange(args, &catalog);
        let matches = parse(&catalog, &arranged.argv)?;
        let Some((command, matches)) = matches.subcommand() else {
            return Err(Early::Help(
                catalog.root().clone().render_help().to_string(),
            ));
        };
        Ok(Self {
            command: command.to_owned(),
            matches: matches.clone(),
            argv: arranged.argv,
            negated: arranged.negated,
            notices: arranged.notices,
            catalog,
        })
    }

    /// The file of `--config`.
    pub fn config(&self) -> Option<&Path> {
        let given = self.matches.try_get_one::<PathBuf>("config").ok()?;
        given.map(PathBuf::as_path)
    }

    /// Whether the command has options that an ini could set.
    pub fn uses_ini(&self) -> bool {
        self.matches.try_contains_id("config").is_ok()
    }

    /// The options that an ini may set.
    pub fn options(&self) -> Vec<(String, Kind)> {
        let names = self.catalog.names();
        names.map(|(name, kind)| (name.to_owned(), kind)).collect()
    }

    /// Adds to what is told before the command begins.
    pub fn notice(&mut self, notices: Vec<String>) {
        self.notices.extend(notices);
    }

    /// What is to be done, for each target. Every preset is checked, also those of options that this command does not have and of
    /// targets that are not meant.
    pub fn request(self, presets: &[Preset], sections: Sections<'_>) -> Result<Invocation, Early> {
        for section in sections.all {
            section.target()?;
            for preset in &section.presets {
                self.words(preset)?;
            }
        }
        let (common, request) = self.meaning(presets)?;
        let mut targets = common.targets.clone();
        if matches!(request, Request::Status(_)) && !self.typed("dest") {
            // Of everything that there is, unless something was typed.
            let names = sections.all.iter().map(|section| section.name.clone());
            targets.extend(names.map(Target::Named));
        }
        let targets = once(&targets);
        if targets.len() > 1 && !named::takes_several(&request) {
            return Err(named::one_only(&self.command, &targets).into());
        }
        let mut jobs = VecDeque::new();
        for target in targets {
            jobs.push_back(match target {
                Target::Named(name) => self.at_named(&name, presets, sections)?,
                place => {
                    let targets = vec![place];
                    (
                        Common {
                            targets,
                            ..common.clone()
                        },
                        request.clone(),
                    )
                }
            });
        }
        let (common, request) = jobs.pop_front().unwrap_or((common, request));
        let beside = beside(&common, &request, presets, sections)?;
        Ok(Invocation {
            common,
            request,
            others: jobs.into(),
            beside,
            notices: self.notices,
        })
    }

    /// What is to be done with a target of the ini: what its section says takes the place of what holds for all.
    fn at_named(
        &self,
        name: &str,
        presets: &[Preset],
        sections: Sections<'_>,
    ) -> Result<(Common, Request), Early> {
        let section = sections.get(name)?;
        let own = |preset: &Preset| section.presets.iter().any(|p| p.option == preset.option);
        let mut all = section.presets.clone();
        all.extend(presets.iter().filter(|preset| !own(preset)).cloned());
        let (common, request) = self.meaning(&all)?;
        let common = Common {
            targets: vec![section.target()?],
            name: Some(name.to_owned()),
            ..common
        };
        Ok((common, request))
    }

    /// What the command line means together with presets.
    fn meaning(&self, presets: &[Preset]) -> Result<(Common, Request), Early> {
        let mut added = Vec::new();
        for preset in presets {
            let words = self.words(preset)?;
            if self.counts(&preset.option) {
                added.extend(words);
            }
        }
        // Behind the command, before what was typed: a `--` there must not swallow them.
        let mut argv = self.argv.clone();
        argv.splice(2..2, added);
        let matches = parse(&self.catalog, &argv)?;
        let low = Low::from_arg_matches(&matches).map_err(|error| early(&error))?;
        let (common, mut request) = high::meaning(low.command)?;
        if let Request::Status(status) = &mut request {
            status.only_named = self.typed("dest");
        }
        Ok((common, request))
    }

    /// A preset as words of a command line, each value tried on its own so that an error can say where it stands.
    fn words(&self, preset: &Preset) -> Result<Vec<OsString>, UsageError> {
        let Preset {
            option,
            values,
            place,
        } = preset;
        let at = |what: String, remedy: &str| UsageError::new(format!("{place}: {what}"), remedy);
        let words: Vec<OsString> = match (self.catalog.kind(option), values.as_slice()) {
            (Some(Kind::Switch), [one]) if one == "1" => vec![format!("--{option}").into()],
            (Some(Kind::Switch), [zero]) if zero == "0" => Vec::new(),
            (Some(Kind::Switch), _) => {
                return Err(at(
                    format!("{option} is a switch"),
                    "write 1 to turn it on, 0 to turn it off",
                ));
            }
            (Some(Kind::Value), [_]) | (Some(Kind::Values), _) => values
                .iter()
                .map(|value| OsString::from(format!("--{option}={value}")))
                .collect(),
            (Some(Kind::Value), _) => {
                return Err(at(format!("{option} takes one value"), "leave one line"));
            }
            (None, _) => return Err(at(format!("there is no option {option}"), "remove it")),
        };
        for word in &words {
            self.try_alone(option, word).map_err(|why| {
                at(
                    format!("the value of {option} is not right: {why}"),
                    "correct that line",
                )
            })?;
        }
        Ok(words)
    }

    /// Whether an option was typed.
    fn typed(&self, long: &str) -> bool {
        let Some(sub) = self.catalog.root().find_subcommand(&self.command) else {
            return false;
        };
        let arg = sub.get_arguments().find(|arg| arg.get_long() == Some(long));
        arg.is_some_and(|arg| {
            self.matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        })
    }

    /// Whether a preset is to be used: the command has the option, and what was typed does not say otherwise.
    fn counts(&self, option: &str) -> bool {
        let sub = self.catalog.root().find_subcommand(&self.command);
        // Of one kind with what the ini means: its `tag` is for `send`, and must not make `list` hide sessions.
        let known = sub.is_some_and(|sub| {
            let mut args = sub.get_arguments();
            let arg = args.find(|arg| arg.get_long() == Some(option));
            arg.is_some_and(|arg| kind_of(arg) == self.catalog.kind(option))
        });
        let typed = |long: &str| self.typed(long);
        let beaten = typed(option) || beaten(&self.command, option, typed);
        known && !beaten && !self.negated.contains(option)
    }

    /// Lets the parser look at one word; says why it does not like it. The commands' own names are not wanted here.
    fn try_alone(&self, option: &str, word: &OsString) -> Result<(), String> {
        for sub in self.catalog.root().get_subcommands() {
            let args = sub.get_arguments();
            for arg in args.filter(|arg| arg.get_long() == Some(option)) {
                let alone = clap::Command::new("nacre").arg(arg.clone());
                let tried = alone.try_get_matches_from([&OsString::from("nacre"), word]);
                tried.map_err(|error| first_line(&error))?;
            }
        }
        Ok(())
    }
}

/// The other targets that a repair may read from: those that it was told, or else all that the ini names.
fn beside(
    common: &Common,
    request: &Request,
    presets: &[Preset],
    sections: Sections<'_>,
) -> Result<Vec<Common>, Early> {
    let told = match request {
        Request::ArchCheck(check) if check.action == CheckAction::Repair => &check.heal_from,
        _ => return Ok(Vec::new()),
    };
    let named = sections.all.iter();
    let named = named.map(|section| Target::Named(section.name.clone()));
    let all = if told.is_empty() {
        named.collect()
    } else {
        once(told)
    };
    let mut beside: Vec<Common> = Vec::new();
    for target in all {
        let other = match target {
            Target::Named(name) => by_ini(&name, common, presets, sections)?,
            place => Common {
                targets: vec![place],
                name: None,
                ..common.clone()
            },
        };
        let known = beside.iter().any(|one| one.targets == other.targets);
        if !known && other.targets != common.targets {
            beside.push(other);
        }
    }
    Ok(beside)
}

/// How a target of the ini is reached and unlocked by what the ini says alone: what was typed is about the command's own target. Only where
/// the ini names no key may it be the same one.
fn by_ini(
    name: &str,
    typed: &Common,
    presets: &[Preset],
    sections: Sections<'_>,
) -> Result<Common, Early> {
    let any = ["nacre", "list"].map(OsString::from).to_vec();
    let (ini, _) = Typed::new(any)?.at_named(name, presets, sections)?;
    let has_key = ini.key_file.is_some() || ini.passcmd.is_some();
    let key = if has_key { &ini } else { typed };
    Ok(Common {
        key_file: key.key_file.clone(),
        passcmd: key.passcmd.clone(),
        meta_dir: typed.meta_dir.clone(),
        unattended: typed.unattended,
        verbosity: typed.verbosity,
        json: typed.json,
        threads: typed.threads,
        dry_run: typed.dry_run,
        ..ini
    })
}

/// The parser's own sentence, without its usage lines.
fn first_line(error: &clap::Error) -> String {
    use std::error::Error as _;
    if let Some(source) = error.source() {
        return source.to_string();
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// Each place once, in the order of its first mention.
fn once(targets: &[Target]) -> Vec<Target> {
    let mut seen: Vec<Target> = Vec::new();
    for target in targets {
        if !seen.contains(target) {
            seen.push(target.clone());
        }
    }
    seen
}

fn parse(catalog: &Catalog, argv: &[OsString]) -> Result<ArgMatches, Early> {
    let root = catalog.root().clone();
    root.try_get_matches_from(argv)
        .map_err(|error| early(&error))
}

fn early(error: &clap::Error) -> Early {
    use clap::error::ErrorKind;
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Early::Show(text),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Early::Help(text)
        }
        _ => Early::Parser(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::named::TargetPresets;
    use crate::cli::request::Verbosity;

    const NOWHERE: Sections<'static> = Sections {
        all: &[],
        near: &|_| None,
    };

    fn typed(line: &str) -> Typed {
        Typed::new(line.split(' ').map(OsString::from).collect()).unwrap()
    }

    fn preset(option: &str, values: &[&str]) -> Preset {
        Preset {
            option: option.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            place: "x.ini:1".to_owned(),
        }
    }

    fn understood(line: &str, presets: &[Preset]) -> Invocation {
        let with_target = [presets, &[preset("dest", &["file:/ini"])]].concat();
        typed(line).request(&with_target, NOWHERE).unwrap()
    }

    #[test]
    fn what_was_typed_replaces_what_the_ini_says() {
        let both = preset("volex", &["a", "b"]);
        let verify = |line: &str| match understood(line, std::slice::from_ref(&both)).request {
            Request::Verify(verify) => verify.selection.excluded.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(verify("nacre verify -a"), 2);
        assert_eq!(verify("nacre verify -a --volex=c"), 1);
        let other = understood("nacre list --dest=file:/typed", &[]);
        assert_eq!(other.common.targets, ["file:/typed".parse().unwrap()]);
    }

    #[test]
    fn a_switch_of_the_ini_can_be_undone_and_gives_way_to_its_rival() {
        let quiet = [preset("quiet", &["1"])];
        let verbosity = |line: &str| understood(line, &quiet).common.verbosity;
        assert_eq!(verbosity("nacre list"), Verbosity::Quiet);
        assert_eq!(verbosity("nacre --no-quiet list"), Verbosity::Normal);
        assert_eq!(verbosity("nacre list -v"), Verbosity::Verbose);
        assert_eq!(verbosity("nacre list --no-quiet --quiet"), Verbosity::Quiet);
    }

    #[test]
    fn options_of_other_commands_in_the_ini_do_no_harm() {
        let presets = [
            preset("tag", &["weekly"]),
            preset("dedup", &["1"]),
            preset("sparse", &["1"]),
        ];
        let Request::List(list) = understood("nacre list", &presets).request else {
            panic!("not a list");
        };
        assert_eq!((list.tags, list.tagged), (false, None));
        let send = understood("nacre send --import-other-from=a:|:/x --", &presets);
        let Request::Send(send) = send.request else {
            panic!("not a send");
        };
        assert!(send.dedup);
        assert_eq!(send.tags.len(), 1);
    }

    #[test]
    fn each_target_gets_what_its_section_says_and_what_was_typed_comes_first() {
        let section = |name: &str, presets: &[Preset]| TargetPresets {
            name: name.to_owned(),
            place: "x.ini:7".to_owned(),
            presets: presets.to_vec(),
        };
        let all = [
            section(
                "nas",
                &[preset("dest", &["ssh://h/b"]), preset("key-file", &["/n"])],
            ),
            section("usb", &[preset("dest", &["usb:1234-ABCD"])]),
        ];
        let sections = Sections {
            all: &all,
            near: &|_| Some("nas".to_owned()),
        };
        let presets = [
            preset("key-file", &["/all"]),
            preset("dest", &["nas", "usb"]),
        ];
        let keys = |line: &str| {
            let invocation = typed(line).request(&presets, sections).unwrap();
            let first = (invocation.common, invocation.request);
            let jobs = std::iter::once(first).chain(invocation.others);
            let key = |(common, _): (Common, Request)| {
                let name = common.name.unwrap_or_default();
                let key = common.key_file.unwrap_or_default();
                format!("{name} {} {}", common.targets[0], key.display())
            };
            jobs.map(key).collect::<Vec<_>>()
        };
        let send = "nacre send --import-other-from=a:|:/x";
        assert_eq!(keys(send), ["nas ssh://h/b /n", "usb usb:1234-ABCD /all"]);
        assert_eq!(
            keys(&format!(
                "{send} --key-file=/typed --dest=file:/y --dest=usb --dest=file:/y"
            )),
            [" file:/y /typed", "usb usb:1234-ABCD /typed"]
        );
        let refused = |line: &str| match typed(line).request(&presets, sections) {
            Err(Early::Usage(error)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(refused("nacre list").contains("one of nas, usb"));
        assert!(refused("nacre list --dest=nax").ends_with("did you mean nas?"));
    }
}
