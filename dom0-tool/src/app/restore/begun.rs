//! Which qubes a restore is about to make. Between the call that makes a qube and the one that marks it nothing in Qubes says whose it is;
//! this does, so that the next run goes on with it instead of asking.

use std::collections::BTreeSet;

use super::super::world::World;
use crate::archive::Result;
use crate::joints::StateDir;
use crate::qubes::restore::{How, Plan, QubeEnd};
use crate::state::Directory;

/// One empty file for each qube, whose name in hex is that of the file: names of qubes may have capitals, those of state files may not.
pub struct Begun(Directory);

impl Begun {
    /// What earlier runs left.
    pub fn open(world: &World<'_>) -> Result<Self> {
        Ok(Self(world.begun()?))
    }

    /// The qubes.
    pub fn qubes(&self) -> Result<BTreeSet<String>> {
        let names = self.0.list()?;
        Ok(names.iter().filter_map(|name| decoded(name)).collect())
    }

    /// Durable before the first of them is made.
    pub fn note(&self, plan: &Plan) -> Result<()> {
        for qube in &plan.qubes {
            if matches!(qube.how, How::Create(_)) {
                self.0.replace(&encoded(&qube.name), b"")?;
            }
        }
        Ok(())
    }

    /// What was made has its marks, or is done, or was never made. One that was made and could not be marked stays noted.
    pub fn forget(&self, ends: &[QubeEnd]) -> Result<()> {
        for end in ends {
            let is_known = end.marked || !end.created || end.is_done();
            if is_known {
                self.0.remove(&encoded(&end.name))?;
            }
        }
        Ok(())
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
}
