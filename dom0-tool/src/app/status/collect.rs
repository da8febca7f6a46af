//! From what is remembered to what is shown.

use std::cmp::Reverse;

use super::outstanding::{self, Outstanding};
use super::qubes::{QubeStatus, marked, qubes};
use super::record::{self, Failure, Record, VolumeRecord};
use crate::app::reaching::{pin_name, place};
use crate::app::world::World;
use crate::archive::Result;
use crate::cli::Status as Wanted;

/// How things stand.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The time it is of, in seconds since 1970.
    pub now: i64,
    /// Each target.
    pub targets: Vec<TargetStatus>,
    /// Each qube: those never backed up first, then those whose backup is the oldest.
    pub qubes: Vec<QubeStatus>,
}

/// How things stand with a target.
#[derive(Clone, Debug, Default)]
pub struct TargetStatus {
    /// What the user calls it: its name in the ini, or the place.
    pub title: String,
    /// The place, as `--dest` has it.
    pub place: String,
    /// When it was last opened: how old all of this is.
    pub seen: Option<i64>,
    /// What the store cannot promise, each in a word.
    pub warnings: Vec<String>,
    /// What failed there last, unless it has worked since.
    pub failure: Option<Failure>,
    /// Its volumes: those never backed up first, then those whose backup is the oldest.
    pub volumes: Vec<VolumeStatus>,
}

/// How things stand with a volume at a target.
#[derive(Clone, Debug)]
pub struct VolumeStatus {
    /// Its name.
    pub volume: String,
    /// Its size in bytes when it was last sent.
    pub size: u64,
    /// Its newest finished session.
    pub session: Option<String>,
    /// Up to when the archive has it; none: it was never backed up there.
    pub current: Option<i64>,
    /// A session of a run that did not come to its end.
    pub unfinished: Option<String>,
    /// What changed since.
    pub outstanding: Outstanding,
    /// Why it could not be sent.
    pub failure: Option<Failure>,
}

/// Gathers what is remembered of the targets that were named, or of all.
pub fn collect(worlds: &[&World<'_>], wanted: &Wanted) -> Result<Status> {
    let Some(world) = worlds.first() else {
        return Ok(Status::default());
    };
    let mut records = Vec::new();
    let mut named = Vec::new();
    for world in worlds
        .iter()
        .filter(|world| !world.common.targets.is_empty())
    {
        named.push(pin_name(world)?);
        let known = record::of_target(world)?;
        records.push(Record {
            target: place(world)?,
            ..known
        });
    }
    if !wanted.only_named {
        let others = record::all(world)?.into_iter();
        records.extend(
            others
                .filter(|(pin, _)| !named.contains(pin))
                .map(|(_, record)| record),
        );
    }
    let targets = records.into_iter();
    let targets: Vec<TargetStatus> = targets
        .map(|record| target(world, record, wanted))
        .collect();
    Ok(Status {
        now: world.clock().now().seconds,
        qubes: qubes(&targets, &marked()),
        targets,
    })
}

fn target(world: &World<'_>, record: Record, wanted: &Wanted) -> TargetStatus {
    let mut all = outstanding::of_target(world, &record, wanted.measure);
    let volumes = record.volumes.into_iter();
    let mut volumes: Vec<VolumeStatus> = volumes
        .map(|(name, known)| {
            let outstanding = all.remove(&name).unwrap_or(Outstanding::Unknown);
            volume(name, known, outstanding)
        })
        .collect();
    // `None`, which is never, is before every time; of equal ones, by name.
    volumes.sort_by_key(|volume| volume.current);
    volumes.sort_by_key(|volume| Reverse(volume.current.is_none()));
    TargetStatus {
        title: record.name.unwrap_or_else(|| record.target.clone()),
        place: record.target,
        seen: record.seen,
        warnings: record.warnings,
        failure: record.failure,
        volumes,
    }
}

fn volume(name: String, known: VolumeRecord, outstanding: Outstanding) -> VolumeStatus {
    VolumeStatus {
        volume: name,
        size: known.size,
        session: known.session,
        current: known.current,
        unfinished: known.unfinished,
        outstanding,
        failure: known.failure,
    }
}
