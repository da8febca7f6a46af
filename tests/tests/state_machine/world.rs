//! Two machines in front of one store, and what is known of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use blake3::Hash;
use nacre::archive::{Error, Severity};
use nacre::joints::{Capabilities, Clock, Store, StoreErrorKind};
use nacre_core::ids::{Epoch, HeadHash};
use nacre_core::object_name::ObjectName;
use nacre_tests::lab_image::Random;
use nacre_tests::{FaultyStore, LastWrite, MemoryState, MemoryStore, SimulatedClock};

use super::act::{Command, Diary, scribble};
use super::damage::Damaged;
use super::gate::{Gate, Halt, Put, Tape};
use super::machine::Machine;
use super::model::{Change, History};
use super::ops::{Op, Trouble, What};

/// What is wrong, if something is.
pub type Verdict<T = ()> = Result<T, String>;

/// How often each thing came up.
pub type Counts = BTreeMap<String, u64>;

pub const VOLUMES: [[&str; 3]; 2] = [["a", "b", "c"], ["b", "c", "d"]];
/// Copies of the store that lie about.
const COPIES: usize = 3;

/// The keys of the newest head, those of changes that were cut short, and the headers: a header of such a change may go with any commit.
pub type Tried = (BTreeSet<u8>, BTreeSet<u8>, Vec<Vec<u8>>);

type Copied = (MemoryStore, BTreeSet<u8>, Vec<BTreeSet<u8>>);

pub struct World {
    pub store: FaultyStore,
    /// Copies of the store, with what was known of its keys.
    pub copies: Vec<Copied>,
    pub machines: [Machine; 2],
    pub kept: [Option<MemoryState>; 2],
    /// Whether somebody has written into a snapshot: nothing is put back to it then, for no storage would say that nothing changed.
    spoiled: [bool; 2],
    pub history: History,
    /// The head that the store showed last.
    pub tip: HeadHash,
    /// Heads of commands that were outrun, and may not stay.
    pub late: BTreeSet<HeadHash>,
    /// Keys of changes that were cut short: their headers may open the archive, or not.
    pub limbo: BTreeSet<u8>,
    /// The keys that each of these changes wanted.
    pub cut_short: Vec<BTreeSet<u8>>,
    pub clock: Arc<SimulatedClock>,
    /// Keys that open the archive, and for which state that was tried.
    pub openers: Vec<u8>,
    pub tried: Tried,
    pub tape: Tape,
    commands: usize,
    /// What every command is and wants, by its number.
    pub running: BTreeMap<usize, (What, Diary)>,
    /// Commands, and which of their wishes came true.
    pub achieved: BTreeSet<(usize, usize)>,
    /// Machines that ever were, so that each new one has randomness of its own.
    pub born: u64,
    pub counts: Counts,
    /// What has rotted and was not dealt with.
    pub damaged: Option<Damaged>,
    /// Whether a pack has rotted once: what nothing needs of it can stay for ever.
    pub scarred: bool,
    /// Contents that were lost once.
    pub gone: HashSet<Hash>,
}

/// How a command ended, for those who judge it.
pub struct Ended {
    pub number: usize,
    pub what: What,
    pub diary: Diary,
    pub result: Result<(), Error>,
    /// Whether the machine had to refuse what the store showed when the command began.
    pub stale: bool,
}

impl World {
    pub fn new(seed: u64) -> Verdict<Self> {
        let capabilities = Capabilities {
            punch: seed.is_multiple_of(2),
            ..Capabilities::default()
        };
        let store = FaultyStore::on(MemoryStore::with_capabilities(capabilities));
        let clock = Arc::new(SimulatedClock::at(1_800_000_000));
        let born = seed << 12;
        let mut world = Self {
            store,
            copies: Vec::new(),
            machines: [Machine::new(born), Machine::new(born + 1)],
            kept: [None, None],
            spoiled: [false; 2],
            history: History::default(),
            tip: HeadHash([0; 32]),
            late: BTreeSet::new(),
            limbo: BTreeSet::new(),
            cut_short: Vec::new(),
            clock,
            openers: vec![0],
            tried: Tried::default(),
            tape: Tape::default(),
            commands: 0,
            running: BTreeMap::new(),
            achieved: BTreeSet::new(),
            born: born + 1,
            counts: Counts::new(),
            damaged: None,
            scarred: false,
            gone: HashSet::new(),
        };
        let gate = Gate::new(&world.store, 0, &world.tape, false);
        world.machines[0].init(Arc::new(gate), &world.clock);
        world.begin()?;
        Ok(world)
    }

    pub fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub fn puts(&self) -> Vec<Put> {
        std::mem::take(&mut self.tape.lock().unwrap())
    }

    /// Does one thing, and looks at everything afterwards.
    pub fn step(&mut self, op: Op) -> Verdict {
        self.clock.advance(60);
        match op {
            Op::Command {
                by,
                what,
                trouble,
                salt,
            } => return self.command(by, what, trouble, salt),
            Op::PowerCut(salt) => self.power_cut(salt, LastWrite::Kept)?,
            Op::LoseCaches(by) => {
                let memory =
                    nacre::archive::Memory::new(Arc::new(self.machines[by].memory.clone()));
                memory.remove_caches().map_err(|error| error.to_string())?;
            }
            Op::LoseMemory(by) => self.machines[by].memory = MemoryState::new(),
            Op::KeepMemory(by) => {
                let kept = self.machines[by].memory.reopened(LastWrite::Kept);
                self.kept[by] = Some(kept);
            }
            Op::RestoreMemory(by) => {
                if let Some(kept) = &self.kept[by] {
                    self.machines[by].memory = kept.reopened(LastWrite::Kept);
                }
            }
            Op::LoseSnapshots(by) => VOLUMES[by]
                .iter()
                .for_each(|name| self.machines[by].pool.lose_snapshot(name)),
            Op::SpoilSnapshot(by, salt) => {
                let mut random = Random::new(salt, "spoil");
                let name = random.pick(&VOLUMES[by]);
                self.machines[by]
                    .pool
                    .spoil_snapshot(name, random.index(200_000));
                self.spoiled[by] = true;
            }
            Op::Monitor(by) => {
                for name in VOLUMES[by] {
                    scribble(
                        &self.machines[by],
                        name,
                        false,
                        &mut Random::new(self.commands as u64, name),
                    );
                    self.machines[by].pool.monitor(name);
                }
            }
            Op::CopyStore => {
                self.copies.insert(0, self.copy());
                self.copies.truncate(COPIES);
            }
            Op::Rollback(at) => {
                if let Some((store, ..)) = self.copies.get(at) {
                    let store = store.fork();
                    self.show(store, at);
                }
            }
            Op::Swap(at) => {
                let now = self.copy();
                if let Some(copy) = self.copies.get(at) {
                    self.show(copy.0.clone(), at);
                    self.copies[at] = now;
                }
            }
            Op::LoseHead(by) => self.lose_head(by)?,
            Op::Damage(by, salt) => self.damage(by, salt)?,
            Op::SpoilCache(by, salt) => self.spoil_cache(by, salt)?,
            Op::SpoilMemory(by, salt) => self.spoil_memory(by, salt)?,
            Op::SetClockBack => self.clock.set(self.clock.now().seconds - 86_400),
        }
        self.count(word(&format!("{op:?}")));
        self.tip = self.newest()?;
        self.look_round()
    }

    fn copy(&self) -> Copied {
        let keys = (self.limbo.clone(), self.cut_short.clone());
        (self.store.live().fork(), keys.0, keys.1)
    }

    /// From now on the machines see a copy.
    fn show(&mut self, store: MemoryStore, at: usize) {
        self.store = FaultyStore::on(store);
        (_, self.limbo, self.cut_short) = self.copies[at].clone();
    }

    /// A lying disk loses the newest head; the machine that knows it puts it there again.
    fn lose_head(&mut self, by: usize) -> Verdict {
        let knows = self.machines[by]
            .anchor()
            .is_some_and(|anchor| anchor.head == self.tip);
        let before = self.history.get(self.tip).and_then(|known| known.before);
        let objects = self.store.live().objects();
        // What goes before must not have rotted.
        let is_there = |before: HeadHash| {
            let object = objects.get(&ObjectName::Head(self.epoch(before)));
            object.is_some_and(|bytes| HeadHash::of(bytes) == before)
        };
        if knows && before.is_some_and(is_there) {
            self.store
                .live()
                .lose(ObjectName::Head(self.epoch(self.tip)));
            self.tip = self.newest()?;
            self.bring_back(by)?;
        }
        Ok(())
    }

    /// The store has lost the head that a machine remembers, and nothing else: the machine puts it there again.
    fn bring_back(&mut self, by: usize) -> Verdict {
        let anchor = self.machines[by].anchor().ok_or("nothing is remembered")?;
        let key = *self.openers.first().ok_or("no key opens it")?;
        let store = self.store.clone();
        let opened = self.machines[by].open(Arc::new(store), key, false);
        let opened = opened
            .map_err(|error| format!("machine {by} does not bring back a lost head: {error}"))?;
        if opened.head_hash() != anchor.head {
            return Err(format!("machine {by} had been told of a head that is lost"));
        }
        drop(opened);
        self.count("a lost head was brought back");
        self.tip = anchor.head;
        if self.newest()? != anchor.head {
            // Its name is there, torn: the next commit puts a whole one behind it.
            let command = self.prepare(by, What::Add, 0);
            let gate = Gate::new(&self.store, self.commands, &self.tape, false);
            let result = command.run(&(Arc::new(gate) as Arc<dyn Store>));
            result
                .map_err(|error| format!("machine {by} cannot go on from a lost head: {error}"))?;
            self.heads_put()?;
        }
        Ok(())
    }

    fn command(&mut self, by: usize, what: What, trouble: Trouble, salt: u64) -> Verdict {
        let stale = self.is_stale(by);
        let command = self.prepare(by, what, salt);
        let diary = command.diary.clone();
        let number = self.commands;
        let gate = Gate::new(
            &self.store,
            number,
            &self.tape,
            trouble == Trouble::LostAnswer,
        );
        let steps = self.store.steps();
        match trouble {
            Trouble::PowerCut(at) | Trouble::Dom0Dies(at) | Trouble::StoreDies(at) => {
                drop(self.store.clone().crash_at(steps + at));
            }
            Trouble::MemoryCut(at) => command.machine.memory.cut_after(at),
            Trouble::Fails(at) => {
                let kind = [StoreErrorKind::NoSpace, StoreErrorKind::TimedOut]
                    [usize::from(salt.is_multiple_of(2))];
                drop(self.store.clone().fail_at(steps + at, kind));
            }
            Trouble::Nothing | Trouble::LostAnswer | Trouble::Meanwhile(..) => {}
        }
        let result = match trouble {
            Trouble::Meanwhile(before, other) => {
                self.two(command, gate, before, (1 - by, other, salt))?
            }
            _ => command.run(&(Arc::new(gate) as Arc<dyn Store>)),
        };
        let ended = Ended {
            number,
            what,
            diary,
            result,
            stale,
        };
        let trouble_name = word(&format!("{trouble:?}"));
        self.count(format!("{trouble_name}: {}", outcome(&ended.result)));
        self.count(format!("{what:?}: {}", outcome(&ended.result)));
        self.heads_put()?;
        if ended.result.is_err() {
            self.keys_in_limbo(number);
        }
        self.judge(&ended, trouble)?;
        if trouble == Trouble::Nothing && ended.result.is_ok() {
            let remembered = self.machines[by].anchor().map(|anchor| anchor.head);
            if remembered != Some(self.tip) {
                return Err(format!("machine {by} does not remember the newest head"));
            }
        }
        if what == What::Tidy
            && trouble == Trouble::Nothing
            && ended.result.is_ok()
            && !self.scarred
        {
            self.little_is_dead()?;
        }
        self.after(trouble, by, salt)?;
        self.tip = self.newest()?;
        self.look_round()?;
        // Who was told that the store is older thinks about it.
        self.look(by, salt & 64 == 0)
    }

    /// A change of keys was cut short: the header that it brought may open the archive, or be all that opens it.
    fn keys_in_limbo(&mut self, command: usize) {
        for change in self.wanted(command) {
            if let Change::Keys(keys) = change {
                self.limbo.extend(&keys);
                self.limbo.extend(&self.history.state(self.tip).keys);
                self.cut_short.push(keys);
            }
        }
    }

    /// The number of the last command.
    pub fn number(&self) -> usize {
        self.commands
    }

    pub fn prepare(&mut self, by: usize, what: What, salt: u64) -> Command {
        self.commands += 1;
        let mut random = Random::new(salt, "prepare");
        let mut volumes: Vec<String> = Vec::new();
        if matches!(what, What::Send | What::CutSend) {
            let first = random.index(VOLUMES[by].len());
            let chosen = VOLUMES[by]
                .iter()
                .cycle()
                .skip(first)
                .take(1 + random.index(3));
            volumes.extend(chosen.map(|name| (*name).to_owned()));
            for name in &volumes {
                scribble(&self.machines[by], name, !self.spoiled[by], &mut random);
            }
        }
        let diary = Diary::default();
        self.running.insert(self.commands, (what, diary.clone()));
        Command {
            machine: self.machines[by].clone(),
            key: random.pick(&self.openers),
            what,
            salt,
            scarred: self.scarred,
            volumes,
            clock: Arc::clone(&self.clock),
            diary,
        }
    }

    /// Halts a command before one of its calls, gives another one on the other machine, and lets the first one go on.
    fn two(
        &mut self,
        command: Command,
        gate: Gate,
        before: u64,
        (by, what, salt): (usize, What, u64),
    ) -> Verdict<Result<(), Error>> {
        let (reached, events) = channel();
        let (go, going) = channel();
        let ended = reached.clone();
        let halt = Halt {
            before,
            reached,
            go: Mutex::new(going),
        };
        let store: Arc<dyn Store> = Arc::new(gate.halting(halt));
        std::thread::scope(|scope| {
            let first = scope.spawn(move || {
                let result = command.run(&store);
                drop(store);
                let _ = ended.send(false);
                result
            });
            let mut verdict = Ok(());
            // Whichever comes first: it halts, or it ends.
            if events.recv() == Ok(true) {
                verdict = self.other(by, what, salt);
            }
            drop(go);
            let result = first
                .join()
                .map_err(|_| "the first of two commands panicked".to_owned())?;
            verdict.map(|()| result)
        })
    }

    /// The command of the machine that came in between.
    fn other(&mut self, by: usize, what: What, salt: u64) -> Verdict {
        // What the halted one has put already is there.
        self.heads_put()?;
        self.openers = self.history.state(self.tip).keys.iter().copied().collect();
        let stale = self.is_stale(by);
        let command = self.prepare(by, what, !salt);
        let number = self.commands;
        let gate = Gate::new(&self.store, number, &self.tape, false);
        let diary = command.diary.clone();
        let result = command.run(&(Arc::new(gate) as Arc<dyn Store>));
        self.count(format!("{what:?} in between: {}", outcome(&result)));
        self.heads_put()?;
        if result.is_err() {
            self.keys_in_limbo(number);
        }
        let ended = Ended {
            number,
            what,
            diary,
            result,
            stale,
        };
        self.judge(&ended, Trouble::Nothing)
    }

    /// What is left when the power has failed, or one end has died.
    fn after(&mut self, trouble: Trouble, by: usize, salt: u64) -> Verdict {
        let last = [LastWrite::Lost, LastWrite::Kept][usize::from(salt & 4 == 0)];
        match trouble {
            Trouble::PowerCut(_) | Trouble::MemoryCut(_) => self.power_cut(salt >> 8, last),
            Trouble::StoreDies(_) => self.store_dies(salt >> 8),
            Trouble::Dom0Dies(_) => {
                self.store.go_on();
                self.machines[by].memory = self.machines[by].memory.reopened(last);
                Ok(())
            }
            _ => {
                self.store.go_on();
                Ok(())
            }
        }
    }

    fn power_cut(&mut self, salt: u64, last: LastWrite) -> Verdict {
        for machine in &mut self.machines {
            machine.memory = machine.memory.reopened(last);
        }
        self.store_dies(salt)
    }

    /// What no barrier has made durable may be gone; every head that one has stays.
    fn store_dies(&mut self, salt: u64) -> Verdict {
        let knew: Vec<usize> = (0..2).filter(|by| !self.is_stale(*by)).collect();
        let durable = self.newest_in(&self.store.crash(0))?;
        // Rather often everything is lost that may be, or nothing.
        let seed = if salt % 5 < 2 { salt % 5 } else { salt };
        self.store = FaultyStore::on(self.store.crash(seed));
        self.tip = self.newest()?;
        if !self.history.descends(self.tip, durable) {
            return Err("a head that a barrier had made durable is lost".to_owned());
        }
        for by in knew {
            // It may have seen a head that no barrier had made durable yet: that comes back.
            if self.is_stale(by) {
                self.bring_back(by)?;
            }
        }
        Ok(())
    }

    /// The newest head of the store that somebody has put there whole.
    pub fn newest(&self) -> Verdict<HeadHash> {
        self.newest_in(self.store.live())
    }

    pub fn newest_in(&self, store: &MemoryStore) -> Verdict<HeadHash> {
        let objects = store.objects();
        let heads = objects
            .iter()
            .rev()
            .filter(|(name, _)| matches!(name, ObjectName::Head(_)));
        let mut hashes = heads.map(|(_, bytes)| HeadHash::of(bytes));
        hashes
            .find(|hash| self.history.get(*hash).is_some())
            .ok_or_else(|| "no head is left".to_owned())
    }

    /// A machine that has never seen the archive.
    pub fn stranger(&mut self) -> Machine {
        self.born += 1;
        Machine::new(self.born)
    }

    /// Whether a machine must refuse what the store shows.
    pub fn is_stale(&self, by: usize) -> bool {
        self.machines[by]
            .anchor()
            .is_some_and(|anchor| !self.history.descends(self.tip, anchor.head))
    }

    pub fn epoch(&self, head: HeadHash) -> Epoch {
        self.history.get(head).map_or(Epoch(0), |known| known.epoch)
    }

    /// Changes that a command wanted.
    pub fn wanted(&self, command: usize) -> Vec<Change> {
        let diary = self.running.get(&command).map(|(_, diary)| diary);
        diary
            .map(|diary| diary.wanted.lock().unwrap().clone())
            .unwrap_or_default()
    }
}

/// The first word of a name in Rust.
pub fn word(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// How a command ended, in a word.
pub fn outcome(result: &Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "done",
        Err(Error::Outrun) => "outrun",
        Err(Error::Interrupted) => "interrupted",
        Err(error) => match error.severity() {
            Severity::Integrity => "damage",
            Severity::Freshness => "too old",
            _ => "failed",
        },
    }
}
