//! What is printed of it all.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::cases::Case;
use crate::judge::Met;

/// Exit codes and times of several cases.
#[derive(Default)]
struct Row {
    codes: BTreeMap<i32, usize>,
    times: Vec<(Duration, String)>,
    memory: u64,
    never: usize,
}

/// Rows for attacks and for commands.
#[derive(Default)]
pub struct Table {
    attacks: BTreeMap<&'static str, Row>,
    verbs: BTreeMap<&'static str, Row>,
    pub wrong: Vec<String>,
}

impl Table {
    /// Enters a case.
    pub fn add(&mut self, case: &Case, met: Met) {
        if std::env::var_os("NACRE_HOSTILE").is_some() {
            println!("{case}: {:?}, {:?}: {:?}", met.struck, met.took, met.ended);
        }
        let wrong = met.wrong.clone();
        self.attacks
            .entry(case.attack.name)
            .or_default()
            .add(case.verb.name, &met);
        self.verbs
            .entry(case.verb.name)
            .or_default()
            .add(case.attack.name, &met);
        self.wrong.extend(wrong);
    }
}

impl Row {
    fn add(&mut self, other: &str, met: &Met) {
        if met.struck.is_none() {
            self.never += 1;
            return;
        }
        *self.codes.entry(met.ended.code).or_default() += 1;
        self.times.push((met.took, other.to_owned()));
        self.memory = self.memory.max(met.memory);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, rows) in [("attack", &self.attacks), ("command", &self.verbs)] {
            writeln!(
                f,
                "{title:26} cases  exit 0    1    3    4    5   MiB  median s  longest s"
            )?;
            for (name, row) in rows {
                write!(f, "{name:26} {:5}     ", row.times.len())?;
                for code in [0, 1, 3, 4, 5] {
                    write!(f, " {:4}", row.codes.get(&code).copied().unwrap_or(0))?;
                }
                write!(f, " {:5}", row.memory)?;
                let mut times = row.times.clone();
                times.sort();
                let median = times
                    .get(times.len() / 2)
                    .map_or(0.0, |one| one.0.as_secs_f64());
                let (longest, where_) = times.last().cloned().unwrap_or_default();
                writeln!(
                    f,
                    "  {median:8.2}  {:9.2} ({where_})",
                    longest.as_secs_f64()
                )?;
            }
        }
        let never: usize = self.attacks.values().map(|row| row.never).sum();
        writeln!(f, "{never} of the attacks never came to their turn")
    }
}
