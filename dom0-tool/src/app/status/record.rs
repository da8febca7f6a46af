//! What this machine remembers of a target besides its pin: the sessions it had when it was last seen, and what failed there.
//!
//! One file for each target, in `status` beside the pins, so that `nacre status` needs neither the store nor the key. It is knowledge, not truth: whatever a backup depends
//! on is in the archive itself. A file that cannot be read counts as none, and the next command on the archive writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::app::end::sentence;
use crate::app::freezing::Origin;
use crate::app::reaching::{pin_name, place};
use crate::app::world::World;
use crate::archive::{Archive, Error, Result};
use crate::joints::StateDir;

/// The store cannot force what it is given to its disk.
pub const UNSYNCED: &str = "unsynced";
/// The store cannot keep two machines' writers apart.
pub const SINGLE_WRITER: &str = "single-writer";

/// Bytes of such a file, at most: some thousand volumes.
const LARGEST: usize = 4 << 20;
/// Characters of an error that are kept.
const LONGEST_ERROR: usize = 1000;

/// A target, as it was last seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The place, as `--dest` has it.
    pub target: String,
    /// What the ini called it.
    pub name: Option<String>,
    /// The archive there, once it was opened.
    pub archive: Option<String>,
    /// When it was last opened, in seconds since 1970.
    pub seen: Option<i64>,
    /// What the store cannot promise, each in a word.
    pub warnings: Vec<String>,
    /// What failed there last, unless it has worked since.
    pub failure: Option<Failure>,
    /// The volumes, by name.
    pub volumes: BTreeMap<String, VolumeRecord>,
}

/// A volume of an archive.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeRecord {
    /// Its newest finished session.
    pub session: Option<String>,
    /// Up to when the archive has it: the begin of the last run that stored it or found it unchanged, in seconds since 1970.
    pub current: Option<i64>,
    /// A session of a run that did not come to its end, if it is newer.
    pub unfinished: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// The identity, in hex, of the local snapshot that the newest session was read from.
    pub snapshot: Option<String>,
    /// The storage it was read from, and its name there.
    pub local: Option<(String, String)>,
    /// Why it could not be sent, unless it could be since.
    pub failure: Option<Failure>,
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// When, in seconds since 1970.
    pub time: i64,
    /// The command.
    pub command: String,
    /// Why.
    pub text: String,
}

/// What a run of `send` did, as far as it is remembered.
#[derive(Default)]
pub struct Run<'a> {
    /// When it began; none for commands that only looked.
    pub begun: Option<i64>,
    /// Volumes that are as of then in the archive.
    pub current: Vec<&'a str>,
    /// Volumes that could not be read, and why.
    pub failed: Vec<(&'a str, String)>,
    /// Where volumes were read from.
    pub origins: &'a [Origin],
}

/// All that is remembered, each with the name under which the target is.
pub fn all(world: &World<'_>) -> Result<Vec<(String, Record)>> {
    let folder = world.statuses()?;
    let names = folder.list()?.into_iter();
    let both = names.filter_map(|pin| load(&folder, &pin).map(|record| (pin, record)));
    Ok(both.collect())
}

/// What is remembered of the target that is meant.
pub fn of_target(world: &World<'_>) -> Result<Record> {
    let known = load(&world.statuses()?, &pin_name(world)?);
    Ok(Record {
        target: place(world)?,
        name: world.common.name.clone(),
        ..known.unwrap_or_default()
    })
}

/// Remembers what an archive shows. That this cannot be kept is worth a word, not a failure.
pub fn seen(world: &World<'_>, archive: &Archive, run: &Run<'_>) {
    let kept = of_target(world).and_then(|mut record| {
        record.see(archive, run, world.clock().now().seconds)?;
        keep(world, &record)
    });
    complain(world, kept);
}

/// Remembers that a command failed with this target.
pub fn failed(world: &World<'_>, command: &str, error: &Error) {
    let kept = of_target(world).and_then(|mut record| {
        record.failure = Some(Failure {
            time: world.clock().now().seconds,
            command: command.to_owned(),
            text: sentence(error).chars().take(LONGEST_ERROR).collect(),
        });
        keep(world, &record)
    });
    complain(world, kept);
}

fn complain(world: &World<'_>, kept: Result<()>) {
    if let Err(error) = kept {
        let text = format!("`nacre status` will not know of this run: {error}");
        world.monitor().warning(&text);
    }
}

fn load(folder: &dyn StateDir, pin: &str) -> Option<Record> {
    let bytes = folder.read(pin, LARGEST).ok()??;
    serde_json::from_slice(&bytes).ok()
}

fn keep(world: &World<'_>, record: &Record) -> Result<()> {
    let bytes = serde_json::to_vec(record).map_err(|error| Error::State(error.to_string()))?;
    Ok(world.statuses()?.replace(&pin_name(world)?, &bytes)?)
}

impl Record {
    fn see(&mut self, archive: &Archive, run: &Run<'_>, now: i64) -> Result<()> {
        let id = archive.id().to_string();
        if self.archive.as_ref() != Some(&id) {
            self.volumes.clear();
        }
        self.archive = Some(id);
        let hazards = archive.store().hazards();
        let all = [
            (hazards.unsynced, UNSYNCED),
            (hazards.single_writer, SINGLE_WRITER),
        ];
        let here = all.into_iter().filter(|(holds, _)| *holds);
        self.warnings = here.map(|(_, word)| word.to_owned()).collect();
        self.seen = Some(now);
        if run.begun.is_some() {
            self.failure = None;
        }
        let sessions = archive.sessions()?;
        let mut former = std::mem::take(&mut self.volumes);
        for volume in &archive.head().volumes {
            let mut known = former.remove(&volume.name).unwrap_or_default();
            let mut of_volume = sessions.of_volume(volume.id);
            let finished = sessions
                .of_volume(volume.id)
                .rfind(|(_, session, _)| !session.unfinished);
            let newest = of_volume.next_back();
            let unfinished = newest.filter(|(_, session, _)| session.unfinished);
            let session = finished.map(|(_, session, _)| session.name.to_string());
            let stored = finished.map(|(_, session, _)| session.time.seconds);
            let is_current = run.current.contains(&volume.name.as_str());
            if is_current {
                known.current = run.begun;
            } else if known.session != session {
                // Another machine sent, or sessions were pruned.
                known.current = stored;
            }
            known.session = session;
            known.unfinished = unfinished.map(|(_, session, _)| session.name.to_string());
            known.size = volume.size;
            let identity = sessions.snapshot_of(volume).map(|(.., identity)| identity);
            known.snapshot = identity.map(hex);
            known.note(run, &volume.name, now);
            self.volumes.insert(volume.name.clone(), known);
        }
        // What could not even be begun is not in the archive.
        for (name, why) in &run.failed {
            if !self.volumes.contains_key(*name) {
                let mut known = VolumeRecord::default();
                known.fail(why, now);
                self.volumes.insert((*name).to_owned(), known);
            }
        }
        Ok(())
    }
}

impl VolumeRecord {
    fn note(&mut self, run: &Run<'_>, name: &str, now: i64) {
        if run.current.contains(&name) {
            self.failure = None;
        }
        if let Some((_, why)) = run.failed.iter().find(|(failed, _)| *failed == name) {
            self.fail(why, now);
        }
        let origin = run.origins.iter().find(|at| at.names.archive == name);
        if let Some(origin) = origin {
            let place = origin.place.as_ref();
            self.local = place.map(|place| (place.to_string(), origin.names.local.clone()));
        }
    }

    fn fail(&mut self, why: &str, now: i64) {
        self.failure = Some(Failure {
            time: now,
            command: "send".to_owned(),
            text: why.chars().take(LONGEST_ERROR).collect(),
        });
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of an identity that was remembered.
pub fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_what_a_newer_nacre_adds_is_passed_over() {
        let text =
            br#"{"target":"file:/x","seen":5,"new":[1],"volumes":{"vm":{"current":4,"x":{}}}}"#;
        let record: Record = serde_json::from_slice(text).unwrap();
        assert_eq!(record.seen, Some(5));
        let again: Record = serde_json::from_slice(&serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(again.volumes["vm"].current, Some(4));
    }

    #[test]
    fn an_identity_survives_its_hex() {
        for identity in [&b""[..], b"\x00\xff\x10"] {
            assert_eq!(bytes(&hex(identity)).as_deref(), Some(identity));
        }
        for bad in ["0", "zz", "\u{e9}"] {
            assert_eq!(bytes(bad), None);
        }
    }
}
