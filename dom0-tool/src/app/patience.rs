//! For how long the other side may keep a command waiting, where the environment says it: a store at the end of a very slow line needs more
//! than usual, and whoever tries out what happens when one falls silent does not want to wait for minutes.

use std::time::Duration;

use crate::archive::{Error, Result};
use crate::store::Patience;

/// Seconds without any sign of life.
const SILENCE: &str = "NACRE_SILENCE";
/// Seconds with signs of life, but without an answer or progress.
const IDLING: &str = "NACRE_IDLING";
/// No command waits longer for nothing.
const LONGEST: u64 = 24 * 3600;

/// What the environment says, else the usual.
pub fn patience() -> Result<Patience> {
    let usual = Patience::default();
    Ok(Patience {
        silence: seconds(SILENCE)?.unwrap_or(usual.silence),
        idling: seconds(IDLING)?.unwrap_or(usual.idling),
    })
}

fn seconds(variable: &str) -> Result<Option<Duration>> {
    let Some(text) = std::env::var_os(variable) else {
        return Ok(None);
    };
    parse(&text.to_string_lossy()).map(Some).ok_or_else(|| {
        Error::refused(
            format!("{variable} in the environment is no number of seconds"),
            format!("Give one from 1 to {LONGEST}, or remove it."),
        )
    })
}

fn parse(text: &str) -> Option<Duration> {
    let seconds = text.parse().ok()?;
    (1..=LONGEST)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_that_end_are_taken() {
        assert_eq!(parse("1"), Some(Duration::from_secs(1)));
        assert_eq!(parse("86400"), Some(Duration::from_secs(86_400)));
        for text in ["", "0", "86401", "-1", "1.5", "1s", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
