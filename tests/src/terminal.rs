//! A person at a terminal, who waits for each prompt and then types.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::desk::Ended;

/// What is typed where the code on the recovery sheet is asked for, which has been on the screen before.
pub const CODE: &str = "the code on the sheet";
/// Seconds after which nobody waits any longer: something was asked that has no answer.
const PATIENCE: &str = "120";

/// Why there is no terminal to be had, if there is none.
pub fn missing() -> Option<&'static str> {
    let is_there = Path::new("/usr/bin/script").is_file();
    (!is_there).then_some("there is no terminal to be had: `script` is missing")
}

/// Runs a command at a terminal. Prompts are answered in any order, each as often as it comes. What was on the screen is standard output.
///
/// # Panics
/// If nobody reads what is typed, or there is no terminal.
#[allow(clippy::expect_used, reason = "a test cannot go on without it")]
pub fn typed(command: &Command, answers: &[(&str, &str)]) -> Ended {
    let mut script = Command::new("script");
    script.args(["-qefc", &in_a_shell(command), "/dev/null"]);
    if let Some(folder) = command.get_current_dir() {
        script.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let piped = script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().expect("a terminal");
    let mut keyboard = child.stdin.take().expect("a keyboard");
    let mut screen = child.stdout.take().expect("a screen");
    let (mut seen, mut answered) = (String::new(), 0);
    let mut buffer = [0_u8; 4096];
    while let Ok(length @ 1..) = screen.read(&mut buffer) {
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        let new = seen.get(answered..).unwrap_or_default().trim_end();
        let asked = answers.iter().find(|(prompt, _)| new.ends_with(prompt));
        let Some((prompt, answer)) = asked else {
            continue;
        };
        let answer = if *answer == CODE {
            code_on(&seen)
        } else {
            (*answer).to_owned()
        };
        answered = seen.len();
        let heard = writeln!(keyboard, "{answer}");
        assert!(
            heard.is_ok(),
            "nobody reads the answer to {prompt:?}: {seen}"
        );
    }
    let status = child.wait().expect("an end");
    Ended {
        code: status.code().unwrap_or(-1),
        out: seen,
        err: String::new(),
    }
}

/// The code of a recovery sheet, which stands there in two lines of seven groups.
pub fn code_on(screen: &str) -> String {
    let is_code = |line: &&str| {
        let groups = line.trim().split('-');
        groups.filter(|group| group.len() == 4).count() == 7
    };
    let lines: Vec<&str> = screen.lines().filter(is_code).map(str::trim).collect();
    lines.join("-")
}

/// The command as a shell reads it, with a limit to its time.
fn in_a_shell(command: &Command) -> String {
    let mut line = format!("exec timeout --foreground {PATIENCE}");
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    for word in words {
        // Writing to a string cannot fail.
        let _ = write!(line, " '{}'", word.to_string_lossy().replace('\'', r"'\''"));
    }
    line
}
