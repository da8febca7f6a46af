//! What commands do with an opened archive, and what must have come of it.

use std::sync::atomic::AtomicBool;

use nacre::archive::{EntropySource, Error, Forgotten, Result};
use nacre::maintain::{CheckOptions, CheckWatch, Elsewhere, Slice, check, deduplicate, repair};
use nacre_core::header::{ChangeError, Unlocked};
use nacre_core::ids::SessionSeq;
use nacre_core::pack::MovePolicy;
use nacre_tests::RecordingMonitor;

use super::machine::{Machine, Who, clock};
use super::seen::{Content, Seen, hash_of};
use super::start::{CHUNK, Make, VOLUMES, key_file};

/// A command.
#[derive(Clone, Copy)]
pub struct Script {
    pub name: &'static str,
    pub make: Make,
    /// Runs it from the beginning to the end, as a process of its own would.
    pub run: fn(&Machine) -> Result<()>,
    /// What must be there when it has run, given what was there before.
    pub done: fn(&Machine, &Seen, &Seen),
    /// The change of keys that it makes.
    pub keys: Option<Change>,
}

const fn script(
    name: &'static str,
    make: Make,
    run: fn(&Machine) -> Result<()>,
    done: fn(&Machine, &Seen, &Seen),
) -> Script {
    Script {
        name,
        make,
        run,
        done,
        keys: None,
    }
}

const fn key_change(name: &'static str, change: Change, run: fn(&Machine) -> Result<()>) -> Script {
    Script {
        name,
        make: Make::Punches,
        run,
        done: nothing_new,
        keys: Some(change),
    }
}

pub const SCRIPTS: [Script; 16] = [
    script("send", Make::Punches, send_all, all_sent),
    script("resumed send", Make::Punches, resume, two_sent),
    script("prune with punch", Make::Punches, prune, two_left),
    script("prune with compaction", Make::DoesNotPunch, prune, two_left),
    script("delete with punch", Make::Punches, delete, a_is_gone),
    script("delete", Make::DoesNotPunch, delete, a_is_gone),
    script("rename", Make::Punches, rename, a_is_renamed),
    script("deduplicate", Make::Punches, share, nothing_new),
    script("clean", Make::Punches, clean, no_orphans),
    script("monitor, then send", Make::Punches, watch, all_sent),
    script("arch-check --repair", Make::Damaged, mend, mended),
    key_change("key add", Change::Add, |m| rekey(m, Change::Add)),
    key_change("key remove", Change::Remove, |m| rekey(m, Change::Remove)),
    key_change("key replace", Change::Replace, |m| {
        rekey(m, Change::Replace)
    }),
    key_change("key rotate-master", Change::Rotate, |m| {
        rekey(m, Change::Rotate)
    }),
    key_change("key change-uuid", Change::Identity, |m| {
        rekey(m, Change::Identity)
    }),
];

fn send_all(machine: &Machine) -> Result<()> {
    machine.send(&VOLUMES, 10, false)?.free().map(|_| ())
}

fn resume(machine: &Machine) -> Result<()> {
    machine.send(&["d", "b"], 10, false)?.free().map(|_| ())
}

fn watch(machine: &Machine) -> Result<()> {
    machine.pool.monitor("a").map_err(Error::Source)?;
    machine.pool.monitor("b").map_err(Error::Source)?;
    machine.pool.write("a", CHUNK + 99, b"between");
    machine.pool.monitor("a").map_err(Error::Source)?;
    machine.pool.write("a", 2 * CHUNK, b"behind");
    send_all(machine)
}

/// Small packs, so that a small archive has something to compact.
fn policy() -> MovePolicy {
    MovePolicy {
        small: 64 << 10,
        small_packs: 6,
        target: 1 << 20,
        ..MovePolicy::default()
    }
}

fn prune(machine: &Machine) -> Result<()> {
    let mut archive = machine.open()?;
    let sessions = archive.sessions()?;
    let mut forgotten = Forgotten::new();
    for volume in &archive.head().volumes {
        let all: Vec<SessionSeq> = sessions.of_volume(volume.id).map(|(seq, ..)| seq).collect();
        for seq in all.iter().rev().skip(2) {
            forgotten.entry(*seq).or_default().insert(volume.id);
        }
    }
    if !forgotten.is_empty() {
        archive.prune(&forgotten, &clock(20))?;
    }
    archive.free()?;
    let moves = archive.plan_moves(&policy())?;
    archive.compact(&moves, &clock(21))?;
    // The next head drops what is freed from its list.
    let name = format!("v{}", archive.head().epoch);
    archive.add_volumes(&[&name], "", &clock(22))
}

fn delete(machine: &Machine) -> Result<()> {
    let mut archive = machine.open()?;
    if archive.head().volume("a").is_some() {
        archive.delete_volume("a", &clock(20))?;
    }
    archive.free().map(|_| ())
}

fn rename(machine: &Machine) -> Result<()> {
    let mut archive = machine.open()?;
    if archive.head().volume("a").is_some() {
        archive.rename_volume("a", "renamed", &clock(20))?;
    }
    archive.free().map(|_| ())
}

fn share(machine: &Machine) -> Result<()> {
    let mut archive = machine.open()?;
    let volumes = archive.head().volumes.iter();
    let all: Vec<_> = volumes.map(|volume| volume.id).collect();
    let stop = AtomicBool::new(false);
    deduplicate(&mut archive, &all, false, &clock(20), &stop)?;
    archive.free().map(|_| ())
}

fn clean(machine: &Machine) -> Result<()> {
    let mut archive = machine.open()?;
    let orphans = archive.orphans()?;
    if !orphans.is_empty() {
        archive.give_up_orphans(&orphans, &clock(20))?;
    }
    archive.free().map(|_| ())
}

fn mend(machine: &Machine) -> Result<()> {
    let mut archive = machine.open()?;
    let options = CheckOptions {
        data: Some(Slice::All),
        threads: 1,
        ..CheckOptions::default()
    };
    let sources = |volume: &str| {
        let here = Box::new(machine.pool.take(volume));
        vec![Elsewhere::local("the pool", here)]
    };
    let watch = CheckWatch {
        monitor: &RecordingMonitor::new(),
        clock: &clock(20),
        stop: &AtomicBool::new(false),
    };
    repair(&mut archive, &options, &sources, false, watch)?;
    archive.free().map(|_| ())
}

/// A change of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Add,
    Remove,
    Replace,
    Rotate,
    Identity,
}

impl Change {
    fn header(self, from: &Unlocked, entropy: &EntropySource) -> Result<Unlocked, ChangeError> {
        let mut entropy = entropy();
        let entropy = entropy.as_mut();
        let (old, new) = (Who::Old.secret(), Who::New.secret());
        let new = key_file("new", &new);
        match self {
            Self::Add => from.with_slot(&new, entropy),
            Self::Remove => from.without_slot(0, entropy),
            Self::Replace => from.with_changed_slot(0, &new, entropy),
            // The recovery code is dropped.
            Self::Rotate => from.rotate(&[key_file("old", &old), new], entropy),
            Self::Identity => from.with_new_archive_id(entropy),
        }
    }

    /// Who opens the archive before it, after it, and whatever happens.
    pub fn openers(self) -> (&'static [Who], &'static [Who], Who) {
        use Who::{New, Old, Paper};
        match self {
            Self::Add => (&[Old, Paper], &[Old, Paper, New], Old),
            Self::Remove => (&[Old, Paper], &[Paper], Paper),
            Self::Replace => (&[Old, Paper], &[New, Paper], Paper),
            Self::Rotate => (&[Old, Paper], &[Old, New], Old),
            Self::Identity => (&[Old, Paper], &[Old, Paper], Old),
        }
    }
}

fn rekey(machine: &Machine, change: Change) -> Result<()> {
    let mut archive = machine.open()?;
    // Who was removed already cannot be removed again: the last key stays.
    if change == Change::Remove && archive.header().slots().len() < 2 {
        return Ok(());
    }
    let next = change.header(archive.header(), &machine.entropy);
    let next = next.map_err(|error| Error::State(error.to_string()))?;
    if change != Change::Identity {
        return archive.replace_header(next, &clock(20)).map(|_| ());
    }
    // As `key change-uuid` does it: the pin allows both identities for as long as either may be found.
    let id = next.description().archive;
    machine.set_pin(archive.id(), Some(id))?;
    archive.replace_identity(next, machine.of(id), &clock(20))?;
    machine.set_pin(id, None)
}

fn newest<'a>(seen: &'a Seen, volume: &str) -> &'a Content {
    seen[volume].values().next_back().unwrap()
}

/// Finished sessions stay as they were; an unfinished one may have gone.
fn old_ones_stay(before: &Seen, now: &Seen) {
    for (volume, versions) in before {
        for (seq, content) in versions.iter().filter(|(_, content)| content.finished) {
            assert_eq!(now[volume].get(seq), Some(content), "{volume} {seq}");
        }
    }
}

fn sent(machine: &Machine, before: &Seen, now: &Seen, names: &[&str]) {
    old_ones_stay(before, now);
    for name in names {
        let newest = newest(now, name);
        assert!(newest.finished && newest.lost.is_empty());
        let content = machine.pool.content(name);
        assert_eq!(newest.hash, hash_of(&content), "{name}");
    }
}

fn all_sent(machine: &Machine, before: &Seen, now: &Seen) {
    sent(machine, before, now, &VOLUMES);
}

fn two_sent(machine: &Machine, before: &Seen, now: &Seen) {
    sent(machine, before, now, &["d", "b"]);
}

fn two_left(_: &Machine, before: &Seen, now: &Seen) {
    for volume in VOLUMES {
        let newest = before[volume].iter().rev().take(2);
        assert!(now[volume].iter().rev().eq(newest), "{volume}");
    }
}

fn a_is_gone(_: &Machine, before: &Seen, now: &Seen) {
    assert!(!now.contains_key("a"));
    for volume in &VOLUMES[1..] {
        assert_eq!(now[*volume], before[*volume]);
    }
}

fn a_is_renamed(_: &Machine, before: &Seen, now: &Seen) {
    assert!(!now.contains_key("a"));
    let was = before.get("a").or_else(|| before.get("renamed"));
    assert_eq!(now.get("renamed"), was);
    for volume in &VOLUMES[1..] {
        assert_eq!(now[*volume], before[*volume]);
    }
}

fn nothing_new(_: &Machine, before: &Seen, now: &Seen) {
    assert_eq!(now, before);
}

fn no_orphans(machine: &Machine, before: &Seen, now: &Seen) {
    nothing_new(machine, before, now);
    assert_eq!(machine.open().unwrap().orphans().unwrap(), []);
}

/// Of what was lost some is healed, the rest is known; what was whole is whole.
fn mended(machine: &Machine, before: &Seen, now: &Seen) {
    for (volume, versions) in before {
        for (seq, was) in versions {
            let is = &now[volume][seq];
            assert!(is.lost.iter().all(|range| {
                was.lost
                    .iter()
                    .any(|lost| lost.start <= range.start && range.end <= lost.end)
            }));
            assert!(is == was || is.lost.len() < was.lost.len() || is.lost != was.lost);
        }
    }
    let archive = machine.open().unwrap();
    let options = CheckOptions {
        data: Some(Slice::All),
        threads: 1,
        ..CheckOptions::default()
    };
    let watch = CheckWatch {
        monitor: &RecordingMonitor::new(),
        clock: &clock(30),
        stop: &AtomicBool::new(false),
    };
    let report = check(&archive, &options, watch).unwrap();
    assert!(!report.is_damaged(), "{report:?}");
    drop(archive);
    prune(machine).unwrap();
}
