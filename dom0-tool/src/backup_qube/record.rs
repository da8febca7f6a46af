//! What runs did to a qube, as text beside the lease.

use std::fmt;

use super::Port;

/// Lines of `since TIME`, `started`, `attached QUBE:PORT`; anything else is no record at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The start of the qube of which it speaks.
    pub since: String,
    /// A run started it.
    pub started: bool,
    /// Runs attached these.
    pub attached: Vec<Port>,
}

impl Record {
    /// This one, if it speaks of that start of the qube; else that nothing was done since.
    pub fn of_start(self, since: &str) -> Self {
        if self.since == since && !since.is_empty() {
            return self;
        }
        Self {
            since: since.to_owned(),
            ..Self::default()
        }
    }

    pub fn parse(text: &str) -> Self {
        let mut record = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("since", since)) => since.clone_into(&mut record.since),
                Some(("attached", port)) => match port.parse() {
                    Ok(port) => record.attached.push(port),
                    Err(()) => return Self::default(),
                },
                None if line == "started" => record.started = true,
                _ => return Self::default(),
            }
        }
        record
    }

    /// Whether there is anything to undo.
    pub fn is_idle(&self) -> bool {
        !self.started && self.attached.is_empty()
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_idle() {
            return Ok(());
        }
        writeln!(f, "since {}", self.since)?;
        if self.started {
            writeln!(f, "started")?;
        }
        for port in &self.attached {
            writeln!(f, "attached {port}")?;
        }
        Ok(())
    }
}
