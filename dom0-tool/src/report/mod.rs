//! Those who watch: a terminal, plain lines, JSON lines; and text for people.

mod aim;
mod board;
mod json;
mod line;
mod plain;
pub mod summary;
mod table;
mod terminal;
pub mod text;

use std::time::Duration;

pub use json::{Json, ascii_line};
pub use plain::Plain;
pub use table::{Align, Table};
pub use terminal::Terminal;

use crate::joints::sanitise::sanitise;
use crate::joints::{Level, Monitor};

/// How often plain lines tell of progress.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// How often JSON lines do.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// The monitor for this run: JSON lines if wanted, bars if standard error is a terminal that can show them, else plain lines. Messages are
/// shown from `least` on; above `Level::Note` there is no progress and, but for JSON, no summary.
pub fn monitor(json: bool, least: Level) -> Box<dyn Monitor> {
    let quiet = least > Level::Note;
    if json {
        let every = (!quiet).then_some(JSON_EVERY);
        return Box::new(Json::new(Box::new(std::io::stdout()), least, every));
    }
    if !quiet && let Some(terminal) = Terminal::new(least) {
        return Box::new(terminal);
    }
    Box::new(Plain::new(
        Box::new(std::io::stdout()),
        Box::new(std::io::stderr()),
        least,
        (!quiet).then_some(PLAIN_EVERY),
    ))
}

/// A message as one line that is safe to print.
fn message(level: Level, text: &str) -> String {
    let text = sanitise(text.as_bytes(), 2000);
    match level {
        Level::Error => format!("error: {text}"),
        Level::Warning => format!("warning: {text}"),
        Level::Note | Level::Detail | Level::Debug => text,
    }
}

#[cfg(test)]
mod tests;
