//! From the words of the shell to a checked invocation: the command line and the ini, put together.

use std::ffi::OsString;
use std::io::Write;

use crate::cli::{
    Early, Exit, Invocation, OF_TARGET, Preset, RETENTION_RULES, Sections, TargetPresets, Typed,
    UsageError, needless_option,
};
use crate::config::{
    self, Checked, ConfigError, OptionKind, Setting, TargetSection, Words, nearest,
};

/// The whole program: from the words of the shell, the first of which is the program's name, to the exit code.
pub fn program(args: Vec<OsString>) -> Exit {
    match understand(args) {
        Err(early) => tell(&early),
        Ok(invocation) => crate::app::run(&invocation),
    }
}

/// Reads the command line and the ini. `version` and help do not look at the ini, so that a broken one does not hide them.
pub fn understand(args: Vec<OsString>) -> Result<Invocation, Early> {
    let mut typed = Typed::new(args)?;
    if !typed.uses_ini() {
        let none = Sections {
            all: &[],
            near: &|_| None,
        };
        return typed.request(&[], none);
    }
    let checked = presets(&typed).map_err(|error| ini_error(&error))?;
    let all: Vec<TargetPresets> = checked.targets.into_iter().map(section).collect();
    let names = || all.iter().map(|section| section.name.as_str());
    let sections = Sections {
        all: &all,
        near: &|name| nearest(name, names()).map(str::to_owned),
    };
    let presets: Vec<Preset> = checked.settings.into_iter().map(preset).collect();
    typed.notice(checked.notices);
    typed.request(&presets, sections)
}

fn preset(setting: Setting) -> Preset {
    Preset {
        option: setting.key,
        values: setting.values,
        place: setting.place,
    }
}

fn section(section: TargetSection) -> TargetPresets {
    TargetPresets {
        name: section.name,
        place: section.place,
        presets: section.settings.into_iter().map(preset).collect(),
    }
}

fn presets(typed: &Typed) -> Result<Checked, ConfigError> {
    let ini = config::load(typed.config())?;
    let options = typed.options();
    let known: Vec<&str> = options.iter().map(|(name, _)| name.as_str()).collect();
    let kind = |key: &str| {
        if known.contains(&key) {
            OptionKind::Known
        } else if let Some(notice) = needless_option(key) {
            OptionKind::Needless(notice)
        } else {
            OptionKind::Unknown
        }
    };
    let words = Words {
        kind: &kind,
        known: &known,
        rules: RETENTION_RULES,
        of_target: OF_TARGET,
    };
    config::check(&ini, &words)
}

fn ini_error(error: &ConfigError) -> Early {
    let text = error.to_string();
    let (what, remedy) = text.split_once("; ").unwrap_or((&text, ""));
    Early::Usage(UsageError::new(what, remedy))
}

/// Prints why there is no command to carry out. A closed pipe is no reason to complain.
pub fn tell(early: &Early) -> Exit {
    match early {
        Early::Show(text) => show(text),
        Early::Help(text) | Early::Parser(text) => {
            // Nobody is left to tell if this fails.
            drop(std::io::stderr().lock().write_all(text.as_bytes()));
            Exit::Usage
        }
        Early::Usage(error) => fail(&error.to_string(), Exit::Usage),
    }
}

/// Prints what was asked for on standard output. A full disk or another fault there is an error, a closed pipe is not.
pub fn show(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => fail(
            &format!("the output cannot be written ({error}); look at where it goes"),
            Exit::Nothing,
        ),
        _ => Exit::Done,
    }
}

/// Prints an error on standard error and hands the exit code on.
pub fn fail(text: &str, exit: Exit) -> Exit {
    // Nobody is left to tell if this fails.
    drop(writeln!(std::io::stderr().lock(), "error: {text}"));
    exit
}
