//! A change of keys that is cut short anywhere leaves an archive that opens with the old key or the new one, as the order of the commit says
//! (DESIGN 4.3), never with none; and a key that was removed stays removed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use nacre::archive::{
    Archive, EntropySource, Error, InitOptions, OldHeaders, OpenOptions, Pin, Severity,
    header_error, init, open,
};
use nacre::joints::{Capabilities, Entropy, StateDir, Store};
use nacre_core::hash::HashType;
use nacre_core::head::Compression;
use nacre_core::header::{ChangeError, Credential, NewSecret, NewSlot, Unlocked};
use nacre_core::ids::ArchiveId;
use nacre_core::keys::Secret;
use nacre_core::node::ChunkFormat;
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_tests::lab_image::Random;
use nacre_tests::{FaultyStore, LastWrite, MemoryState, MemoryStore, SimulatedClock};

struct Seeded(Random);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// Every caller gets randomness that no other has had.
fn entropy() -> EntropySource {
    static SEED: Mutex<u64> = Mutex::new(0);
    Arc::new(|| {
        let mut seed = SEED.lock().unwrap();
        *seed += 1;
        Box::new(Seeded(Random::new(*seed, "entropy")))
    })
}

fn secret(number: u64) -> Secret {
    Secret::draw(&mut Seeded(Random::new(number, "secret")))
}

/// Who opens the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// The key file from the beginning.
    Old,
    /// The recovery code from the beginning.
    Paper,
    /// The key file that a change brings.
    New,
}

impl Who {
    fn secret(self) -> Secret {
        secret(self as u64)
    }

    fn unlock(self, candidates: nacre_core::header::Candidates) -> Result<Unlocked, Error> {
        let secret = self.secret();
        let credential = match self {
            Self::Old | Self::New => Credential::KeyFile(&secret),
            Self::Paper => Credential::Recovery(&secret),
        };
        candidates.unlock(&credential).map_err(header_error)
    }
}

fn key_file<'a>(label: &'a str, secret: &'a Secret) -> NewSlot<'a> {
    NewSlot {
        label,
        created: 0,
        secret: NewSecret::KeyFile(secret),
    }
}

/// A change of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
    Replace,
    Rotate,
    Identity,
}

const ALL: [Change; 5] = [
    Change::Add,
    Change::Remove,
    Change::Replace,
    Change::Rotate,
    Change::Identity,
];

impl Change {
    fn header(self, from: &Unlocked) -> Result<Unlocked, ChangeError> {
        let mut entropy = entropy()();
        let entropy = entropy.as_mut();
        let (old, new) = (Who::Old.secret(), Who::New.secret());
        match self {
            Self::Add => from.with_slot(&key_file("new", &new), entropy),
            Self::Remove => from.without_slot(0, entropy),
            Self::Replace => from.with_changed_slot(0, &key_file("new", &new), entropy),
            // The recovery code is dropped.
            Self::Rotate => from.rotate(&[key_file("old", &old), key_file("new", &new)], entropy),
            Self::Identity => from.with_new_archive_id(entropy),
        }
    }

    /// Who opens the archive before it, after it, and whatever happens.
    fn openers(self) -> (&'static [Who], &'static [Who], &'static [Who]) {
        use Who::{New, Old, Paper};
        match self {
            Self::Add => (&[Old, Paper], &[Old, Paper, New], &[Old, Paper]),
            Self::Remove => (&[Old, Paper], &[Paper], &[Paper]),
            Self::Replace => (&[Old, Paper], &[New, Paper], &[Paper]),
            Self::Rotate => (&[Old, Paper], &[Old, New], &[Old]),
            Self::Identity => (&[Old, Paper], &[Old, Paper], &[Old, Paper]),
        }
    }
}

/// What a machine has.
#[derive(Clone)]
struct Machine {
    states: BTreeMap<ArchiveId, MemoryState>,
    /// For archives that were not there yet.
    next: MemoryState,
    pin: Option<Pin>,
}

impl Machine {
    fn new() -> Self {
        Self {
            states: BTreeMap::new(),
            next: MemoryState::new(),
            pin: None,
        }
    }

    fn state(&self, id: ArchiveId) -> MemoryState {
        self.states.get(&id).unwrap_or(&self.next).clone()
    }

    /// The same machine after a power cut.
    fn rebooted(&self, last: LastWrite) -> Self {
        let states = self.states.iter();
        Self {
            states: states
                .map(|(id, state)| (*id, state.reopened(last)))
                .collect(),
            next: self.next.reopened(last),
            pin: self.pin,
        }
    }

    fn open(&self, store: Arc<dyn Store>, who: Who, force: bool) -> Result<Archive, Error> {
        open(
            store,
            OpenOptions {
                pin: self.pin,
                unlock: &mut |candidates| who.unlock(candidates),
                memory: &|id| Ok(Arc::new(self.state(id)) as Arc<dyn StateDir>),
                allow_rollback: force,
                entropy: entropy(),
            },
        )
    }
}

fn clock() -> SimulatedClock {
    SimulatedClock::at(1_800_000_000)
}

/// An archive that the old key file and the recovery code open.
fn start(capabilities: Capabilities) -> (MemoryStore, Machine) {
    let store = MemoryStore::with_capabilities(capabilities);
    let state = MemoryState::new();
    let (old, paper) = (Who::Old.secret(), Who::Paper.secret());
    let slots = vec![
        key_file("old", &old),
        NewSlot {
            label: "paper",
            created: 0,
            secret: NewSecret::RecoveryCode(&paper),
        },
    ];
    let options = InitOptions {
        hash: HashType::Blake3,
        format: ChunkFormat::new(17).unwrap(),
        compression: Compression::None,
        encrypted: true,
        slots,
        memory: &|_| Ok(Arc::new(state.clone()) as Arc<dyn StateDir>),
        entropy: entropy(),
    };
    let mut archive = init(Arc::new(store.clone()), options, &clock()).unwrap();
    archive.add_volumes(&["kept"], "", &clock()).unwrap();
    let mut machine = Machine::new();
    machine.states.insert(archive.id(), state);
    machine.pin = Some(Pin {
        archive: archive.id(),
        encrypted: true,
        successor: None,
    });
    (store, machine)
}

/// Carries a change out, as the command does. The machine's pin is what it is when the power goes.
fn carry_out(
    change: Change,
    store: Arc<dyn Store>,
    machine: &mut Machine,
    who: Who,
) -> Result<OldHeaders, Error> {
    let mut archive = machine.open(store, who, false)?;
    let next = change.header(archive.header()).unwrap();
    let id = next.description().archive;
    if change == Change::Identity {
        if let Some(pin) = &mut machine.pin {
            pin.successor = Some(id);
        }
        machine.states.insert(id, machine.next.clone());
        let memory = Arc::new(machine.next.clone());
        let done = archive.replace_identity(next, memory, &clock())?;
        machine.pin = Some(Pin {
            archive: id,
            encrypted: true,
            successor: None,
        });
        return Ok(done.old);
    }
    Ok(archive.replace_header(next, &clock())?.old)
}

/// What must hold whenever the power went. `done`: the change was acknowledged.
fn holds(change: Change, store: &MemoryStore, machine: &Machine, done: bool, place: &str) {
    let (before, after, always) = change.openers();
    let opens = |who| {
        // Each on a copy: opening may put a lost head again.
        let machine = machine.rebooted(LastWrite::Kept);
        let opened = machine.open(Arc::new(store.fork()), who, false);
        opened.map(|archive| {
            assert!(archive.head().volume("kept").is_some(), "{place}");
        })
    };
    for who in always {
        if let Err(error) = opens(*who) {
            panic!("{place}: {who:?} does not open it: {error}");
        }
    }
    let all_of = |whos: &[Who]| whos.iter().all(|who| opens(*who).is_ok());
    assert!(all_of(after) || !done && all_of(before), "{place}");
    if done {
        for who in before.iter().filter(|who| !after.contains(who)) {
            assert!(opens(*who).is_err(), "{place}: {who:?} opens it still");
        }
    }
    // The command can be repeated, and what it brings is there then.
    let mut again = machine.rebooted(LastWrite::Kept);
    let store = store.fork();
    let who = *always.first().unwrap();
    // Who was removed already cannot be removed again: the last key stays.
    let slots = again.open(Arc::new(store.fork()), who, false).unwrap();
    if change == Change::Remove && slots.header().slots().len() < 2 {
        return;
    }
    carry_out(change, Arc::new(store.clone()), &mut again, who)
        .unwrap_or_else(|error| panic!("{place}: it cannot be repeated: {error}"));
    let mut archive = again.open(Arc::new(store.clone()), who, false).unwrap();
    archive.add_volumes(&["later"], "", &clock()).unwrap();
    let headers = store.objects();
    let headers = headers
        .keys()
        .filter(|name| matches!(name, ObjectName::Header(..)));
    assert_eq!(headers.count(), 2, "{place}: old headers are left");
}

#[test]
fn a_change_of_keys_cut_short_anywhere_leaves_an_archive_that_opens() {
    let mut points = 0;
    for change in ALL {
        let (start, machine) = start(Capabilities::default());
        // Where the power can go.
        let whole = FaultyStore::on(start.fork());
        let mut witness = machine.rebooted(LastWrite::Kept);
        carry_out(change, Arc::new(whole.clone()), &mut witness, Who::Old).unwrap();
        holds(change, whole.live(), &witness, true, "whole");
        for step in 0..whole.steps() {
            let store = FaultyStore::on(start.fork()).crash_at(step);
            let mut machine = machine.rebooted(LastWrite::Kept);
            let done = carry_out(change, Arc::new(store.clone()), &mut machine, Who::Old);
            assert!(store.has_crashed());
            for seed in 0..6 {
                points += 1;
                let place = format!("{change:?}, step {step}, seed {seed}");
                holds(change, &store.crash(seed), &machine, done.is_ok(), &place);
            }
        }
        let steps = |machine: &Machine| {
            let of_all = machine.states.values().map(MemoryState::steps);
            of_all.sum::<u64>()
        };
        for step in 0..steps(&witness) {
            let store = FaultyStore::on(start.fork());
            let mut machine = machine.rebooted(LastWrite::Kept);
            machine.next.cut_after(step);
            for state in machine.states.values() {
                state.cut_after(step);
            }
            let done = carry_out(change, Arc::new(store.clone()), &mut machine, Who::Old);
            for last in [LastWrite::Lost, LastWrite::Kept] {
                for seed in 0..4 {
                    points += 1;
                    let place = format!("{change:?}, state step {step}, {last:?}, seed {seed}");
                    let machine = machine.rebooted(last);
                    holds(change, &store.crash(seed), &machine, done.is_ok(), &place);
                }
            }
        }
    }
    println!("{points} crash points of key changes");
    assert!(points > 300, "{points}");
}

#[test]
fn many_changes_cut_short_in_a_row_do_not_lock_anybody_out() {
    let (mut store, machine) = start(Capabilities::default());
    for _ in 0..6 {
        let mut machine = machine.rebooted(LastWrite::Kept);
        // After both copies of the header and the barrier.
        let faulty = FaultyStore::on(store).crash_at(3);
        assert!(
            carry_out(
                Change::Replace,
                Arc::new(faulty.clone()),
                &mut machine,
                Who::Old
            )
            .is_err()
        );
        store = faulty.crash(1);
    }
    holds(Change::Replace, &store, &machine, false, "six in a row");
}

#[test]
fn an_append_only_store_keeps_old_headers_and_they_do_not_open_the_archive() {
    let capabilities = Capabilities {
        append_only: true,
        ..Capabilities::default()
    };
    let (store, mut machine) = start(capabilities);
    let kept = carry_out(
        Change::Remove,
        Arc::new(store.clone()),
        &mut machine,
        Who::Paper,
    );
    assert_eq!(kept.unwrap(), OldHeaders::Kept);
    let mut headers = 0;
    store
        .list(ObjectClass::Header, &mut |_, _| headers += 1)
        .unwrap();
    assert_eq!(headers, 4);
    // Not even on a machine that never saw the archive: the head names the new header.
    for machine in [machine, Machine::new()] {
        let open = |who| machine.open(Arc::new(store.clone()), who, false);
        // The removed key first: who has opened it once remembers the newer header.
        for _ in 0..2 {
            let refused = open(Who::Old).err().unwrap();
            assert_eq!(refused.severity(), Severity::Failed, "{refused}");
            assert!(refused.to_string().contains("was removed"), "{refused}");
            let wrong = open(Who::New).err().unwrap();
            assert_eq!(wrong.severity(), Severity::Failed, "{wrong}");
            assert!(!wrong.to_string().contains("was removed"), "{wrong}");
            assert!(open(Who::Paper).is_ok());
        }
    }
}

/// The header of a change that was cut short kept the pinned generation's name, and its key is not this one: "wrong key file", as if the user had it wrong.
#[test]
fn a_store_put_back_with_the_header_of_a_cut_change_is_older_and_the_key_not_wrong() {
    let (store, mut machine) = start(Capabilities::default());
    let (old, mut other) = (store.fork(), machine.rebooted(LastWrite::Kept));
    let now = Arc::new(store.clone());
    carry_out(Change::Remove, now, &mut machine, Who::Paper).unwrap();
    let pinned = machine.open(Arc::new(store), Who::Paper, false).unwrap();
    let generation = pinned.header().description().generation;
    // On the copy another machine begins to change the keys, and does not come further than the header.
    let cut = FaultyStore::on(old).crash_at(2);
    carry_out(Change::Rotate, Arc::new(cut.clone()), &mut other, Who::Old).unwrap_err();
    let shown = cut.crash(1);
    let headers = shown.objects().into_keys();
    let newest = headers.filter_map(|name| match name {
        ObjectName::Header(generation, _) => Some(generation),
        _ => None,
    });
    assert_eq!(newest.max(), Some(generation));
    let open = |force| machine.open(Arc::new(shown.fork()), Who::Paper, force);
    let error = open(false).err().unwrap();
    assert_eq!(error.severity(), Severity::Freshness, "{error}");
    assert!(error.remedy().contains("--force-allow-rollback"), "{error}");
    // Nothing was remembered of it.
    let again = open(false).err().unwrap();
    assert_eq!(again.severity(), Severity::Freshness, "{again}");
    open(true).unwrap();
}

#[test]
fn an_old_header_played_back_is_refused_and_accepted_only_when_forced() {
    for change in [Change::Remove, Change::Rotate] {
        let (store, mut machine) = start(Capabilities::default());
        let old = store.objects();
        carry_out(change, Arc::new(store.clone()), &mut machine, Who::Old).unwrap();
        let whole = store.fork();
        for (name, bytes) in &old {
            store.tamper(*name, bytes.clone());
        }
        for name in store.objects().into_keys() {
            if !old.contains_key(&name) {
                store.lose(name);
            }
        }
        // The whole store went back: header, head and all.
        let error = machine.open(Arc::new(store.clone()), Who::Old, false);
        let error = error.err().unwrap();
        assert_eq!(error.severity(), Severity::Freshness, "{error}");
        assert!(error.remedy().contains("--force-allow-rollback"), "{error}");
        let forced = machine.rebooted(LastWrite::Kept);
        forced
            .open(Arc::new(store.clone()), Who::Old, true)
            .unwrap();
        forced
            .open(Arc::new(store.clone()), Who::Old, false)
            .unwrap();

        // The header alone went back. It does not have the newest master of a rotated archive: what can be forced is the head before.
        let mixed = whole.fork();
        for name in whole.objects().into_keys() {
            if matches!(name, ObjectName::Header(..)) {
                mixed.lose(name);
            }
        }
        for (name, bytes) in &old {
            if matches!(name, ObjectName::Header(..)) {
                mixed.tamper(*name, bytes.clone());
            }
        }
        for machine in [machine.rebooted(LastWrite::Kept), Machine::new()] {
            let mixed = mixed.fork();
            let refused = machine.open(Arc::new(mixed.clone()), Who::Old, false);
            assert!(refused.is_err());
            let forced = machine.open(Arc::new(mixed.clone()), Who::Old, true);
            // The next head names the header that is there.
            let mut archive = forced.unwrap();
            archive.add_volumes(&["later"], "", &clock()).unwrap();
            machine
                .open(Arc::new(mixed.fork()), Who::Old, false)
                .unwrap();
        }
    }
}

#[test]
fn the_loser_of_a_race_leaves_no_header_behind() {
    let (store, mut machine) = start(Capabilities::default());
    let opened = |machine: &Machine| machine.open(Arc::new(store.clone()), Who::Paper, false);
    // Another machine changes keys, or the archive itself, at the same time, and is faster.
    let mut other = Machine::new();
    let mut slow = opened(&machine).unwrap();
    carry_out(Change::Add, Arc::new(store.clone()), &mut other, Who::Old).unwrap();
    let next = Change::Remove.header(slow.header()).unwrap();
    assert!(slow.replace_header(next, &clock()).is_err());
    let mut slow = opened(&machine).unwrap();
    let mut fast = opened(&other).unwrap();
    fast.add_volumes(&["fast"], "", &clock()).unwrap();
    let next = Change::Remove.header(slow.header()).unwrap();
    assert!(slow.replace_header(next, &clock()).is_err());
    let is_header = |name: &&ObjectName| matches!(name, ObjectName::Header(..));
    assert_eq!(store.objects().keys().filter(is_header).count(), 2);
    for who in [Who::Old, Who::Paper, Who::New] {
        machine.open(Arc::new(store.fork()), who, false).unwrap();
    }
    let again = Arc::new(store.clone());
    carry_out(Change::Remove, again, &mut machine, Who::Paper).unwrap();
    assert!(machine.open(Arc::new(store), Who::Old, false).is_err());
}
