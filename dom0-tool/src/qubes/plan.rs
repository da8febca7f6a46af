//! What a backup of qubes will do, before it does it: each volume with its place, its name in the archive and its state.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::settings::{self, Settings};

use super::choose::{Choice, LeftOut};
use super::inventory::{Inventory, System};
use super::place::{Place, candidates, place};
use crate::joints::qubes::{QubeClass, QubeVolume};

/// In what state a volume is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The qube is halted.
    Halted,
    /// It runs; what is saved is the state of before its start.
    BeforeStart,
    /// It runs, and its present state is saved, which is as after a power cut.
    Live,
    /// The same, since this volume has no other: the qube writes to the volume itself.
    InPlace,
}

impl State {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Halted => "halted",
            Self::BeforeStart => "running: state before its start",
            Self::Live => "running: present state, as after a power cut",
            Self::InPlace => "running: written in place, as after a power cut",
        }
    }
}

/// A volume that is saved.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Its qube.
    pub qube: &'a Inventory,
    /// It.
    pub volume: &'a QubeVolume,
    /// Where it is.
    pub place: Place,
    /// What it is called in the archive.
    pub archive: String,
    /// In what state it is saved.
    pub state: State,
}

impl Line<'_> {
    /// The local volume whose content is saved.
    pub fn source(&self) -> &str {
        match self.state {
            State::Live => &self.place.live,
            State::Halted | State::BeforeStart | State::InPlace => &self.place.name,
        }
    }
}

/// What cannot be done of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The qube.
    pub qube: String,
    /// What is wrong, one sentence without its full stop.
    pub what: String,
}

/// What will be done.
#[derive(Clone, Debug, Default)]
pub struct Plan<'a> {
    /// Volumes, in the order of their qubes' names.
    pub lines: Vec<Line<'a>>,
    /// Chosen qubes that have no volume to save: their settings are.
    pub bare: Vec<&'a Inventory>,
    /// Qubes that are left out.
    pub left_out: Vec<LeftOut>,
    /// What cannot be saved.
    pub problems: Vec<Problem>,
}

impl<'a> Plan<'a> {
    /// Plans for what was chosen. `live`: running qubes in their present state. `known`: names of the archive's volumes.
    pub fn make(system: &'a System, choice: Choice<'a>, live: bool, known: &[String]) -> Self {
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        let mut plan = Self {
            left_out: choice.left_out,
            ..Self::default()
        };
        for (qube, volumes) in choice.chosen {
            let name = qube.row.name.as_str();
            if qube.settings.unread.contains("volumes") {
                plan.problem(name, "its volumes cannot be listed and are not saved");
            } else if volumes.is_empty() {
                plan.bare.push(qube);
            }
            for volume in volumes {
                match place(volume, system.pools.get(&volume.pool)) {
                    Ok(place) => plan.lines.push(Line {
                        archive: archive_name(name, &qube.row.class, &place, volume, &known),
                        state: state(qube, &place, live),
                        qube,
                        volume,
                        place,
                    }),
                    Err(trouble) => {
                        let what = format!("volume {} is not saved: {}", volume.name, trouble.0);
                        plan.problem(name, &what);
                    }
                }
            }
        }
        plan
    }

    fn problem(&mut self, qube: &str, what: &str) {
        self.problems.push(Problem {
            qube: qube.to_owned(),
            what: what.to_owned(),
        });
    }

    /// Names of the qubes that are saved, in order.
    pub fn qubes(&self) -> BTreeSet<&'a str> {
        let volumes = self.lines.iter().map(|line| line.qube);
        let all = volumes.chain(self.bare.iter().copied());
        all.map(|qube| qube.row.name.as_str()).collect()
    }

    /// The settings of the whole system, with the names of the volumes whose content the archive has or will have.
    pub fn settings(&self, system: &System, known: &[String]) -> Settings {
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        let planned: BTreeMap<(&str, &str), &str> = self
            .lines
            .iter()
            .map(|line| {
                let key = (line.qube.row.name.as_str(), line.volume.name.as_str());
                (key, line.archive.as_str())
            })
            .collect();
        let qube = |(name, qube): (&String, &Inventory)| {
            let mut settings = qube.settings.clone();
            for (volume, saved) in &mut settings.volumes {
                let candidates = candidates(name, &qube.row.class, volume);
                let older = candidates
                    .iter()
                    .map(String::as_str)
                    .find(|one| known.contains(one));
                let planned = planned.get(&(name.as_str(), volume.as_str())).copied();
                planned
                    .or(older)
                    .unwrap_or_default()
                    .clone_into(&mut saved.stored_as);
            }
            (name.clone(), settings)
        };
        Settings {
            system: system.settings.clone(),
            qubes: system.qubes.iter().map(qube).collect(),
        }
    }

    /// Dedup domains of which the class tells more than a volume's name: the root of a standalone qube is its own.
    pub fn domains(&self) -> BTreeMap<String, String> {
        let own = |line: &&Line<'_>| line.qube.row.class != QubeClass::Template;
        let domain = |line: &Line<'_>| {
            let domain = format!("qube {}", line.qube.row.name);
            (line.archive.clone(), domain)
        };
        self.lines.iter().filter(own).map(domain).collect()
    }
}

/// A volume that is in the archive under the name of other storage goes on there: its qube was moved.
fn archive_name(
    qube: &str,
    class: &QubeClass,
    place: &Place,
    volume: &QubeVolume,
    known: &BTreeSet<&str>,
) -> String {
    if known.contains(place.name.as_str()) {
        return place.name.clone();
    }
    let candidates = candidates(qube, class, &volume.name);
    let older = candidates.iter().find(|one| known.contains(one.as_str()));
    older.unwrap_or(&place.name).clone()
}

fn state(qube: &Inventory, place: &Place, live: bool) -> State {
    if qube.row.halted {
        State::Halted
    } else if place.live == place.name {
        State::InPlace
    } else if live {
        State::Live
    } else {
        State::BeforeStart
    }
}

/// The text of the settings, once it is sure that it can be read again.
pub fn settings_text(settings: &Settings) -> Option<Vec<u8>> {
    let text = settings.encode();
    let again = Settings::parse(&text);
    again.is_ok_and(|again| again == *settings).then_some(text)
}

/// The name of the settings' volume.
pub const SETTINGS: &str = settings::VOLUME;
