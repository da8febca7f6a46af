//! What `setup` is going to do: commands and files, as they are shown and as they are carried out.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ini::{self, Ini, Key};
use crate::archive::Result;
use crate::cli::{Common, Setup, Target};
use crate::config::DEFAULT_PATH;

/// What a plan is made of.
pub struct Wishes<'a> {
    /// Where the archive is, or is to be.
    pub target: &'a Target,
    /// Its name in the ini.
    pub name: &'a str,
    /// This machine has seen an archive there.
    pub is_known: bool,
    /// Somebody can be asked.
    pub has_person: bool,
    /// What the command line says beside it.
    pub common: &'a Common,
    /// What was wanted.
    pub setup: &'a Setup,
}

/// The whole plan.
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What is not done, and why.
    notes: Vec<String>,
    /// What the person may do next.
    pub next: String,
}

/// One thing.
pub struct Step {
    /// What for.
    pub purpose: &'static str,
    action: Action,
}

enum Action {
    /// A command, as it could be typed.
    Run(Vec<String>),
    /// A file with this text.
    Write(PathBuf, String),
}

impl Plan {
    /// Works out what is to be done. Looks at this machine's own files only; no target is reached.
    pub fn make(wishes: &Wishes<'_>) -> Result<Self> {
        let mut plan = Self {
            steps: Vec::new(),
            notes: Vec::new(),
            next: format!(
                "the first backup: nacre backup --includes --dest={}",
                wishes.name
            ),
        };
        let path = wishes.setup.ini.clone();
        let path = path.unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
        let ini = Ini::read(&path)?;
        let key = ini.key(wishes.name);
        let key_file = match (&wishes.setup.key_file, &key) {
            (Some(wanted), _) => wanted.clone(),
            (None, Some(Key::File(named))) => named.clone(),
            (None, _) => PathBuf::from(format!("/etc/nacre/{}.key", wishes.name)),
        };
        let has_key_file = plan.archive(wishes, key.as_ref(), &key_file);
        let change = ini.with_target(
            wishes.name,
            wishes.target,
            has_key_file.then_some(&*key_file),
        );
        plan.settings(wishes, path, change);
        if wishes.setup.timer {
            let words = ["systemctl", "enable", "--now", "nacre-backup.timer"];
            plan.run(
                "back up daily from now on",
                words.map(str::to_owned).to_vec(),
            );
        }
        Ok(plan)
    }

    /// The archive and its keys, the sheet before the key file: who relies on runs without a passphrase must not lose the archive with this machine.
    /// Whether there is a key file then. The settings come behind the sheet: where they name the target (`named`), an earlier run went past it.
    fn archive(&mut self, wishes: &Wishes<'_>, named: Option<&Key>, path: &Path) -> bool {
        let key_file = path.display().to_string();
        let unattended = !wishes.has_person;
        if wishes.is_known {
            self.notes
                .push("this machine knows an archive there, so none is made".to_owned());
        } else if unattended && wishes.common.passcmd.is_none() {
            let key = format!("--key-file={key_file}");
            let words = command(wishes, &["arch-init"], &[key.as_str()]);
            self.run("make the archive and its key file, and put the script that restores without nacre beside it", words);
        } else {
            let purpose = if unattended {
                "make the archive with the passphrase that the command prints, and put the script that restores without nacre beside it"
            } else {
                "make the archive, whose passphrase you choose, and put the script that restores without nacre beside it"
            };
            self.run(purpose, command(wishes, &["arch-init"], &[]));
        }
        if !wishes.setup.sheet {
            self.notes
                .push("no recovery sheet is printed, because you said so".to_owned());
        } else if wishes.is_known && named.is_some() {
            self.notes.push(format!(
                "no recovery sheet is printed, because this target was set up before; `nacre key list --dest={0}` shows whether the archive has one \
                 (a recovery code), `nacre key recovery --dest={0}` prints another",
                wishes.name
            ));
        } else if unattended {
            self.notes.push(format!(
                "no recovery sheet is printed, because nobody is there to take it: do it soon, by `nacre key recovery --dest={}`",
                wishes.name
            ));
        } else {
            let words = command(wishes, &["key", "recovery"], &[]);
            self.run(
                "print the recovery sheet, and have its code typed back in",
                words,
            );
        }
        let made = !wishes.is_known && unattended && wishes.common.passcmd.is_none();
        // Who has a command that prints the passphrase needs no key file, unless they name one.
        let by_command = named == Some(&Key::Command) && wishes.setup.key_file.is_none();
        let wanted = wishes.setup.timer && !by_command;
        if wanted && !made && !(wishes.is_known && path.exists()) {
            let new = format!("--new-key-file={key_file}");
            let words = command(
                wishes,
                &["key", "add"],
                &["--label=unattended", new.as_str()],
            );
            self.run("make a key file for runs that nobody attends", words);
        }
        made || wanted
    }

    fn settings(&mut self, wishes: &Wishes<'_>, path: PathBuf, change: ini::Change) {
        match change {
            ini::Change::None => self.notes.push(format!(
                "{} names the target {} already and stays as it is",
                path.display(),
                wishes.name
            )),
            ini::Change::New(text) => self.write("write the settings", path, text),
            ini::Change::Added(text) => self.write("add the target to the settings", path, text),
            ini::Change::Key(text) => self.write("add the key file to the settings", path, text),
        }
    }

    fn run(&mut self, purpose: &'static str, words: Vec<String>) {
        let action = Action::Run(words);
        self.steps.push(Step { purpose, action });
    }

    fn write(&mut self, purpose: &'static str, path: PathBuf, text: String) {
        let action = Action::Write(path, text);
        self.steps.push(Step { purpose, action });
    }

    /// As it is shown before anything is done.
    pub fn text(&self) -> String {
        let mut text = String::from(if self.steps.is_empty() {
            "There is nothing left to do.\n"
        } else {
            "This will be done, in this order, and nothing else:\n"
        });
        for (number, step) in (1..).zip(&self.steps) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "\n{}",
                folded(&format!("{number}. {}", step.purpose), "   ")
            );
            match &step.action {
                Action::Run(words) => {
                    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                    let _ = writeln!(text, "     {}", words.join(" "));
                }
                Action::Write(path, content) => {
                    let _ = writeln!(text, "     {}:", path.display());
                    for line in content.lines() {
                        let _ = writeln!(text, "{}", format!("       {line}").trim_end());
                    }
                }
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{}", folded(&format!("Note: {note}."), "      "));
        }
        let _ = writeln!(text, "\nThen {}", self.next);
        text
    }
}

/// `nacre VERB… OPTION… --dest=URL` with what was typed beside it.
fn command(wishes: &Wishes<'_>, verbs: &[&str], options: &[&str]) -> Vec<String> {
    let common = wishes.common;
    let mut words = vec!["nacre".to_owned()];
    words.extend(verbs.iter().chain(options).map(|word| (*word).to_owned()));
    words.push(format!("--dest={}", wishes.target));
    let text = |option: &std::ffi::OsString| option.to_string_lossy().into_owned();
    words.extend(
        common
            .ssh_options
            .iter()
            .map(|option| format!("--opt-ssh={}", text(option))),
    );
    words.extend(
        common
            .qubes_options
            .iter()
            .map(|option| format!("--opt-qubes={}", text(option))),
    );
    if let Some(folder) = &common.meta_dir {
        words.push(format!("--meta-dir={}", folder.display()));
    }
    if let Some(passcmd) = &common.passcmd {
        words.push(format!("--passcmd={passcmd}"));
    }
    if let Some(ini) = wishes.setup.ini.as_ref().filter(|ini| ini.exists()) {
        words.push(format!("--config={}", ini.display()));
    }
    if common.unattended {
        words.push("--unattended".to_owned());
    }
    words
}

/// A sentence in lines as wide as the narrowest terminal; all but the first begin with `indent`. Commands between backquotes stay whole.
fn folded(sentence: &str, indent: &str) -> String {
    const WIDTH: usize = 80;
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in words_and_commands(sentence) {
        if line.trim().is_empty() || line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push_str(if line.trim().is_empty() { "" } else { " " });
        } else {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines.join("\n")
}

fn words_and_commands(sentence: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut is_open = false;
    for word in sentence.split(' ') {
        match all.last_mut() {
            Some(command) if is_open => {
                command.push(' ');
                command.push_str(word);
            }
            _ => all.push(word.to_owned()),
        }
        is_open ^= word.matches('`').count() % 2 == 1;
    }
    all
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_=/:.,@+%".contains(c);
    if word.chars().all(harmless) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

impl Step {
    /// Does it; says why it could not be done.
    pub fn carry_out(&self) -> std::result::Result<(), String> {
        match &self.action {
            Action::Run(words) => run(words),
            Action::Write(path, text) => ini::write(path, text)
                .map_err(|error| format!("{} cannot be written ({error})", path.display())),
        }
    }
}

/// Runs a command at this terminal. `nacre` is this very program.
fn run(words: &[String]) -> std::result::Result<(), String> {
    let (name, arguments) = words.split_first().ok_or("an empty command")?;
    let program = if name == "nacre" {
        std::env::current_exe().map_err(|error| format!("this program is not found ({error})"))?
    } else {
        PathBuf::from(name)
    };
    let ended = Command::new(&program).args(arguments).status();
    match ended {
        Err(error) => Err(format!("{name} cannot be started ({error})")),
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}")),
    }
}
