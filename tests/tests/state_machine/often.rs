//! What must come up, and how often in one round: a test in which something never happens says nothing of it.

use super::world::Counts;

const OPERATIONS: [(&str, u64); 16] = [
    ("CopyStore", 80),
    ("Damage", 100),
    ("KeepMemory", 50),
    ("LoseCaches", 20),
    ("LoseHead", 50),
    ("LoseMemory", 20),
    ("LoseSnapshots", 20),
    ("Monitor", 50),
    ("PowerCut", 50),
    ("RestoreMemory", 20),
    ("Rollback", 25),
    ("SetClockBack", 20),
    ("SpoilCache", 20),
    ("SpoilMemory", 20),
    ("SpoilSnapshot", 20),
    ("Swap", 50),
];

const COMMANDS: [(&str, u64); 15] = [
    ("Add", 40),
    ("AddKey", 60),
    ("Check", 20),
    ("Clean", 60),
    ("CutSend", 30),
    ("Deduplicate", 40),
    ("Delete", 60),
    ("Free", 50),
    ("Prune", 200),
    ("RemoveKey", 50),
    ("Rename", 60),
    ("ReplaceKey", 40),
    ("RotateMaster", 40),
    ("Send", 600),
    ("Tidy", 30),
];

/// Troubles that make a command fail.
const TROUBLES: [(&str, u64); 5] = [
    ("Dom0Dies", 60),
    ("Fails", 60),
    ("MemoryCut", 60),
    ("PowerCut", 120),
    ("StoreDies", 60),
];

const OUTCOMES: [(&str, u64); 21] = [
    ("CutSend: interrupted", 60),
    ("LostAnswer: done", 80),
    ("Meanwhile: done", 300),
    ("Send: too old", 5),
    ("Send in between: done", 80),
    ("Tidy in between: done", 8),
    ("RotateMaster in between: done", 6),
    ("a head came too late", 20),
    ("a lost head was brought back", 25),
    ("an older state was accepted", 10),
    ("another writer was first", 100),
    ("little is dead after a cleaning", 8),
    ("Check meets damage: damage", 40),
    ("Send meets damage: done", 8),
    ("Prune meets damage: done", 2),
    ("Tidy meets damage: done", 4),
    ("Repair: done", 60),
    ("Repair is cut short: failed", 12),
    ("nothing is lost after a repair", 20),
    ("something is lost after a repair", 20),
    ("a send made everything whole", 25),
];

/// What came up too rarely in so many rounds.
pub fn missing(counts: &Counts, rounds: u64) -> Vec<String> {
    let done = COMMANDS.map(|(name, least)| (format!("{name}: done"), least));
    let failed = TROUBLES.map(|(name, least)| (format!("{name}: failed"), least));
    let plain = OPERATIONS.iter().chain(&OUTCOMES);
    let plain = plain.map(|(name, least)| ((*name).to_owned(), *least));
    let all = plain.chain(done).chain(failed);
    let came = |name: &str| counts.get(name).copied().unwrap_or_default();
    let rare = all.filter(|(name, least)| came(name) < least * rounds);
    rare.map(|(name, least)| format!("{name}: {} of {}", came(&name), least * rounds))
        .collect()
}
