//! Which qubes a restore is about to make or to overwrite, and which part of them. Between the call that makes a qube and the one that marks
//! it nothing in Qubes says whose it is; this does, so that the next run goes on with it instead of asking. Nor does a mark say what is not
//! whole, which a restore of another part would not make so.

use std::collections::BTreeMap;

use super::super::world::World;
use crate::archive::Result;
use crate::joints::StateDir;
use crate::qubes::restore::{How, Noted, Plan, QubeEnd, What};
use crate::state::Directory;

/// One file for each qube, whose name in hex is that of the file: names of qubes may have capitals, those of state files may not. It holds
/// the part, with `unmarked ` before it as long as a qube that is made is not known to be marked. Empty ones are of earlier releases.
pub struct Begun(Directory);

/// Larger ones say nothing.
const LARGEST: usize = 100;
const UNMARKED: &str = "unmarked ";

impl Begun {
    /// What earlier runs left.
    pub fn open(world: &World<'_>) -> Result<Self> {
        Ok(Self(world.begun()?))
    }

    /// The qubes.
    pub fn qubes(&self) -> Result<BTreeMap<String, Noted>> {
        let mut qubes = BTreeMap::new();
        for file in self.0.list()? {
            let Some(name) = decoded(&file) else {
                continue;
            };
            if let Some(text) = self.0.read(&file, LARGEST)? {
                qubes.insert(name, parsed(&text));
            }
        }
        Ok(qubes)
    }

    /// Durable before the first of them is made or marked. `before`: what earlier runs left; `what`: the part that is restored now.
    pub fn note(&self, plan: &Plan, before: &BTreeMap<String, Noted>, what: What) -> Result<()> {
        for qube in &plan.qubes {
            let unmarked = match qube.how {
                How::Create(_) => true,
                How::GoOn => before.get(&qube.name).is_some_and(|noted| noted.unmarked),
                How::Overwrite => false,
            };
            self.write(&qube.name, Noted { unmarked, what })?;
        }
        Ok(())
    }

    /// What is done, or was never begun, is forgotten. One that was made and could not be marked stays known as such.
    pub fn forget(&self, ends: &[QubeEnd], what: What) -> Result<()> {
        for end in ends {
            if end.is_done() || !end.marked && !end.created {
                self.0.remove(&encoded(&end.name))?;
            } else if end.marked && end.created {
                let unmarked = false;
                self.write(&end.name, Noted { unmarked, what })?;
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, noted: Noted) -> Result<()> {
        let unmarked = if noted.unmarked { UNMARKED } else { "" };
        let text = format!("{unmarked}{}", word(noted.what));
        Ok(self.0.replace(&encoded(name), text.as_bytes())?)
    }
}

fn word(what: What) -> &'static str {
    match what {
        What::Both => "both",
        What::Settings => "settings",
        What::Data => "data",
    }
}

/// What is no part counts as both: nothing less makes such a qube whole.
fn parsed(text: &[u8]) -> Noted {
    let unmarked = text.is_empty() || text.starts_with(UNMARKED.as_bytes());
    let part = text.strip_prefix(UNMARKED.as_bytes()).unwrap_or(text);
    let mut parts = [What::Settings, What::Data].into_iter();
    let what = parts.find(|what| word(*what).as_bytes() == part);
    Noted {
        unmarked,
        what: what.unwrap_or(What::Both),
    }
}

fn encoded(name: &str) -> String {
    let digits = name.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    digits.collect()
}

fn decoded(name: &str) -> Option<String> {
    let pairs = name.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_qube_is_one_of_a_file() {
        for name in ["work", "A_b-C.9", &"x".repeat(31)] {
            let file = encoded(name);
            assert!(file.len() <= 64, "{file}");
            assert_eq!(decoded(&file).as_deref(), Some(name));
        }
        assert_eq!(decoded("zz"), None);
    }

    #[test]
    fn a_note_of_an_earlier_release_is_of_a_whole_qube_without_marks() {
        for (text, unmarked, what) in [
            ("", true, What::Both),
            ("unmarked data", true, What::Data),
            ("settings", false, What::Settings),
            ("something else", false, What::Both),
        ] {
            assert_eq!(parsed(text.as_bytes()), Noted { unmarked, what });
        }
    }
}
