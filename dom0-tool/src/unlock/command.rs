//! The passphrase as the output of a command.

use std::io::Read;
use std::process::{Command, Stdio};

use zeroize::{Zeroize, Zeroizing};

use super::LONGEST;
use crate::joints::{PromptError, Secret};

/// Runs `sh -c command` and takes what it prints, without one newline at the end. What it says on standard error reaches
/// the user; it may ask on the terminal itself.
pub fn passphrase_from(command: &str) -> Result<Secret, PromptError> {
    let failed = |why: String| PromptError::Command(why);
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("sh cannot be started: {error}")))?;
    let output = child.stdout.take();
    let read = output.map_or_else(|| Ok(Secret::default()), read_bounded);
    if read.is_err() {
        // It may print without end. Dropping its pipe would do for most; this does for all.
        drop(child.kill());
    }
    let status = child
        .wait()
        .map_err(|error| failed(format!("its end was not seen: {error}")))?;
    let mut secret = read?;
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    strip_newline(&mut secret);
    if secret.is_empty() {
        return Err(failed("it printed nothing".to_owned()));
    }
    Ok(secret)
}

/// Reads to the end into memory that never moves, so that no copy stays behind unwiped.
pub fn read_bounded(mut input: impl Read) -> Result<Secret, PromptError> {
    let mut buffer = Zeroizing::new(vec![0_u8; LONGEST + 2]);
    let mut filled = 0;
    loop {
        let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) else {
            return Err(PromptError::TooLong { most: LONGEST });
        };
        match input.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PromptError::Terminal(error.to_string())),
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

/// Takes one newline, of Unix or of DOS, from the end.
pub fn strip_newline(secret: &mut Secret) {
    for end in [b'\n', b'\r'] {
        if secret.last() == Some(&end) {
            secret.pop();
        } else {
            return;
        }
    }
}

/// Keeps the first line only, without its newline.
pub fn first_line(secret: &mut Secret) {
    if let Some(end) = secret.iter().position(|byte| *byte == b'\n') {
        if let Some(rest) = secret.get_mut(end + 1..) {
            rest.zeroize();
        }
        secret.truncate(end + 1);
    }
    strip_newline(secret);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_without_its_newline_is_the_passphrase() {
        for (command, wanted) in [
            ("echo correct horse", "correct horse"),
            ("printf 'no newline'", "no newline"),
            ("printf 'two\\n\\n'", "two\n"),
            ("printf 'dos\\r\\n'", "dos"),
        ] {
            assert_eq!(*passphrase_from(command).unwrap(), wanted.as_bytes());
        }
    }

    #[test]
    fn a_command_that_fails_gives_no_passphrase() {
        for command in ["echo secret; exit 3", "true", "echo", "/does/not/exist"] {
            let error = passphrase_from(command).unwrap_err();
            assert!(
                matches!(error, PromptError::Command(_)),
                "{command}: {error}"
            );
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_command_that_never_stops_printing_is_stopped() {
        assert_eq!(
            passphrase_from("yes").unwrap_err(),
            PromptError::TooLong { most: LONGEST }
        );
    }
}
