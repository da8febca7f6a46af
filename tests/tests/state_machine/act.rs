//! Carries a command out, as the program does: opened anew, tried again when another writer was first.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nacre::archive::{Archive, Error, Forgotten};
use nacre::backup::{SendOptions, Surroundings, VolumeOutcome, send};
use nacre::joints::{FrozenVolume, Store};
use nacre::maintain::{CheckOptions, CheckWatch, Elsewhere, Slice, check, deduplicate, repair};
use nacre_core::header::Unlocked;
use nacre_core::ids::{SessionSeq, VolumeId};
use nacre_core::pack::MovePolicy;
use nacre_tests::lab_image::Random;
use nacre_tests::{RecordingMonitor, SimulatedClock};

use super::machine::{CHUNK, KEYS, Machine, secret, slot};
use super::model::{Change, Content};
use super::ops::What;

/// How often a command begins anew, as in the program.
const ATTEMPTS: usize = 8;

/// A command of a machine.
pub struct Command {
    pub machine: Machine,
    pub key: u8,
    pub what: What,
    pub salt: u64,
    /// Whether there may be packs that cannot be put together with others, as their directories have rotted.
    pub scarred: bool,
    /// What is sent, if it is.
    pub volumes: Vec<String>,
    pub clock: Arc<SimulatedClock>,
    pub diary: Diary,
}

/// What a command wanted, attempt by attempt, for those who judge it.
#[derive(Clone, Default)]
pub struct Diary {
    pub wanted: Arc<Mutex<Vec<Change>>>,
    /// With which of these the last attempt began.
    pub attempt: Arc<Mutex<usize>>,
    /// How often another writer was first.
    pub outrun: Arc<Mutex<u64>>,
    /// Volumes that had not changed.
    pub unchanged: Arc<Mutex<BTreeSet<String>>>,
}

impl Diary {
    fn want(&self, change: Change) {
        self.wanted.lock().unwrap().push(change);
    }
}

impl Command {
    /// Runs it to its end. Volumes are frozen once, whatever happens then.
    pub fn run(&self, store: &Arc<dyn Store>) -> Result<(), Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut frozen = self.freeze(&stop);
        for _ in 1..ATTEMPTS {
            match self.attempt(store, &mut frozen, &stop) {
                Err(Error::Outrun) => *self.diary.outrun.lock().unwrap() += 1,
                other => return other,
            }
        }
        self.attempt(store, &mut frozen, &stop)
    }

    fn freeze(&self, stop: &Arc<AtomicBool>) -> Vec<Box<dyn FrozenVolume>> {
        let mut random = Random::new(self.salt, "freeze");
        let last = self.volumes.len().saturating_sub(1);
        let freeze = |(at, name): (usize, &String)| {
            let frozen = self.machine.pool.take(name);
            let frozen = if self.what == What::CutSend && at == last {
                let size = usize::try_from(frozen.size()).unwrap();
                frozen.stops(random.index(size.max(1)), stop)
            } else {
                frozen
            };
            Box::new(frozen) as Box<dyn FrozenVolume>
        };
        self.volumes.iter().enumerate().map(freeze).collect()
    }

    fn attempt(
        &self,
        store: &Arc<dyn Store>,
        frozen: &mut [Box<dyn FrozenVolume>],
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let mut archive = self.machine.open(Arc::clone(store), self.key, false)?;
        *self.diary.attempt.lock().unwrap() = self.diary.wanted.lock().unwrap().len();
        let done = self.carry_out(&mut archive, frozen, stop);
        archive.unless_outrun(done)
    }

    fn carry_out(
        &self,
        archive: &mut Archive,
        frozen: &mut [Box<dyn FrozenVolume>],
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let random = &mut Random::new(self.salt, "command");
        match self.what {
            What::Send | What::CutSend => self.send(archive, frozen, random, stop),
            What::Prune => self.prune(archive, random),
            What::Delete => self.delete(archive, random),
            What::Rename => self.rename(archive, random),
            What::Add => self.add(archive, random),
            What::AddKey | What::RemoveKey | What::ReplaceKey | What::RotateMaster => {
                self.change_keys(archive, random)
            }
            What::Free => self.make_room(archive),
            What::Clean => self.clean(archive),
            What::Deduplicate => self.deduplicate(archive),
            What::Check => self.check(archive),
            What::Tidy => self.tidy(archive),
            What::Repair => self.repair(archive, random),
        }
    }

    fn send(
        &self,
        archive: &mut Archive,
        frozen: &mut [Box<dyn FrozenVolume>],
        random: &mut Random,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let content = |name: &String| (name.clone(), Content::of(&self.machine.pool.content(name)));
        self.diary
            .want(Change::Send(self.volumes.iter().map(content).collect()));
        let options = SendOptions {
            threads: 1,
            dedup: random.below(3) > 0,
            compare_all: random.below(8) == 0,
            send_unchanged: random.below(6) == 0,
            checkpoint_bytes: random.pick(&[60_000, 150_000, 1 << 40]),
            checkpoint_time: Duration::from_secs(3600),
            ..SendOptions::default()
        };
        let around = Surroundings {
            clock: self.clock.as_ref(),
            monitor: &RecordingMonitor::new(),
            stop,
        };
        let report = send(archive, frozen, &options, &around)?;
        let unchanged = report
            .volumes
            .iter()
            .filter(|volume| matches!(volume.outcome, VolumeOutcome::Unchanged));
        *self.diary.unchanged.lock().unwrap() =
            unchanged.map(|volume| volume.name.clone()).collect();
        if report.interrupted {
            return Err(Error::Interrupted);
        }
        assert!(!report.any_failed());
        Ok(())
    }

    fn prune(&self, archive: &mut Archive, random: &mut Random) -> Result<(), Error> {
        let share = 1 + random.below(3);
        self.forget(archive, &mut |_| random.below(3) < share)?;
        self.make_room(archive)
    }

    /// Forgets of each volume all but the newest session, if it is chosen.
    fn forget(
        &self,
        archive: &mut Archive,
        chosen: &mut dyn FnMut(SessionSeq) -> bool,
    ) -> Result<(), Error> {
        let sessions = archive.sessions()?;
        let (mut forgotten, mut named) = (Forgotten::new(), BTreeSet::new());
        for volume in &archive.head().volumes {
            let old = sessions.of_volume(volume.id).map(|(seq, ..)| seq);
            for seq in old.filter(|seq| volume.newest != Some(*seq)) {
                if chosen(seq) {
                    forgotten.entry(seq).or_default().insert(volume.id);
                    named.insert((volume.name.clone(), seq));
                }
            }
        }
        if forgotten.is_empty() {
            return Ok(());
        }
        self.diary.want(Change::Forget(named));
        archive.prune(&forgotten, self.clock.as_ref())
    }

    /// Frees what is given away, and puts small packs together; small enough that small archives have some.
    fn make_room(&self, archive: &mut Archive) -> Result<(), Error> {
        archive.free()?;
        let policy = MovePolicy {
            small: 64 << 10,
            small_packs: 6,
            target: 1 << 20,
            ..MovePolicy::default()
        };
        let moves = archive.plan_moves(&policy)?;
        match archive.compact(&moves, self.clock.as_ref()) {
            // What was asked for is done.
            Err(Error::Outrun) => *self.diary.outrun.lock().unwrap() += 1,
            // Something is damaged, or another writer has given it away meanwhile.
            Ok(done) if done.damaged > 0 && !self.scarred && archive.is_newest()? => {
                return Err(Error::Lost(format!("{done:?}")));
            }
            other => drop(other?),
        }
        Ok(())
    }

    fn some_volume(archive: &Archive, random: &mut Random) -> Option<String> {
        let volumes = &archive.head().volumes;
        let volume = volumes.get(random.index(volumes.len()))?;
        Some(volume.name.clone())
    }

    fn delete(&self, archive: &mut Archive, random: &mut Random) -> Result<(), Error> {
        let Some(name) = Self::some_volume(archive, random) else {
            return Ok(());
        };
        self.diary.want(Change::Delete(name.clone()));
        archive.delete_volume(&name, self.clock.as_ref())?;
        self.make_room(archive)
    }

    fn rename(&self, archive: &mut Archive, random: &mut Random) -> Result<(), Error> {
        let to = random.pick(&["a", "b", "c", "d", "e", "f"]);
        let from = Self::some_volume(archive, random);
        let Some(name) = from.filter(|_| archive.head().volume(to).is_none()) else {
            return Ok(());
        };
        self.diary.want(Change::Rename(name.clone(), to.to_owned()));
        archive.rename_volume(&name, to, self.clock.as_ref())
    }

    fn add(&self, archive: &mut Archive, random: &mut Random) -> Result<(), Error> {
        let name = random.pick(&["a", "b", "c", "d", "e", "f"]);
        self.diary.want(Change::Add(name.to_owned()));
        archive.add_volumes(&[name], "", self.clock.as_ref())
    }

    fn change_keys(&self, archive: &mut Archive, random: &mut Random) -> Result<(), Error> {
        let header = archive.header();
        let label = |slot: &nacre_core::header::Slot| slot.label.parse::<u8>().unwrap();
        let there: Vec<u8> = header.slots().iter().map(label).collect();
        let mut keys: BTreeSet<u8> = there.iter().copied().collect();
        let at = random.index(there.len());
        let free: Vec<u8> = (0..KEYS).filter(|key| !keys.contains(key)).collect();
        let new = free.get(random.index(free.len())).copied();
        let mut entropy = archive.entropy_source()();
        let entropy = entropy.as_mut();
        let made = |key: u8| (key.to_string(), secret(key));
        let next = match (self.what, new) {
            (What::AddKey, Some(key)) => {
                let (label, secret) = made(key);
                keys.insert(key);
                header.with_slot(&slot(&label, &secret), entropy)
            }
            (What::ReplaceKey, Some(key)) => {
                let (label, secret) = made(key);
                keys.remove(&there[at]);
                keys.insert(key);
                header.with_changed_slot(at, &slot(&label, &secret), entropy)
            }
            (What::RotateMaster, Some(key)) => {
                let ((label, one), (other_label, other)) = (made(key), made(there[at]));
                keys = BTreeSet::from([key, there[at]]);
                header.rotate(&[slot(&label, &one), slot(&other_label, &other)], entropy)
            }
            (What::RemoveKey, _) if there.len() > 1 => {
                keys.remove(&there[at]);
                header.without_slot(at, entropy)
            }
            // The last key stays; and there are only so many.
            _ => return Ok(()),
        };
        let next: Unlocked = next.unwrap();
        self.diary.want(Change::Keys(keys));
        archive
            .replace_header(next, self.clock.as_ref())
            .map(|_| ())
    }

    fn clean(&self, archive: &mut Archive) -> Result<(), Error> {
        let orphans = archive.orphans()?;
        if !orphans.is_empty() {
            archive.give_up_orphans(&orphans, self.clock.as_ref())?;
        }
        archive.free().map(|_| ())
    }

    fn deduplicate(&self, archive: &mut Archive) -> Result<(), Error> {
        let volumes = archive.head().volumes.iter();
        let all: Vec<VolumeId> = volumes.map(|volume| volume.id).collect();
        let stop = AtomicBool::new(false);
        deduplicate(archive, &all, false, self.clock.as_ref(), &stop)?;
        self.make_room(archive)
    }

    fn check(&self, archive: &Archive) -> Result<(), Error> {
        let watch = CheckWatch {
            monitor: &RecordingMonitor::new(),
            clock: self.clock.as_ref(),
            stop: &AtomicBool::new(false),
        };
        let report = check(archive, &of_everything(), watch)?;
        if report.is_damaged() && archive.is_newest()? {
            return Err(Error::Lost(format!("{report:?}")));
        }
        Ok(())
    }

    fn repair(&self, archive: &mut Archive, random: &mut Random) -> Result<(), Error> {
        let with_local = random.below(2) == 0;
        let pool = &self.machine.pool;
        let sources = |volume: &str| {
            let here = with_local && !pool.content(volume).is_empty();
            let local = here.then(|| Elsewhere::local("here", Box::new(pool.take(volume))));
            local.into_iter().collect()
        };
        let watch = CheckWatch {
            monitor: &RecordingMonitor::new(),
            clock: self.clock.as_ref(),
            stop: &AtomicBool::new(false),
        };
        repair(archive, &of_everything(), &sources, false, watch).map(|_| ())
    }

    fn tidy(&self, archive: &mut Archive) -> Result<(), Error> {
        self.forget(archive, &mut |_| true)?;
        self.clean(archive)?;
        self.make_room(archive)?;
        // The next head drops what is freed from its list, and gives the nodes away that listed it.
        for _ in 0..2 {
            self.diary.want(Change::Add("tidy".to_owned()));
            archive.add_volumes(&["tidy"], "", self.clock.as_ref())?;
            archive.free()?;
        }
        Ok(())
    }
}

fn of_everything() -> CheckOptions {
    CheckOptions {
        data: Some(Slice::All),
        threads: 1,
        ..CheckOptions::default()
    }
}

/// Changes a volume: now and then its size, and here and there some bytes, which are often some that another volume has, or had before; or all of it
/// becomes what the kept snapshot is, if `may_revert`.
pub fn scribble(machine: &Machine, name: &str, may_revert: bool, random: &mut Random) {
    let pool = &machine.pool;
    if pool.content(name).is_empty() || random.below(9) == 0 {
        let blocks = 1 + random.index(5 * CHUNK / 4096);
        pool.resize(name, blocks * 4096);
    }
    for _ in 0..random.below(4) {
        let size = pool.content(name).len();
        let at = random.index(size.div_ceil(CHUNK)) * CHUNK;
        match random.below(8) {
            0 => pool.write(name, at, &vec![0; CHUNK]),
            1..=3 => {
                let mut bytes = vec![0; 1 + random.index(3000)];
                random.fill(&mut bytes);
                pool.write(name, random.index(size), &bytes);
            }
            _ => {
                let mut bytes = vec![0xa5; CHUNK];
                Random::new(random.below(12), "chunk").fill(&mut bytes[..5000]);
                pool.write(name, at, &bytes);
            }
        }
    }
    if may_revert && random.below(10) == 0 {
        pool.revert(name);
    }
}
