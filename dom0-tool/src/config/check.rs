//! Whether an ini says only what can be said.

use super::error::ConfigError;
use super::nearest::nearest;
use super::reader::{Entry, Section};
use super::{DEFAULT_PATH, Ini};

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// An option that may be set.
    Known,
    /// An option that does nothing: the notice to show.
    Needless(String),
    /// No option.
    Unknown,
}

/// A value, or several, for an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The option's long name.
    pub key: String,
    /// Its values.
    pub values: Vec<String>,
    /// `FILE:LINE`.
    pub place: String,
}

/// What an ini says, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What holds for every run.
    pub settings: Vec<Setting>,
    /// The named targets.
    pub targets: Vec<TargetSection>,
    /// What to tell about keys that do nothing.
    pub notices: Vec<String>,
}

/// `[target NAME]`: what holds when that target is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSection {
    /// Its name.
    pub name: String,
    /// `FILE:LINE`.
    pub place: String,
    /// Its settings.
    pub settings: Vec<Setting>,
}

/// The words that an ini may use.
pub struct Words<'a> {
    /// What is known of a key.
    pub kind: &'a dyn Fn(&str) -> OptionKind,
    /// All keys, for suggestions.
    pub known: &'a [&'a str],
    /// All rules of `[retention]`.
    pub rules: &'a [&'a str],
    /// The keys that may differ from target to target.
    pub of_target: &'a [&'a str],
}

/// How the names of sections of targets begin.
const TARGET: &str = "target";

/// The section of dedup domains: `PATTERN = DOMAIN`, each as if `--dedup-domain=PATTERN=DOMAIN` had been typed.
const DEDUP: &str = "dedup";

/// The section of rules: `PATTERN = RULES`, each as if `--retention=PATTERN=RULES` had been typed.
const RETENTION: &str = "retention";

/// The section of options.
const DEFAULTS: &str = "var-global-default";

/// Checks every section and key.
pub fn check(ini: &Ini, words: &Words<'_>) -> Result<Checked, ConfigError> {
    let mut checked = Checked::default();
    for section in &ini.sections {
        if section.name == DEDUP {
            let domains = section.entries.iter().map(|entry| domain(ini, entry));
            checked.settings.extend(domains);
        } else if section.name == RETENTION {
            for entry in &section.entries {
                checked.settings.push(retention(ini, entry, words.rules)?);
            }
        } else if section.name == DEFAULTS {
            for entry in &section.entries {
                let setting = option(ini, entry, words, &mut checked.notices)?;
                checked.settings.extend(setting);
            }
        } else if section.name.split_whitespace().next() == Some(TARGET) {
            checked.targets.push(target(ini, section, words)?);
        } else {
            return Err(unknown_section(ini, section));
        }
    }
    Ok(checked)
}

/// A line of options; nothing for one that does nothing.
fn option(
    ini: &Ini,
    entry: &Entry,
    words: &Words<'_>,
    notices: &mut Vec<String>,
) -> Result<Option<Setting>, ConfigError> {
    let place = place(ini, entry.line);
    match (words.kind)(&entry.key) {
        OptionKind::Known => Ok(Some(Setting {
            key: entry.key.clone(),
            values: entry.values.clone(),
            place,
        })),
        OptionKind::Needless(notice) => {
            notices.push(format!("{place}: {notice}"));
            Ok(None)
        }
        OptionKind::Unknown => Err(unknown_key(ini, entry, words.known)),
    }
}

/// A section of a target: where it is, and what it has of its own.
fn target(ini: &Ini, section: &Section, words: &Words<'_>) -> Result<TargetSection, ConfigError> {
    let wrong = |line: usize, what: String, remedy: String| ConfigError::Line {
        place: place(ini, line),
        what,
        remedy,
    };
    let mut name = section.name.split_whitespace().skip(1);
    let (Some(name), None) = (name.next(), name.next()) else {
        let what = format!("the section [{}] does not name one target", section.name);
        return Err(wrong(section.line, what, "write [target NAME]".to_owned()));
    };
    let mut settings = Vec::new();
    for entry in &section.entries {
        if !words.of_target.contains(&entry.key.as_str()) {
            let (what, remedy) = match nearest(&entry.key, words.of_target.iter().copied()) {
                _ if words.known.contains(&entry.key.as_str()) => (
                    format!("{} cannot differ from target to target", entry.key),
                    format!("put it into [{DEFAULTS}]"),
                ),
                near => (
                    format!("there is no option {} of a target", entry.key),
                    near.map_or_else(
                        || format!("a target has {}", words.of_target.join(", ")),
                        |near| format!("did you mean {near}?"),
                    ),
                ),
            };
            return Err(wrong(entry.line, what, remedy));
        }
        settings.push(Setting {
            key: entry.key.clone(),
            values: entry.values.clone(),
            place: place(ini, entry.line),
        });
    }
    Ok(TargetSection {
        name: name.to_owned(),
        place: place(ini, section.line),
        settings,
    })
}

/// A line of `[dedup]` as an option.
fn domain(ini: &Ini, entry: &Entry) -> Setting {
    let values = entry.values.iter();
    Setting {
        key: "dedup-domain".to_owned(),
        values: values
            .map(|domain| format!("{}={domain}", entry.key))
            .collect(),
        place: place(ini, entry.line),
    }
}

/// A line of `[retention]` as an option, with the rules of its indented lines. What a rule's value may be is known elsewhere.
fn retention(ini: &Ini, entry: &Entry, known: &[&str]) -> Result<Setting, ConfigError> {
    let lines: Vec<&str> = entry
        .values
        .iter()
        .map(|line| line.trim_end_matches([',', ' ', '\t']))
        .collect();
    let rules = lines.join(", ");
    for rule in rules.split(',').map(str::trim) {
        let end = rule.find(|c: char| c == '=' || c.is_whitespace());
        let word = rule.get(..end.unwrap_or(rule.len())).unwrap_or_default();
        if !known.contains(&word) {
            let remedy = match nearest(word, known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the rules are {}", known.join(", ")),
            };
            return Err(ConfigError::Line {
                place: place(ini, entry.line),
                what: format!("there is no rule {word:?} for {}", entry.key),
                remedy,
            });
        }
    }
    Ok(Setting {
        key: "retention".to_owned(),
        values: vec![format!("{}={rules}", entry.key)],
        place: place(ini, entry.line),
    })
}

fn place(ini: &Ini, line: usize) -> String {
    match &ini.path {
        Some(path) => format!("{}:{line}", path.display()),
        None => format!("{DEFAULT_PATH}:{line}"),
    }
}

fn unknown_section(ini: &Ini, section: &Section) -> ConfigError {
    ConfigError::Line {
        place: place(ini, section.line),
        what: format!("the section [{}] is unknown", section.name),
        remedy: format!("options stand in [{DEFAULTS}]"),
    }
}

fn unknown_key(ini: &Ini, entry: &Entry, known: &[&str]) -> ConfigError {
    let remedy = match nearest(&entry.key, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => "keys are long options without their dashes".to_owned(),
    };
    ConfigError::Line {
        place: place(ini, entry.line),
        what: format!("there is no option {}", entry.key),
        remedy,
    }
}
