//! Damage: some object rots, a command meets it, a repair deals with it, and the next send makes whole what can be made whole.
//!
//! What damage hits is known from a walk over the archive before it. Until it is dealt with nobody else comes in between.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use blake3::Hash;
use nacre::archive::{Archive, Error, Memory, Severity};
use nacre::joints::Store;
use nacre_core::object_name::ObjectName;
use nacre_tests::lab_image::Random;
use nacre_tests::{FaultyStore, LastWrite, recount};

use super::gate::Gate;
use super::judge::told;
use super::machine::CHUNK;
use super::model::{Change, Content, LOST, State, Volumes, difference};
use super::needs::{Hit, Needs};
use super::ops::{Trouble, What};
use super::read::read_what_is_left;
use super::world::{Ended, VOLUMES, Verdict, World, outcome};

/// Damage that no repair has dealt with yet.
#[derive(Default)]
pub struct Damaged {
    pub hit: Hit,
    /// A head was put that could not be read: what it holds is not known.
    pub blind: bool,
}

/// What rots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Data,
    Index,
    /// Any pack, needed or not.
    Pack,
    Head,
    OlderHead,
    Header,
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    BitFlip,
    Truncation,
    Zeros,
    Deletion,
    Swap,
}

const OBJECTS: [Object; 8] = [
    Object::Data,
    Object::Data,
    Object::Data,
    Object::Index,
    Object::Pack,
    Object::Head,
    Object::OlderHead,
    Object::Header,
];
pub const HOWS: [How; 5] = [
    How::BitFlip,
    How::Truncation,
    How::Zeros,
    How::Deletion,
    How::Swap,
];

/// Bytes that have rotted somewhere.
pub fn altered(bytes: &[u8], how: How, at: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at.min(bytes.len().saturating_sub(1));
    match how {
        How::Truncation => bytes.truncate(at),
        How::Zeros => {
            let end = (at + 512).min(bytes.len());
            bytes[at..end].fill(0);
        }
        _ => bytes[at] ^= 1 << random.below(8),
    }
    bytes
}

impl World {
    /// An object rots while nothing else happens, and what follows from that.
    pub fn damage(&mut self, by: usize, salt: u64) -> Verdict {
        let random = &mut Random::new(salt, "damage");
        let knows = self.machines[by]
            .anchor()
            .is_some_and(|anchor| anchor.head == self.tip);
        if !knows {
            // Who would have to refuse the store repairs nothing in it.
            self.look(by, false)?;
            return Ok(());
        }
        let state = self.history.state(self.tip);
        let whole = self.careful(by)?;
        let needs = Needs::of(&whole);
        let before = self.store.live().objects();
        let Some(what) = self.rot(&whole, &needs, random) else {
            return Ok(());
        };
        drop(whole);
        // That it is so is durable.
        self.store = FaultyStore::on(self.store.live().fork());
        let hit = needs.hit(&state.volumes, &before, &self.store.live().objects());
        self.count(format!("damage of {what}"));
        self.damaged = Some(Damaged {
            hit: hit.clone(),
            blind: false,
        });
        let told = |why| format!("{what}: {why}");
        self.what_is_left(by, &state, &hit).map_err(told)?;
        let met = random.below(4) > 0;
        if met {
            let command = random.pick(&[
                What::Send,
                What::Send,
                What::CutSend,
                What::Prune,
                What::Delete,
                What::Rename,
                What::Add,
                What::Free,
                What::Clean,
                What::Tidy,
            ]);
            self.meets(by, command, random.bits()).map_err(told)?;
        }
        self.checked(by, &hit).map_err(told)?;
        self.repaired(by, &state, random).map_err(told)?;
        self.look_round().map_err(told)?;
        if random.below(2) == 0 {
            self.made_whole(by, salt).map_err(told)?;
        }
        Ok(())
    }

    /// Opens the archive as the machine does, with nothing but what is precious in its memory.
    fn careful(&self, by: usize) -> Verdict<Archive> {
        let opened = self.try_careful(by);
        opened.map_err(|error| format!("machine {by} cannot open it: {}", told(&error)))
    }

    fn try_careful(&self, by: usize) -> Result<Archive, Error> {
        let memory = self.machines[by].memory.reopened(LastWrite::Kept);
        Memory::new(Arc::new(memory.clone())).remove_caches()?;
        let machine = self.machines[by].with_memory(memory);
        let store: Arc<dyn Store> = Arc::new(self.store.live().clone());
        machine.open(store, self.openers[0], false)
    }

    /// Damages an object; `None` if there is none of the kind that was drawn.
    fn rot(&mut self, whole: &Archive, needs: &Needs, random: &mut Random) -> Option<String> {
        let object = random.pick(&OBJECTS);
        let mut how = random.pick(&HOWS);
        let live = self.store.live();
        let objects = live.objects();
        let of = |is: &dyn Fn(&ObjectName) -> bool| -> Vec<ObjectName> {
            objects.keys().copied().filter(|name| is(name)).collect()
        };
        let packs = of(&|name| matches!(name, ObjectName::Pack(_)));
        let newest = ObjectName::Head(self.epoch(self.tip));
        let heads = of(&|name| matches!(name, ObjectName::Head(_)) && *name < newest);
        let generation = whole.header().description().generation;
        let headers = of(&|name| matches!(name, ObjectName::Header(of, _) if *of == generation));
        let (name, at) = match object {
            Object::Data | Object::Index => {
                let spots = needs.spots(object == Object::Data);
                let (name, range) = spots.get(random.index(spots.len().max(1)))?;
                let at = range.start + random.index(range.len().max(1));
                (ObjectName::Pack(*name), at)
            }
            Object::Pack => {
                let name = *packs.get(random.index(packs.len().max(1)))?;
                (name, random.index(objects[&name].len().max(1)))
            }
            Object::Head | Object::OlderHead | Object::Header => {
                let all = match object {
                    Object::Head => vec![newest],
                    Object::OlderHead => heads.clone(),
                    _ => headers,
                };
                let name = *all.get(random.index(all.len().max(1)))?;
                // Behind the number of the format: another one is no damage, but says that a newer version is needed.
                let size = objects.get(&name)?.len();
                (name, 32 + random.index(size.saturating_sub(32).max(1)))
            }
        };
        let bytes = objects.get(&name)?;
        if object == Object::Head && how == How::Deletion {
            // That is another operation.
            how = How::Zeros;
        }
        if how == How::Swap {
            let others = match object {
                Object::Data | Object::Index | Object::Pack => &packs,
                // An old version under the newest name.
                _ => &heads,
            };
            let others: Vec<_> = others.iter().filter(|other| **other != name).collect();
            if let Some(other) = others.get(random.index(others.len().max(1))) {
                live.tamper(**other, bytes.clone());
                live.tamper(name, objects[*other].clone());
                return Some(format!("{object:?}: {how:?}"));
            }
            how = How::BitFlip;
        }
        if how == How::Deletion {
            live.lose(name);
        } else {
            live.tamper(name, altered(bytes, how, at, random));
        }
        Some(format!("{object:?}: {how:?}"))
    }

    /// What can be read is right, and no less than damage leaves; what cannot is an error.
    fn what_is_left(&self, by: usize, state: &State, hit: &Hit) -> Verdict {
        let opened = self.try_careful(by);
        let left = match opened.and_then(|archive| read_what_is_left(&archive)) {
            Ok(left) => left,
            Err(error) if error.is_damage() && hit.records => return Ok(()),
            Err(error) => return Err(format!("nothing can be read: {}", told(&error))),
        };
        for (name, versions) in &state.volumes {
            let here = left.get(name).ok_or(format!("{name} is gone"))?;
            for (seq, content) in versions {
                let what = format!("{name} in session {seq:?}");
                let here = here.get(seq).ok_or(format!("{what} is gone"))?;
                if !here.is_left_of(content) {
                    return Err(format!("{what} is wrong"));
                }
                if hit.records || hit.trees.contains(&(name.clone(), *seq)) {
                    continue;
                }
                for (at, (hash, was)) in here.chunks.iter().zip(&content.chunks).enumerate() {
                    let gone = *hash == LOST && *was != LOST;
                    if gone != hit.chunks.contains(&((name.clone(), *seq), at)) {
                        return Err(format!("{what}: chunk {at} is gone: {gone}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// A command meets the damage: it is done, or says what is damaged.
    fn meets(&mut self, by: usize, what: What, salt: u64) -> Verdict {
        let command = self.prepare(by, what, salt);
        let (number, diary) = (self.number(), command.diary.clone());
        let gate = Gate::new(&self.store, number, &self.tape, false);
        let result = command.run(&(Arc::new(gate) as Arc<dyn Store>));
        self.count(format!("{what:?} meets damage: {}", outcome(&result)));
        self.heads_put()?;
        let ended = Ended {
            number,
            what,
            diary,
            result,
            stale: false,
        };
        let blind = self.damaged.as_ref().is_some_and(|damaged| damaged.blind);
        match &ended.result {
            Ok(()) if blind => Ok(()),
            Ok(()) => self.judge(&ended, Trouble::Nothing),
            Err(Error::Interrupted) if what == What::CutSend => Ok(()),
            // What nothing needs, a directory for one, may be missed all the same by who moves a pack.
            Err(error) if error.severity() == Severity::Integrity => Ok(()),
            Err(error) => Err(format!("{what:?} failed: {}", told(error))),
        }
    }

    /// The check says that something is damaged if it is.
    fn checked(&mut self, by: usize, hit: &Hit) -> Verdict {
        let left = self.try_careful(by);
        let left = left.and_then(|archive| read_what_is_left(&archive));
        let known = self.history.state(self.tip);
        let is_gone = left
            .as_ref()
            .map_or(true, |left| lost(left) > lost(&known.volumes));
        let command = self.prepare(by, What::Check, 0);
        let gate = Gate::new(&self.store, self.number(), &self.tape, false);
        let result = command.run(&(Arc::new(gate) as Arc<dyn Store>));
        self.count(format!("Check meets damage: {}", outcome(&result)));
        match result {
            Ok(()) if is_gone => Err("the check does not see it".to_owned()),
            Err(error) if error.severity() != Severity::Integrity => {
                Err(format!("the check failed: {}", told(&error)))
            }
            Err(error) if hit.is_nothing() && !self.is_outside_packs() => Err(format!(
                "the check sees what is not there: {}",
                told(&error)
            )),
            _ => Ok(()),
        }
    }

    /// Whether a head or a header of which there is another copy does not look as it must.
    fn is_outside_packs(&self) -> bool {
        let objects = self.store.live().objects();
        let head = objects.get(&ObjectName::Head(self.epoch(self.tip)));
        let tip = self.tip;
        let is_whole = head.is_some_and(|bytes| nacre_core::ids::HeadHash::of(bytes) == tip);
        let headers = objects.iter();
        let headers = headers.filter(|(name, _)| matches!(name, ObjectName::Header(..)));
        let copies = headers.clone().count();
        let headers: BTreeSet<&Vec<u8>> = headers.map(|(_, bytes)| bytes).collect();
        !is_whole || headers.len() > 1 || copies % 2 == 1
    }

    /// After a repair, which may fail or die once, everything that is left can be read, and the books are right.
    fn repaired(&mut self, by: usize, state: &State, random: &mut Random) -> Verdict {
        if random.below(2) == 0 {
            let salt = random.bits();
            let at = random.below(12);
            let steps = self.store.steps();
            let dies = random.below(2) == 0;
            if dies {
                drop(self.store.clone().crash_at(steps + at));
            } else {
                let kind = nacre::joints::StoreErrorKind::NoSpace;
                drop(self.store.clone().fail_at(steps + at, kind));
            }
            let result = self.repair(by, salt)?;
            self.store.go_on();
            if dies {
                let memory = &self.machines[by].memory;
                self.machines[by].memory = memory.reopened(LastWrite::Kept);
            }
            self.count(format!("Repair is cut short: {}", outcome(&result)));
            if result.is_err() && random.below(2) == 0 {
                let command = random.pick(&[What::Prune, What::Send, What::Free, What::Tidy]);
                self.meets(by, command, random.bits())?;
            }
        }
        let result = self.repair(by, random.bits())?;
        self.count(format!("Repair: {}", outcome(&result)));
        result.map_err(|error| format!("it cannot be repaired: {}", told(&error)))?;
        self.tip = self.newest()?;
        let archive = self.careful(by)?;
        let left = read_what_is_left(&archive).map_err(|error| told(&error))?;
        let Some(mut damaged) = self.damaged.take() else {
            return Ok(());
        };
        let check = self.prepare(by, What::Check, 0);
        let gate = Gate::new(&self.store, self.number(), &self.tape, false);
        let result = check.run(&(Arc::new(gate) as Arc<dyn Store>));
        result.map_err(|error| format!("damaged after the repair: {}", told(&error)))?;
        recount(&archive);
        drop(archive);
        let expected = self.history.state(self.tip);
        if damaged.blind || damaged.hit.is_index() {
            self.justified(&left, &state.volumes)?;
        } else {
            let filled = filled(&left, &expected.volumes, &[], &mut damaged.hit)?;
            if filled != expected.volumes {
                let how = difference(&expected.volumes, &filled);
                return Err(format!("a repair: {how}"));
            }
        }
        if lost(&left) > lost(&expected.volumes) {
            self.count("something is lost after a repair");
        } else {
            self.count("nothing is lost after a repair");
        }
        self.scarred = true;
        for known in [&state.volumes, &expected.volumes] {
            self.remember_lost(&left, known);
        }
        self.history.becomes(self.tip, left);
        if damaged.hit.records {
            self.history_is_lost()?;
        }
        Ok(())
    }

    /// What was where something is gone now: a later repair may find it again.
    fn remember_lost(&mut self, left: &Volumes, known: &Volumes) {
        let known = || known.values().flat_map(|all| all.values());
        for content in left.values().flat_map(|all| all.values()) {
            for whole in known().filter(|whole| content.is_left_of(whole)) {
                let both = content.chunks.iter().zip(&whole.chunks);
                let gone = both.filter(|(here, _)| **here == LOST);
                self.gone.extend(gone.map(|(_, there)| *there));
            }
        }
    }

    /// The head's history may be gone: who remembers an older head is told that the store does not continue it, and has to accept it.
    fn history_is_lost(&mut self) -> Verdict {
        for by in 0..2 {
            let machine = self.machines[by].clone();
            let open = |force| {
                let store: Arc<dyn Store> = Arc::new(self.store.live().clone());
                machine.open(store, self.openers[0], force).map(|_| ())
            };
            match open(false) {
                Err(error) if error.severity() == Severity::Freshness => {
                    open(true).map_err(|error| format!("forced in vain: {}", told(&error)))?;
                    self.count("a machine had to accept an archive whose history was lost");
                }
                other => other.map_err(|error| told(&error))?,
            }
        }
        self.kept = [None, None];
        self.copies.clear();
        Ok(())
    }

    fn repair(&mut self, by: usize, salt: u64) -> Verdict<Result<(), Error>> {
        let command = self.prepare(by, What::Repair, salt);
        let gate = Gate::new(&self.store, self.number(), &self.tape, false);
        let result = command.run(&(Arc::new(gate) as Arc<dyn Store>));
        self.heads_put()?;
        Ok(result)
    }

    /// Where the index was hit: whatever is there was there once, or was to be sent since, but for what is gone.
    fn justified(&self, left: &Volumes, before: &Volumes) -> Verdict {
        let wanted = self.running.keys().next_back();
        let mut sent: Vec<Content> = Vec::new();
        for number in wanted.map_or(0, |last| last.saturating_sub(5))..=self.number() {
            for change in self.wanted(number) {
                if let Change::Send(contents) = change {
                    sent.extend(contents.into_values());
                }
            }
        }
        // A lost leaf of sessions may come back as it was one commit earlier.
        let shown = self.history.states().flat_map(|all| all.values());
        let known: Vec<&Content> = shown.flat_map(|all| all.values()).chain(&sent).collect();
        for (name, versions) in left {
            for (seq, content) in versions {
                let is_one = known.iter().any(|known| {
                    let mut both = content.chunks.iter().zip(&known.chunks);
                    let is_same = |(here, there): (&Hash, &Hash)| {
                        here == there || *here == LOST || *there == LOST && self.gone.contains(here)
                    };
                    content.size == known.size && both.all(is_same)
                });
                let part = |(at, chunk): (usize, &Hash)| {
                    let zeros = blake3::hash(&vec![0; CHUNK]);
                    let mut known = known.iter();
                    *chunk == LOST
                        || *chunk == zeros
                        || known.any(|known| known.chunks.get(at) == Some(chunk))
                };
                let is_part = !content.finished && content.chunks.iter().enumerate().all(part);
                if !is_one && !is_part {
                    let how = difference(before, left);
                    return Err(format!(
                        "{name} in session {} is wrong after a repair: {how}",
                        seq.0
                    ));
                }
            }
        }
        Ok(())
    }

    /// The volumes of a machine are sent as they are: then their newest versions have lost nothing.
    fn made_whole(&mut self, by: usize, salt: u64) -> Verdict {
        let mut command = self.prepare(by, What::Send, salt);
        command.volumes = VOLUMES[by].iter().map(|name| (*name).to_owned()).collect();
        let (number, diary) = (self.number(), command.diary.clone());
        let gate = Gate::new(&self.store, number, &self.tape, false);
        let result = command.run(&(Arc::new(gate) as Arc<dyn Store>));
        self.heads_put()?;
        let ended = Ended {
            number,
            what: What::Send,
            diary,
            result,
            stale: false,
        };
        self.judge(&ended, Trouble::Nothing)?;
        self.tip = self.newest()?;
        let state = self.history.state(self.tip);
        for name in VOLUMES[by] {
            let newest = state
                .volumes
                .get(name)
                .and_then(|all| all.values().next_back());
            let pool = Content::of(&self.machines[by].pool.content(name));
            if newest.is_none_or(|newest| newest.lost() > 0 || !newest.is_left_of(&pool)) {
                return Err(format!("{name} was sent and is not whole"));
            }
        }
        self.count("a send made everything whole");
        self.look_round()
    }
}

/// Whether it is the state before, but for what was gone and is found again.
pub fn is_mended(now: &Volumes, before: &Volumes, gone: &HashSet<Hash>) -> bool {
    let is_same = |here: &Content, there: &Content| {
        let mut both = here.chunks.iter().zip(&there.chunks);
        (here.finished, here.size) == (there.finished, there.size)
            && both.all(|(here, there)| here == there || *there == LOST && gone.contains(here))
    };
    now.keys().eq(before.keys())
        && now.values().zip(before.values()).all(|(now, before)| {
            now.keys().eq(before.keys())
                && now
                    .values()
                    .zip(before.values())
                    .all(|(n, b)| is_same(n, b))
        })
}

/// How many chunks are gone.
fn lost(volumes: &Volumes) -> usize {
    volumes
        .values()
        .flat_map(|all| all.values())
        .map(Content::lost)
        .sum()
}

/// What would be there without the damage: what is gone is taken from the state before, or from what was sent, if the damage explains it; from then on it
/// counts as hit itself.
pub fn filled(
    left: &Volumes,
    before: &Volumes,
    wanted: &[Change],
    hit: &mut Hit,
) -> Verdict<Volumes> {
    let mut sent: Vec<(&String, &Content)> = Vec::new();
    for change in wanted {
        if let Change::Send(contents) = change {
            sent.extend(contents);
        }
    }
    let mut all = left.clone();
    for (name, versions) in &mut all {
        for (seq, content) in versions.iter_mut() {
            let own = || {
                before
                    .get(name)
                    .into_iter()
                    .flat_map(|all| all.values())
                    .rev()
            };
            // What was lost may be found again by now.
            let is_known = |known: &&Content| {
                let mut both = content.chunks.iter().zip(&known.chunks);
                let is_same = |(here, there): (&Hash, &Hash)| {
                    here == there || [*here, *there].contains(&LOST)
                };
                content.size == known.size && both.all(is_same)
            };
            let here = before.get(name).and_then(|all| all.get(seq));
            let renamed = before.values().filter_map(|all| all.get(seq));
            let same = here.into_iter().chain(renamed).filter(is_known);
            let same: Vec<&Content> = same.filter(|it| it.finished == content.finished).collect();
            let new = sent.iter().filter(|(of, _)| *of == name);
            let new = new.map(|(_, content)| *content);
            let candidates: Vec<&Content> = match (same.is_empty(), content.finished) {
                (false, _) => same,
                (true, true) => new.collect(),
                (true, false) => own().chain(new).collect(),
            };
            for at in 0..content.chunks.len() {
                if content.chunks[at] != LOST {
                    continue;
                }
                // What is new may stand on what was hit: as a patch, or as the same content once more.
                let is_hit = |hash: &Hash| *hash == LOST || hit.contents.contains(hash);
                let stands = own().any(|known| known.chunks.get(at).is_some_and(is_hit));
                let mut known = candidates.iter().filter_map(|known| known.chunks.get(at));
                let known = known.find(|hash| stands || is_hit(hash));
                let known = *known.ok_or_else(|| {
                    let seq = seq.0;
                    format!("chunk {at} of {name} in session {seq} is gone, and nothing has hit it")
                })?;
                hit.contents.insert(known);
                content.chunks[at] = known;
            }
        }
    }
    Ok(all)
}
