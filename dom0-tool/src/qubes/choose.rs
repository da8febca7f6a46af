//! Which qubes are backed up.

use std::collections::BTreeSet;

use super::inventory::{Inventory, System};
use crate::joints::qubes::{QubeClass, QubeVolume};

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Qubes by name.
    pub named: Vec<String>,
    /// All qubes that are marked for backup, too.
    pub included: bool,
    /// Qubes to leave out, whatever else was said.
    pub excluded: Vec<String>,
    /// Qubes that the backup itself goes through.
    pub carriers: Vec<String>,
}

/// A qube that is not backed up, and why, for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub qube: String,
    /// Why, and what to do about it.
    pub why: String,
    /// Whether it was asked for by name, so that it is an error.
    pub asked_for: bool,
}

/// The plan: qubes with the volumes that are saved.
#[derive(Clone, Debug, Default)]
pub struct Choice<'a> {
    /// Qubes in order of their names, each with its volumes; a qube may have none.
    pub chosen: Vec<(&'a Inventory, Vec<&'a QubeVolume>)>,
    /// Qubes that were asked for, or are marked, and are left out all the same.
    pub left_out: Vec<LeftOut>,
}

/// Chooses. Named qubes are taken even if they are not marked; a marked one that carries the backup is not, since it would be caught
/// in the middle of writing it.
pub fn choose<'a>(system: &'a System, wanted: &Wanted) -> Choice<'a> {
    let named: BTreeSet<&str> = wanted.named.iter().map(String::as_str).collect();
    let excluded: BTreeSet<&str> = wanted.excluded.iter().map(String::as_str).collect();
    let mut choice = Choice::default();
    for name in &named {
        if !system.qubes.contains_key(*name) {
            choice.leave_out(name, true, "there is no qube of this name");
        }
    }
    for (name, qube) in &system.qubes {
        let asked_for = named.contains(name.as_str());
        // Disposables have no volume that outlives them; their settings are saved with those of all qubes.
        let lasting = qube.row.class != QubeClass::Disposable;
        let marked = wanted.included && qube.included && lasting;
        if !asked_for && !marked || excluded.contains(name.as_str()) {
            continue;
        }
        if let Some(why) = refusal(qube) {
            choice.leave_out(name, asked_for, why);
        } else if !asked_for && wanted.carriers.contains(name) {
            choice.leave_out(
                name,
                false,
                "the backup goes through it; name it to save it too",
            );
        } else {
            let saved = qube.volumes.iter().filter(|volume| is_saved(volume));
            choice.chosen.push((qube, saved.collect()));
        }
    }
    choice
}

/// Why a qube cannot be saved at all.
fn refusal(qube: &Inventory) -> Option<&'static str> {
    match &qube.row.class {
        QubeClass::Other(_) => Some("this release of nacre does not know its class"),
        _ => None,
    }
}

/// Volumes whose content outlives a stop of the qube, and is its own.
fn is_saved(volume: &QubeVolume) -> bool {
    volume.kept && volume.writable
}

impl Choice<'_> {
    fn leave_out(&mut self, qube: &str, asked_for: bool, why: &str) {
        self.left_out.push(LeftOut {
            qube: qube.to_owned(),
            why: why.to_owned(),
            asked_for,
        });
    }
}
