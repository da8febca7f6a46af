//! Tests that this machine cannot run say so, by name and with the reason; `tests/run` counts them.

use std::fs::OpenOptions;
use std::io::Write;

/// The environment variable that names the file to which skipped tests are appended.
pub const SKIP_LOG: &str = "NACRE_SKIP_LOG";

/// Reports that the test `name` does not run here and why; the caller returns right after it.
///
/// One line, `SKIPPED name: why`, goes to standard error and to the file named by `NACRE_SKIP_LOG`, if it is set. The line is
/// appended by one write, so that tests which run side by side do not mix theirs.
///
/// # Panics
/// If the log cannot be written: a skip that nobody hears of would look like a test that passed.
#[allow(
    clippy::panic,
    reason = "fails the test that was to be skipped in silence"
)]
pub fn skip(name: &str, why: &str) {
    let line = format!("SKIPPED {name}: {why}\n");
    eprint!("{line}");
    let Some(path) = std::env::var_os(SKIP_LOG) else {
        return;
    };
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut log| log.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("{}: {error}; {line}", path.display());
    }
}

/// Reports a skipped test and returns from it: `skip!("name of the test", "why it cannot run here")`.
#[macro_export]
macro_rules! skip {
    ($name:expr, $($why:tt)+) => {{
        $crate::skip($name, &format!($($why)+));
        return;
    }};
}
