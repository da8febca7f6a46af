//! Which targets a command works with: each on its own, with what the ini says of it.

use super::error::UsageError;
use super::request::Request;
use super::target::Target;
use super::typed::Preset;

/// Options that the ini may set for one target, in its section.
pub const OF_TARGET: &[&str] = &[
    "dest",
    "opt-ssh",
    "opt-qubes",
    "usb-device",
    "key-file",
    "passcmd",
    "authmin",
    "autoprune",
    "apdays",
    "limit",
    "retry",
];

/// `[target NAME]` of the ini.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPresets {
    /// Its name.
    pub name: String,
    /// Where the section stands.
    pub place: String,
    /// What it says.
    pub presets: Vec<Preset>,
}

/// All sections of targets.
#[derive(Clone, Copy)]
pub struct Sections<'a> {
    /// They, in the order of the ini.
    pub all: &'a [TargetPresets],
    /// The name that somebody may have meant.
    pub near: &'a dyn Fn(&str) -> Option<String>,
}

impl Sections<'_> {
    /// The section of a name.
    pub fn get(&self, name: &str) -> Result<&TargetPresets, UsageError> {
        let found = self.all.iter().find(|section| section.name == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.all.iter().map(|one| one.name.as_str()).collect();
            let remedy = match ((self.near)(name), names.as_slice()) {
                (Some(near), _) => format!("did you mean {near}?"),
                (None, []) => {
                    format!("write [target {name}] with dest = URL into the ini, or give the URL")
                }
                (None, names) => format!("the ini has {}", names.join(", ")),
            };
            UsageError::new(format!("the ini has no target {name}"), remedy)
        })
    }
}

impl TargetPresets {
    /// Where it is.
    pub fn target(&self) -> Result<Target, UsageError> {
        let at =
            |what: String, remedy: &str| UsageError::new(format!("{}: {what}", self.place), remedy);
        if !matches!(self.name.parse(), Ok(Target::Named(_))) {
            let what = format!("{:?} cannot be the name of a target", self.name);
            return Err(at(
                what,
                "take letters, digits, '-', '_' and '.', beginning with a letter or digit",
            ));
        }
        let dest = self.presets.iter().find(|preset| preset.option == "dest");
        let url = match dest.map(|dest| dest.values.as_slice()) {
            Some([url]) if !url.is_empty() => url,
            _ => {
                let what = format!("it is not said where the target {} is", self.name);
                return Err(at(what, "write one line dest = URL into its section"));
            }
        };
        match url.parse() {
            Ok(Target::Named(_)) => {
                let what = format!("{url} is no place, and a target cannot stand for another one");
                Err(at(what, "write dest = URL"))
            }
            Ok(target) => Ok(target),
            Err(error) => {
                let what = format!("the value of dest is not right: {error}");
                Err(at(what, "correct that line"))
            }
        }
    }
}

/// Whether a command may be told several targets: it then does its work with each in turn.
pub fn takes_several(request: &Request) -> bool {
    matches!(
        request,
        Request::Send(_)
            | Request::Backup(_)
            | Request::Prune(_)
            | Request::Monitor(_)
            | Request::Status(_)
    )
}

/// The error of a command that works with one target.
pub fn one_only(command: &str, targets: &[Target]) -> UsageError {
    let names: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let several = format!(
        "{command} works with one target, and {} are given",
        names.len()
    );
    UsageError::new(
        several,
        format!("give --dest with one of {}", names.join(", ")),
    )
}
