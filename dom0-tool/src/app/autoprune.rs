//! `send --autoprune`: old sessions make room for the new one.
//!
//! What may go is said by `--apdays`, or by `--retention` for the volumes that fit there, and by nothing else. The store's word on its free space only decides how much of that goes with `on`: a store that
//! lies can make it all go that may, or nothing, and never anything else.

use std::collections::BTreeSet;

use nacre_core::head::Volume;
use nacre_core::ids::SessionSeq;
use nacre_core::retention::{Candidate, Policy, plan};
use nacre_core::session_name::SessionName;

use super::opening::committed;
use super::prune::{own_rules, rules_of};
use super::room::Room;
use super::settings::follow;
use super::world::World;
use crate::archive::{Archive, Forgotten, Result, Sessions};
use crate::cli::{AutoPrune, PruneRules, Send};
use crate::joints::StoreErrorKind;
use crate::report::text;

/// Room that a send is taken to need at least.
const LEAST: u64 = 256 << 20;

/// Makes room before volumes of these names and sizes in bytes are sent.
pub fn before_send(
    world: &World<'_>,
    archive: &mut Archive,
    wanted: &Send,
    volumes: &[(&str, u64)],
) -> Result<()> {
    if wanted.autoprune == AutoPrune::Off {
        return Ok(());
    }
    let clock = world.clock();
    let now = super::prune::name_of(&clock.civil(clock.now()).name)?;
    let sessions = archive.sessions()?;
    let candidates = candidates(archive, &sessions, wanted, now)?;
    let needed = needed(archive, &sessions, volumes);
    let mut rest = candidates.as_slice();
    let (mut gone, mut room) = (0, Room::default());
    while !rest.is_empty() {
        // One after another with `on`, for as long as there is too little room; otherwise all at once.
        let count = match wanted.autoprune {
            AutoPrune::On if has_room(archive, needed)? => break,
            AutoPrune::On => 1,
            _ => rest.len(),
        };
        let (going, later) = rest.split_at(count);
        rest = later;
        gone += going.len();
        if world.common.dry_run {
            continue;
        }
        let mut forgotten = Forgotten::new();
        for (seq, volumes) in going {
            forgotten.entry(*seq).or_default().extend(volumes);
        }
        committed(world, archive, |archive| archive.prune(&forgotten, clock))?;
        let made = room.make(world, archive);
        if made.is_err() {
            room.tell(world);
        }
        made?;
    }
    if gone > 0 {
        let sessions = text::count(gone, "old session", "old sessions");
        let kept = text::count(rest.len(), "more may go", "more may go");
        let verb = if world.common.dry_run {
            "would forget"
        } else {
            "forgot"
        };
        world
            .monitor()
            .note(&format!("--autoprune {verb} {sessions}; {kept}"));
        room.tell(world);
    }
    Ok(())
}

/// Sessions that may go, oldest first, with the volumes that may leave them.
type Going = Vec<(SessionSeq, BTreeSet<nacre_core::ids::VolumeId>)>;

fn candidates(
    archive: &Archive,
    sessions: &Sessions,
    wanted: &Send,
    now: SessionName,
) -> Result<Going> {
    let common = PruneRules {
        thinning: Some(wanted.apdays),
        ..PruneRules::default()
    };
    let mut forgotten = Forgotten::new();
    for volume in &archive.head().volumes {
        let own = own_rules(&wanted.retention, &volume.name);
        let (keep, thinning) = rules_of(own.unwrap_or(&common))?;
        let policy = Policy {
            keep,
            thinning,
            ..Policy::default()
        };
        for seq in of_volume(sessions, volume, &policy, now) {
            forgotten.entry(seq).or_default().insert(volume.id);
        }
    }
    follow(archive, sessions, &mut forgotten);
    Ok(forgotten.into_iter().collect())
}

fn of_volume(
    sessions: &Sessions,
    volume: &Volume,
    policy: &Policy,
    now: SessionName,
) -> Vec<SessionSeq> {
    let all = sessions.of_volume(volume.id);
    let all: Vec<Candidate> = all
        .map(|(seq, session, _)| Candidate::new(seq, session))
        .collect();
    let going = plan(&all, policy, now).to_forget();
    let going = going.into_iter().filter(|seq| volume.newest != Some(*seq));
    going.collect()
}

/// An estimate of what a send will store: for volumes with sessions twice what their newest one took, for others all of it.
fn needed(archive: &Archive, sessions: &Sessions, volumes: &[(&str, u64)]) -> u64 {
    let one = |(name, size): &(&str, u64)| {
        let known = archive.head().volume(name);
        let newest = known.and_then(|volume| sessions.of_volume(volume.id).next_back());
        newest.map_or(*size, |(_, _, at)| at.stored.saturating_mul(2).min(*size))
    };
    volumes.iter().map(one).fold(LEAST, u64::saturating_add)
}

fn has_room(archive: &Archive, needed: u64) -> Result<bool> {
    match archive.store().free_space() {
        Ok(free) => Ok(free >= needed),
        // It does not say: then nothing goes on its account.
        Err(error) if error.kind == StoreErrorKind::Unsupported => Ok(true),
        Err(error) => Err(error.into()),
    }
}
