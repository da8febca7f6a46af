//! What can happen, and how a sequence of it is drawn.

use nacre_tests::lab_image::Random;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Send,
    /// Somebody presses Ctrl-C.
    CutSend,
    Prune,
    Delete,
    Rename,
    Add,
    AddKey,
    RemoveKey,
    ReplaceKey,
    RotateMaster,
    /// Frees what is given away and puts packs together.
    Free,
    Clean,
    Deduplicate,
    Check,
    /// Prunes all but the newest, cleans and frees: then the store holds little more than it must.
    Tidy,
    /// `arch-check --repair`: with what local storage still has, or without.
    Repair,
}

/// What befalls a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    Nothing,
    /// Both ends lose power in the store's step of this number, or behind the command.
    PowerCut(u64),
    /// dom0 alone dies there.
    Dom0Dies(u64),
    /// The store alone loses power there.
    StoreDies(u64),
    /// Both lose power while dom0 writes its own files.
    MemoryCut(u64),
    /// One step of the store fails.
    Fails(u64),
    /// The answer to its first head gets lost; it is sent again.
    LostAnswer,
    /// Before its call of this number, the other machine gives a command.
    Meanwhile(u64, What),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// The machine gives a command.
    Command {
        by: usize,
        what: What,
        trouble: Trouble,
        salt: u64,
    },
    /// Both ends lose power while nothing happens.
    PowerCut(u64),
    LoseCaches(usize),
    /// A machine is set up anew.
    LoseMemory(usize),
    KeepMemory(usize),
    /// A machine is put back to what was kept of it.
    RestoreMemory(usize),
    LoseSnapshots(usize),
    SpoilSnapshot(usize, u64),
    Monitor(usize),
    /// Somebody copies the store.
    CopyStore,
    /// The store is put back to a copy.
    Rollback(usize),
    /// The copy is used from now on, and what was used is the copy.
    Swap(usize),
    /// A lying disk loses the newest head although it was behind a barrier, and the machine that knows it looks at the archive.
    LoseHead(usize),
    SetClockBack,
    /// An object in the store rots, the machine meets that, and repairs it.
    Damage(usize, u64),
    /// A cache of the machine rots.
    SpoilCache(usize, u64),
    /// What the machine must not lose rots; after a look it is as it was.
    SpoilMemory(usize, u64),
}

const COMMANDS: [(What, u64); 15] = [
    (What::Send, 30),
    (What::CutSend, 5),
    (What::Prune, 10),
    (What::Delete, 3),
    (What::Rename, 3),
    (What::Add, 2),
    (What::AddKey, 3),
    (What::RemoveKey, 3),
    (What::ReplaceKey, 2),
    (What::RotateMaster, 2),
    (What::Free, 3),
    (What::Clean, 3),
    (What::Deduplicate, 3),
    (What::Check, 1),
    (What::Tidy, 2),
];

fn weighted<T: Copy>(random: &mut Random, choices: &[(T, u64)]) -> T {
    let mut at = random.below(choices.iter().map(|(_, weight)| weight).sum());
    for (choice, weight) in choices {
        if at < *weight {
            return *choice;
        }
        at -= weight;
    }
    choices[0].0
}

fn trouble(random: &mut Random) -> Trouble {
    let step = random.below(4).pow(2) + random.below(5);
    match random.below(20) {
        0 | 1 => Trouble::PowerCut(step),
        2 => Trouble::Dom0Dies(step),
        3 => Trouble::StoreDies(step),
        4 => Trouble::MemoryCut(random.below(6)),
        5 => Trouble::Fails(step),
        6 => Trouble::LostAnswer,
        7..=10 => Trouble::Meanwhile(random.below(50), weighted(random, &COMMANDS)),
        _ => Trouble::Nothing,
    }
}

pub fn draw(random: &mut Random) -> Op {
    // One machine works more than the other.
    let by = usize::from(random.below(3) == 0);
    match random.below(100) {
        0..74 => Op::Command {
            by,
            what: weighted(random, &COMMANDS),
            trouble: trouble(random),
            salt: random.bits(),
        },
        74..78 => Op::Damage(by, random.bits()),
        78 => Op::SpoilCache(by, random.bits()),
        79 => Op::SpoilMemory(by, random.bits()),
        80..82 => Op::PowerCut(random.bits()),
        82 => Op::LoseCaches(by),
        83 => Op::LoseMemory(by),
        84 | 85 => Op::KeepMemory(by),
        86 => Op::RestoreMemory(by),
        87 => Op::LoseSnapshots(by),
        88 => Op::SpoilSnapshot(by, random.bits()),
        89 | 90 => Op::Monitor(by),
        91..94 => Op::CopyStore,
        94 => Op::Rollback(random.index(3)),
        95 | 96 => Op::Swap(random.index(3)),
        97 | 98 => Op::LoseHead(by),
        _ => Op::SetClockBack,
    }
}
