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
    /// An option that comes later: the sentence and the remedy to answer with.
    Later(String, String),
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

/// Sections that have a meaning in a later release, each with the release.
const LATER_SECTIONS: &[(&str, &str)] = &[("target", "0.4")];

/// The section of dedup domains: `PATTERN = DOMAIN`, each as if `--dedup-domain=PATTERN=DOMAIN` had been typed.
const DEDUP: &str = "dedup";

/// The section of rules: `PATTERN = RULES`, each as if `--retention=PATTERN=RULES` had been typed.
const RETENTION: &str = "retention";

/// The section of options.
const DEFAULTS: &str = "var-global-default";

/// Checks every section and key. Yields the settings of `[var-global-default]`, and notices.
/// `kind` tells what is known of a key, `known` lists all keys and `rules` all rules of `[retention]` for the suggestions.
pub fn check(
    ini: &Ini,
    kind: &dyn Fn(&str) -> OptionKind,
    known: &[&str],
    rules: &[&str],
) -> Result<(Vec<Setting>, Vec<String>), ConfigError> {
    let mut settings = Vec::new();
    let mut notices = Vec::new();
    for section in &ini.sections {
        if section.name == DEDUP {
            settings.extend(section.entries.iter().map(|entry| domain(ini, entry)));
            continue;
        }
        if section.name == RETENTION {
            for entry in &section.entries {
                settings.push(retention(ini, entry, rules)?);
            }
            continue;
        }
        if section.name != DEFAULTS {
            return Err(unknown_section(ini, section));
        }
        for entry in &section.entries {
            match kind(&entry.key) {
                OptionKind::Known => settings.push(Setting {
                    key: entry.key.clone(),
                    values: entry.values.clone(),
                    place: place(ini, entry.line),
                }),
                OptionKind::Needless(notice) => {
                    notices.push(format!("{}: {notice}", place(ini, entry.line)));
                }
                OptionKind::Later(what, remedy) => {
                    return Err(ConfigError::Line {
                        place: place(ini, entry.line),
                        what,
                        remedy,
                    });
                }
                OptionKind::Unknown => return Err(unknown_key(ini, entry, known)),
            }
        }
    }
    Ok((settings, notices))
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
    let kind = section.name.split_whitespace().next().unwrap_or_default();
    let later = LATER_SECTIONS.iter().find(|(name, _)| *name == kind);
    let (what, remedy) = match later {
        Some((_, release)) => (
            format!(
                "the section [{}] is not in this release, it comes in {release}",
                section.name
            ),
            "remove it, or put # before its lines".to_owned(),
        ),
        None => (
            format!("the section [{}] is unknown", section.name),
            format!("options stand in [{DEFAULTS}]"),
        ),
    };
    ConfigError::Line {
        place: place(ini, section.line),
        what,
        remedy,
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
