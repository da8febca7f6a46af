//! Asking on the terminal, or taking the answer from where it was promised.

use std::io::{BufRead, IsTerminal, Write};

use zeroize::Zeroizing;

use super::command::{first_line, passphrase_from, read_bounded};
use super::{LONGEST, SHORTEST};
use crate::joints::sanitise::sanitise;
use crate::joints::{KeyPrompt, PromptError, Purpose, Secret};

/// Where answers come from: `--passcmd`, else the terminal, else (a passphrase only) the first line of standard input.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// `--passcmd`.
    pub passcmd: Option<String>,
    /// `--unattended`: the terminal is not asked.
    pub unattended: bool,
}

impl Prompt {
    /// Whether somebody sits at the terminal who may be asked.
    pub fn has_person(&self) -> bool {
        !self.unattended && std::io::stdin().is_terminal()
    }

    fn ask_once(&self, purpose: Purpose<'_>) -> Result<Secret, PromptError> {
        if let Some(command) = &self.passcmd {
            return passphrase_from(command);
        }
        if self.has_person() {
            return match purpose {
                Purpose::Unlock { place } => typed(&format!("Passphrase of {}: ", shown(place))),
                Purpose::Create { place } => typed_twice(&shown(place)),
                Purpose::Recovery { place } => {
                    let code = line(&format!("Recovery code of {}:", shown(place)))?;
                    Ok(Zeroizing::new(code.trim().as_bytes().to_vec()))
                }
            };
        }
        let nobody = || PromptError::NobodyToAsk {
            what: "the passphrase".to_owned(),
            remedy: "give --passcmd, --key-file, or the passphrase on standard input".to_owned(),
        };
        if std::io::stdin().is_terminal() {
            return Err(nobody());
        }
        let mut secret = read_bounded(std::io::stdin().lock())?;
        first_line(&mut secret);
        if secret.is_empty() {
            return Err(nobody());
        }
        Ok(secret)
    }

    /// Asks for a passphrase that may be left out.
    pub fn passphrase_or_nothing(&self, question: &str) -> Result<Option<Secret>, PromptError> {
        self.person_for("a passphrase", "give --keep-passcmd")?;
        match typed(&format!("{} ", shown(question))) {
            Ok(secret) => Ok(Some(secret)),
            Err(PromptError::Abandoned) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn person_for(&self, what: &str, remedy: &str) -> Result<(), PromptError> {
        if self.has_person() {
            return Ok(());
        }
        Err(PromptError::NobodyToAsk {
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        })
    }
}

impl KeyPrompt for Prompt {
    fn ask(&self, purpose: Purpose<'_>) -> Result<Secret, PromptError> {
        let secret = self.ask_once(purpose)?;
        let is_new = matches!(purpose, Purpose::Create { .. });
        check_length(&secret, is_new)?;
        Ok(secret)
    }

    fn may_retry(&self) -> bool {
        self.passcmd.is_none() && self.has_person()
    }

    fn confirm(&self, question: &str) -> Result<bool, PromptError> {
        self.person_for("a yes", "add --force if it is really meant")?;
        let answer = line(&format!("{question} [y/N] "))?;
        let answer = answer.trim().to_ascii_lowercase();
        Ok(matches!(answer.as_str(), "y" | "yes"))
    }

    fn line(&self, question: &str) -> Result<Option<String>, PromptError> {
        self.person_for("an answer", "give it as an option")?;
        let answer = line(&format!("{question} "))?;
        let answer = answer.trim();
        Ok((!answer.is_empty()).then(|| answer.to_owned()))
    }

    fn notice(&self, text: &str) {
        // If the terminal is gone, the question that follows will say so.
        drop(writeln!(
            std::io::stderr().lock(),
            "{}",
            sanitise(text.as_bytes(), 1000)
        ));
    }
}

fn check_length(secret: &[u8], is_new: bool) -> Result<(), PromptError> {
    if is_new && secret.len() < SHORTEST {
        return Err(PromptError::TooShort { least: SHORTEST });
    }
    if secret.len() > LONGEST {
        return Err(PromptError::TooLong { most: LONGEST });
    }
    Ok(())
}

fn shown(place: &str) -> String {
    sanitise(place.as_bytes(), 200)
}

fn typed(question: &str) -> Result<Secret, PromptError> {
    match rpassword::prompt_password(question) {
        Ok(text) if text.is_empty() => Err(PromptError::Abandoned),
        Ok(text) => Ok(Zeroizing::new(text.into_bytes())),
        Err(error) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::Interrupted => {
                Err(PromptError::Abandoned)
            }
            _ => Err(PromptError::Terminal(error.to_string())),
        },
    }
}

fn typed_twice(place: &str) -> Result<Secret, PromptError> {
    let first = typed(&format!(
        "New passphrase for {place} (at least {SHORTEST} bytes): "
    ))?;
    // Told before it is typed a second time.
    check_length(&first, true)?;
    let second = typed("The same again: ")?;
    if first != second {
        return Err(PromptError::Differs);
    }
    Ok(first)
}

/// Asks on standard error, so that it is seen when the output is piped, and reads a line of at most 4 KiB.
fn line(question: &str) -> Result<String, PromptError> {
    let terminal = |error: std::io::Error| PromptError::Terminal(error.to_string());
    let mut err = std::io::stderr().lock();
    write!(err, "{} ", sanitise(question.as_bytes(), 1000))
        .and_then(|()| err.flush())
        .map_err(terminal)?;
    let mut bytes = Vec::new();
    let limited = &mut std::io::Read::take(std::io::stdin().lock(), 4096);
    limited.read_until(b'\n', &mut bytes).map_err(terminal)?;
    if bytes.is_empty() {
        return Err(PromptError::Abandoned);
    }
    String::from_utf8(bytes).map_err(|_| PromptError::Abandoned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_command(command: &str) -> Prompt {
        Prompt {
            passcmd: Some(command.to_owned()),
            unattended: true,
        }
    }

    #[test]
    fn a_new_passphrase_has_ten_bytes_and_an_old_one_what_it_has() {
        let (unlock, create) = (
            Purpose::Unlock { place: "x" },
            Purpose::Create { place: "x" },
        );
        assert!(by_command("echo short").ask(unlock).is_ok());
        assert_eq!(
            by_command("echo 123456789").ask(create),
            Err(PromptError::TooShort { least: 10 })
        );
        assert!(by_command("echo 1234567890").ask(create).is_ok());
    }

    #[test]
    fn unattended_never_says_yes() {
        let prompt = by_command("echo y");
        assert!(matches!(
            prompt.confirm("Overwrite?"),
            Err(PromptError::NobodyToAsk { .. })
        ));
        assert!(!prompt.may_retry());
    }
}
