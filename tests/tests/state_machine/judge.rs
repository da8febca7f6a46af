//! What must hold after everything that happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nacre::archive::{Archive, Error, Severity};
use nacre::joints::Store;
use nacre_core::ids::{HeadHash, PackName};
use nacre_core::object_name::ObjectName;
use nacre_core::pack::PackState;
use nacre_tests::recount;

use super::damage::{filled, is_mended};
use super::gate::{Gate, Put};
use super::machine::KEYS;
use super::model::{Change, Known, State, Volumes, difference};
use super::ops::{Trouble, What};
use super::read::{read, read_what_is_left};
use super::world::{Ended, Tried, Verdict, World, outcome};

/// Dead bytes that small packs may hold beside as many as are needed: fewer than that are not worth moving.
const MOST_DEAD: u64 = 128 << 10;

pub fn told(error: &Error) -> String {
    format!("{error} {}", error.remedy())
}

impl World {
    /// The archive was made.
    pub fn begin(&mut self) -> Verdict {
        for put in self.puts() {
            let state = State {
                volumes: Volumes::new(),
                keys: [0, 1].into(),
            };
            let known = Known {
                epoch: put.epoch,
                before: None,
                state: Arc::new(state),
            };
            self.history.enter(put.hash, known);
            self.tip = put.hash;
        }
        self.look_round()
    }

    /// Every head that was put since the last time follows the one before, and is what its command could make of that.
    pub fn heads_put(&mut self) -> Verdict {
        for put in self.puts() {
            let what = self.running.get(&put.command).map(|running| running.0);
            self.head_put(&put)
                .map_err(|error| format!("head {} of {what:?}: {error}", put.epoch))?;
        }
        Ok(())
    }

    fn head_put(&mut self, put: &Put) -> Verdict {
        if self.history.get(put.hash).is_some() {
            return Err("it was there before".to_owned());
        }
        self.count("heads put");
        let before = self.history.state(self.tip);
        let wanted = self.wanted(put.command);
        let keys = wanted
            .last()
            .map_or_else(|| before.keys.clone(), |change| change.keys(&before));
        let key = *keys.first().ok_or("no key is left")?;
        let store = Arc::new(put.store.fork());
        let archive = match self.stranger().open(store, key, false) {
            Err(error) if self.may_be_gone(&error) => {
                self.blind(put, &before, keys);
                return Ok(());
            }
            other => other.map_err(|error| told(&error))?,
        };
        if archive.head_hash() != put.hash || archive.head().previous != self.tip {
            // Another writer was faster, although the name was free: its command must take the head away and begin anew.
            self.count("a head came too late");
            self.late.insert(put.hash);
            return Ok(());
        }
        if put.epoch <= self.epoch(self.tip) {
            return Err("the epoch does not rise".to_owned());
        }
        let is_repair = matches!(self.running.get(&put.command), Some((What::Repair, _)));
        let volumes = match self.damaged.take() {
            None => read(&archive).map_err(|error| told(&error))?,
            Some(mut damaged) => {
                let left = read_what_is_left(&archive);
                let is_blind = damaged.blind || damaged.hit.is_index();
                let filled = match left {
                    Ok(left) if !is_blind => {
                        filled(&left, &before.volumes, &wanted, &mut damaged.hit)
                    }
                    Err(error) if !is_blind => Err(told(&error)),
                    _ => Ok(Volumes::new()),
                };
                self.damaged = Some(damaged);
                if is_blind {
                    self.blind(put, &before, keys);
                    return Ok(());
                }
                filled?
            }
        };
        let explained: Vec<Option<bool>> = wanted
            .iter()
            .map(|change| change.explains(&before, &volumes))
            .collect();
        let mended = is_repair && is_mended(&volumes, &before.volumes, &self.gone);
        if is_repair && !mended {
            let how = difference(&before.volumes, &volumes);
            return Err(format!("a repair: {how}"));
        }
        if volumes != before.volumes && !mended && explained.iter().all(Option::is_none) {
            let how = difference(&before.volumes, &volumes);
            let hit = self.damaged.as_ref().map(|damaged| &damaged.hit.contents);
            return Err(format!("{how}; hit {hit:?}, and wanted was {wanted:?}"));
        }
        let achieved = (0..)
            .zip(&explained)
            .filter(|(_, done)| **done == Some(true));
        let achieved: Vec<(usize, usize)> = achieved.map(|(at, _)| (put.command, at)).collect();
        self.achieved.extend(achieved);
        let known = Known {
            epoch: put.epoch,
            before: Some(self.tip),
            state: Arc::new(State { volumes, keys }),
        };
        self.history.enter(put.hash, known);
        self.tip = put.hash;
        Ok(())
    }

    /// Whether damage that is not dealt with yet may be why something cannot be read.
    fn may_be_gone(&self, error: &Error) -> bool {
        let damaged = self.damaged.as_ref();
        error.is_damage() && damaged.is_some_and(|damaged| damaged.hit.is_index())
    }

    /// A head was put of which, as the index is damaged, it cannot be said what it must show: the repair is judged.
    fn blind(&mut self, put: &Put, before: &State, keys: BTreeSet<u8>) {
        if let Some(damaged) = &mut self.damaged {
            damaged.blind = true;
        }
        let state = State {
            keys,
            ..before.clone()
        };
        let known = Known {
            epoch: put.epoch,
            before: Some(self.tip),
            state: Arc::new(state),
        };
        self.history.enter(put.hash, known);
        self.tip = put.hash;
    }

    /// Whether a command ended as it may.
    pub fn judge(&mut self, ended: &Ended, trouble: Trouble) -> Verdict {
        let outrun = *ended.diary.outrun.lock().unwrap();
        if outrun > 0 {
            self.count("another writer was first");
        }
        let what = ended.what;
        match &ended.result {
            Ok(()) if ended.stale => {
                Err(format!("{what:?} did not notice that the store is older"))
            }
            Ok(()) => self.achieved(ended, trouble),
            Err(Error::Interrupted) if what == What::CutSend => Ok(()),
            Err(error) if ended.stale && error.severity() == Severity::Freshness => Ok(()),
            Err(error) if may_fail(error, trouble) => Ok(()),
            Err(error) => Err(format!(
                "{what:?} failed ({}): {}",
                outcome(&ended.result),
                told(error)
            )),
        }
    }

    /// What is said to be done is done.
    fn achieved(&self, ended: &Ended, trouble: Trouble) -> Verdict {
        let wanted = self.wanted(ended.number);
        let last = wanted.len().checked_sub(1);
        // An attempt that found nothing to do has wanted nothing.
        let Some(last) = last.filter(|last| *last >= *ended.diary.attempt.lock().unwrap()) else {
            return Ok(());
        };
        let state = self.history.state(self.tip);
        let is_so = wanted[last].explains(&state, &state.volumes) == Some(true);
        let done = self.achieved.contains(&(ended.number, last));
        // Without a commit of its own, while another one came in between, nothing can be said.
        if done
            || is_so
            || matches!(trouble, Trouble::Meanwhile(..)) && matches!(wanted[last], Change::Send(_))
        {
            return Ok(());
        }
        Err(format!(
            "{:?} says that it is done, and is not: {:#?}",
            ended.what, wanted[last]
        ))
    }

    /// After everything old was pruned and the store was cleaned it holds nothing that no head names, and of what it holds little is dead.
    pub fn little_is_dead(&mut self) -> Verdict {
        let store: Arc<dyn Store> = Arc::new(self.store.live().clone());
        let key = *self.openers.first().ok_or("no key opens it")?;
        let archive = self.stranger().open(store, key, false);
        let archive = archive.map_err(|error| told(&error))?;
        let homes = archive.head().homes.iter();
        let mut needed: BTreeMap<PackName, u64> =
            homes.map(|home| (home.name, home.size)).collect();
        let visited = archive.each_pack(|_, record| {
            if record.state == PackState::Live {
                needed.insert(record.name, record.size - record.dead.total());
            }
            Ok(())
        });
        visited.map_err(|error| told(&error))?;
        let mut held = 0;
        for (name, bytes) in self.store.live().objects() {
            let ObjectName::Pack(name) = name else {
                continue;
            };
            if !needed.contains_key(&name) {
                return Err(format!("pack {name} is for nobody"));
            }
            // What was punched is filled with this here.
            let holes = bytes.chunk_by(|one, other| one == other);
            let holes = holes.filter(|run| run[0] == 0xde && run.len() >= 4096);
            held += bytes.len() - holes.map(<[u8]>::len).sum::<usize>();
        }
        let needed: u64 = needed.values().sum();
        if held as u64 > 2 * needed + MOST_DEAD {
            return Err(format!("{held} bytes are held where {needed} are needed"));
        }
        self.count("little is dead after a cleaning");
        Ok(())
    }

    /// Whoever opens the archive finds what was committed.
    pub fn look_round(&mut self) -> Verdict {
        let mut objects = self.store.live().objects().into_values();
        if objects.any(|bytes| self.late.contains(&HeadHash::of(&bytes))) {
            return Err("a head that came too late is still there".to_owned());
        }
        self.try_keys()?;
        let store: Arc<dyn Store> = Arc::new(self.store.live().clone());
        let key = *self.openers.first().ok_or("no key opens it")?;
        let archive = self.stranger().open(store, key, false);
        let archive =
            archive.map_err(|error| format!("a stranger cannot open it: {}", told(&error)))?;
        self.compare(&archive, "a stranger")?;
        recount(&archive);
        Ok(())
    }

    /// A machine looks at the archive, as far as it remembers it. Where it must refuse it, it does, and takes the way out if `force`.
    pub fn look(&mut self, by: usize, force: bool) -> Verdict {
        let stale = self.is_stale(by);
        let key = *self.openers.first().ok_or("no key opens it")?;
        let gate = || -> Arc<dyn Store> { Arc::new(Gate::new(&self.store, 0, &self.tape, false)) };
        let machine = self.machines[by].clone();
        let who = format!("machine {by}");
        match machine.open(gate(), key, false) {
            Ok(_) if stale => return Err(format!("{who} does not notice that the store is older")),
            Ok(archive) => return self.compare(&archive, &who),
            Err(error) if stale && error.severity() == Severity::Freshness => {}
            Err(error) => return Err(format!("{who} cannot open it: {}", told(&error))),
        }
        if force {
            let opened = machine.open(gate(), key, true);
            drop(opened.map_err(|error| format!("{who} cannot force it: {}", told(&error)))?);
            let again = machine.open(gate(), key, false);
            let again =
                again.map_err(|error| format!("{who} has forced it in vain: {}", told(&error)))?;
            self.compare(&again, &who)?;
            self.count("an older state was accepted");
        }
        Ok(())
    }

    fn compare(&self, archive: &Archive, who: &str) -> Verdict {
        if archive.head_hash() != self.tip {
            let (found, tip) = (archive.head().epoch, self.epoch(self.tip));
            return Err(format!("{who} finds head {found} instead of {tip}"));
        }
        let volumes =
            read(archive).map_err(|error| format!("{who} cannot read it: {}", told(&error)))?;
        let state = self.history.state(self.tip);
        if volumes != state.volumes {
            let how = difference(&state.volumes, &volumes);
            return Err(format!("{who} does not read what is there: {how}"));
        }
        Ok(())
    }

    /// The keys that the newest head says open the archive do, and those that were removed do not.
    fn try_keys(&mut self) -> Verdict {
        let state = self.history.state(self.tip);
        let objects = self.store.live().objects().into_iter();
        let headers = objects.filter(|(name, _)| matches!(name, ObjectName::Header(..)));
        let headers = headers.map(|(_, bytes)| bytes).collect();
        let now: Tried = (state.keys.clone(), self.limbo.clone(), headers);
        if self.tried == now {
            return Ok(());
        }
        let mut openers = BTreeSet::new();
        for key in 0..KEYS {
            let store: Arc<dyn Store> = Arc::new(self.store.live().clone());
            if self.stranger().open(store, key, false).is_ok() {
                openers.insert(key);
            }
        }
        let mut enough = self.cut_short.iter().chain([&state.keys]);
        if !enough.any(|keys| openers.is_superset(keys)) {
            return Err(format!(
                "of the keys {:?} only {openers:?} open it",
                state.keys
            ));
        }
        let mut may = state.keys.clone();
        may.extend(&self.limbo);
        if !openers.is_subset(&may) {
            return Err(format!(
                "of the keys {openers:?} only {:?} may open it",
                state.keys
            ));
        }
        self.tried = now;
        self.openers = openers.into_iter().collect();
        Ok(())
    }
}

/// Whether trouble of that kind may make a command fail in that way.
fn may_fail(error: &Error, trouble: Trouble) -> bool {
    match trouble {
        Trouble::Nothing | Trouble::LostAnswer => false,
        Trouble::PowerCut(_)
        | Trouble::Dom0Dies(_)
        | Trouble::StoreDies(_)
        | Trouble::MemoryCut(_)
        | Trouble::Fails(_) => error.severity() == Severity::Failed,
        // The key may have gone.
        Trouble::Meanwhile(_, other) => {
            let keys = matches!(
                other,
                What::RemoveKey | What::ReplaceKey | What::RotateMaster | What::AddKey
            );
            keys && matches!(error, Error::Refused { .. } | Error::State(_))
        }
    }
}
