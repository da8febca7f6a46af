//! `--check-after-send`: what was sent, read back from the store.

use std::collections::BTreeMap;

use nacre_core::place::Root;

use crate::app::end::{exit_of, sentence};
use crate::app::receive::tell_damage;
use crate::app::world::World;
use crate::archive::{Archive, Damage, Error, Result};
use crate::backup::{SendReport, VolumeOutcome};
use crate::cli::Exit;
use crate::joints::{Activity, FrozenVolume, Outcome, Task};
use crate::report::text;
use crate::restore::{self, Compare, RestoreOptions, Version, Watch};

/// What there was before, by the names of volumes.
pub type Trees = BTreeMap<String, Before>;

/// What the archive had of a volume before a run.
pub struct Before {
    /// The tree of its newest finished session.
    finished: Option<Root>,
    /// Whether an unfinished one is newer.
    more: bool,
}

/// What the archive has of each volume now: what a run adds is the difference to it. Only of finished sessions: what a run that was cut short
/// has sent was never read back, and becomes this one's.
pub fn newest_trees(archive: &Archive, volumes: &[Box<dyn FrozenVolume>]) -> Result<Trees> {
    let sessions = archive.sessions()?;
    let known = volumes.iter();
    let known = known.filter_map(|volume| archive.head().volume(volume.name()));
    let trees = known.map(|volume| {
        let mut newest = sessions.of_volume(volume.id).rev().peekable();
        let more = newest
            .peek()
            .is_some_and(|(_, session, _)| session.unfinished);
        let finished = newest.find(|(_, session, _)| !session.unfinished);
        let finished = finished.map(|(.., at)| at.root);
        (volume.name.clone(), Before { finished, more })
    });
    Ok(trees.collect())
}

/// Reads back the chunks that are new in the session, and checks every byte of them.
pub fn read_back(
    world: &World<'_>,
    archive: &Archive,
    report: &SendReport,
    before: &Trees,
) -> Result<Exit> {
    let Some((seq, session)) = &report.session else {
        return Ok(Exit::Done);
    };
    let sessions = archive.sessions()?;
    let mut exit = Exit::Done;
    let mut checked = 0;
    let stored = report.volumes.iter();
    for one in stored.filter(|one| matches!(one.outcome, VolumeOutcome::Stored)) {
        let volume = archive.head().volume(&one.name);
        let at = volume.and_then(|volume| sessions.get(*seq)?.volume(volume.id));
        let (Some(volume), Some(at)) = (volume, at) else {
            return Err(Error::internal());
        };
        let version = Version {
            root: at.root,
            size: at.size,
        };
        let was = before.get(&one.name);
        let progress = world.monitor().begin(&Task {
            activity: Activity::Verify,
            volume: one.name.clone(),
            // How much an unfinished session had is not known.
            total: was
                .is_none_or(|was| !was.more)
                .then_some(one.counts.changed),
        });
        let watch = Watch {
            progress: &progress,
            stop: world.stop(),
        };
        let options = RestoreOptions {
            threads: world.threads(),
            compare: Compare::Nothing,
        };
        let (nodes, ids) = (archive.nodes(), archive.volume_ids(volume));
        let held = was.and_then(|was| was.finished.as_ref());
        let result = restore::verify_difference(&nodes, &ids, held, version, options, watch);
        let result = archive.unless_given_away(result, |report| !report.damage.is_empty());
        let (outcome, ended, damage) = match result {
            Ok(report) if report.damage.is_empty() => {
                checked += report.checked;
                (Outcome::Done, Exit::Done, Damage::default())
            }
            Ok(report) => {
                let lost = format!("{} lost", text::size(report.damage.bytes()));
                (Outcome::Partly(lost), Exit::Integrity, report.damage)
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error @ Error::Outrun) => {
                world.monitor().error(&format!(
                    "volume {name} was not read back: {error}. `nacre verify {name}` reads it.",
                    name = one.name
                ));
                let failed = Outcome::Failed(error.to_string());
                (failed, Exit::Part, Damage::default())
            }
            Err(error) => {
                world.monitor().error(&sentence(&error));
                let failed = Outcome::Failed(error.to_string());
                (failed, exit_of(&error), Damage::default())
            }
        };
        world.monitor().end(&progress, &outcome);
        tell_damage(world, &one.name, session, &damage);
        exit = exit.and(ended);
    }
    if exit == Exit::Done {
        let text = format!(
            "read back and checked: {} that this session added",
            text::size(checked)
        );
        world.monitor().note(&text);
    }
    Ok(exit)
}
