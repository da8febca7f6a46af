//! What changed between two snapshots.

use nacre::joints::{Changes, FrozenVolume, Harvest, Pool};
use nacre_tests::MemoryState;

use crate::lab::{
    DATA_BLOCK, Seen, content, discard, lvs, make_volume, names, ranges, read_data, run, seen,
    seen_by, why_everything, write,
};

/// Numbers that look random, the same every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        // Knuth's linear generator for 64 bits; the low bits are poor.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 20) % below
    }
}

fn rounds() -> u64 {
    let asked = std::env::var("NACRE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    10 * asked.unwrap_or(1_u64)
}

/// Every byte in which they differ lies in a range. A shorter one goes on with zeros.
fn covers(changed: &[(u64, u64)], old: &[u8], new: &[u8]) {
    for (at, chunk) in new.chunks(4096).enumerate() {
        let start = at * 4096;
        let zeros = [0; 4096];
        let mut before = zeros;
        let there = old
            .get(start..old.len().min(start + chunk.len()))
            .unwrap_or_default();
        before[..there.len()].copy_from_slice(there);
        if before[..chunk.len()] != *chunk {
            let (start, end) = (start as u64, (start + chunk.len()) as u64);
            assert!(
                changed.iter().any(|(a, b)| *a <= start && end <= *b),
                "{start} changed, {changed:?}"
            );
        }
    }
}

#[test]
#[ignore = "started by changes_of_thin_pools_in_a_real_kernel"]
fn at_random_every_change_is_found_and_every_hole_is_zero() {
    make_volume("vm-random-private", 32);
    let seen = seen_by(0x01);
    let seed = std::env::var("NACRE_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(20_261_121);
    println!("NACRE_SEED={seed}");
    let mut numbers = Numbers(seed);
    let name = "vm-random-private";
    let mut size: u64 = 32 << 20;
    let mut last: Option<(Vec<u8>, Vec<u8>)> = None;
    for round in 0..rounds() {
        for _ in 0..=numbers.next(12) {
            let at = numbers.next(size);
            let length = (1 + numbers.next(200_000)).min(size - at);
            match numbers.next(4) {
                0 => {
                    let start = at / DATA_BLOCK * DATA_BLOCK;
                    discard(name, start, (length.div_ceil(512) * 512).min(size - start));
                }
                _ => write(
                    name,
                    at,
                    &vec![numbers.next(256) as u8; usize::try_from(length).unwrap()],
                ),
            }
        }
        if numbers.next(4) == 0 {
            size = (4 + 4 * numbers.next(12)) << 20;
            run(&format!("lvresize -q -f -y -L {size}b qubes_dom0/{name}"));
        }
        if numbers.next(3) == 0 {
            seen.monitor(name);
        }
        let now = content(name);
        let mut frozen = seen.freeze(name);
        assert_eq!(frozen.size(), size);
        if let Some((identity, before)) = &last {
            let changed = ranges(frozen.changes_since(identity).unwrap());
            covers(&changed, before, &now);
            for (start, end) in &changed {
                within(&*frozen, *start, (*end).min(size), &now);
            }
            read_before(&*frozen, before);
        }
        assert!(
            read_data(&*frozen) == now,
            "round {round}, NACRE_SEED={seed}"
        );
        // Some runs do not come to their commit.
        if numbers.next(4) != 0 {
            frozen.committed().unwrap();
            last = Some((frozen.identity(), now));
        }
    }
    assert_eq!(crate::lab::held_root(), "-");
}

/// Between the ranges of data there are zeros.
fn within(frozen: &dyn FrozenVolume, start: u64, end: u64, now: &[u8]) {
    let mut at = start;
    while at < end {
        let data = frozen.next_data(at).unwrap();
        let hole_ends = data.map_or(end, |data| data.start.min(end));
        let hole = &now[usize::try_from(at).unwrap()..usize::try_from(hole_ends).unwrap()];
        assert!(
            hole.iter().all(|byte| *byte == 0),
            "{at}..{hole_ends} is no hole"
        );
        at = data.map_or(end, |data| data.end);
    }
}

/// The older snapshot, if it is still here, holds what it held.
fn read_before(frozen: &dyn FrozenVolume, before: &[u8]) {
    let mut buffer = vec![9; 1 << 20];
    for at in (0..before.len()).step_by(1 << 20) {
        if frozen.read_before(at as u64, &mut buffer).unwrap() {
            let there = &before[at..before.len().min(at + (1 << 20))];
            assert!(buffer[..there.len()] == *there);
        }
    }
}

#[test]
#[ignore = "started by changes_of_thin_pools_in_a_real_kernel"]
fn the_delta_is_the_one_of_thin_delta() {
    make_volume("vm-exact-private", 256);
    let name = "vm-exact-private";
    let seen = seen_by(0x02);
    let mut numbers = Numbers(5);
    for at in 0..2000 {
        write(name, at * 2 * DATA_BLOCK % (256 << 20), &[at as u8; 100]);
    }
    let identity = seen.session(name);
    for _ in 0..150 {
        let at = numbers.next(4096) * DATA_BLOCK;
        match numbers.next(3) {
            0 => discard(name, at, DATA_BLOCK),
            _ => write(name, at + 5, b"new"),
        }
    }
    let frozen = seen.freeze(name);
    let changed = ranges(frozen.changes_since(&identity).unwrap());
    let ids = [1, 2].map(|n| lvs(&format!("{name}.nacre_02020202_{n}"), "thin_id"));
    run("dmsetup message qubes_dom0-vm--pool-tpool 0 reserve_metadata_snap");
    let delta = run(&format!(
        "thin_delta -m --snap1 {} --snap2 {} /dev/mapper/qubes_dom0-vm--pool_tmeta",
        ids[0], ids[1]
    ));
    run("dmsetup message qubes_dom0-vm--pool-tpool 0 release_metadata_snap");
    let number = |line: &str, key: &str| -> u64 {
        let (_, rest) = line.split_once(&format!("{key}=\"")).unwrap();
        rest.split_once('"').unwrap().0.parse().unwrap()
    };
    let mut expected: Vec<(u64, u64)> = Vec::new();
    for line in delta
        .lines()
        .filter(|line| line.contains("begin=") && !line.contains("<same"))
    {
        let start = number(line, "begin") * DATA_BLOCK;
        let end = start + number(line, "length") * DATA_BLOCK;
        match expected.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => expected.push((start, end)),
        }
    }
    assert!(expected.len() > 50, "{delta}");
    assert_eq!(changed, expected);
}

/// Two snapshots between which nothing changed.
#[test]
#[ignore = "started by changes_of_thin_pools_in_a_real_kernel"]
fn nothing_changed_is_an_empty_list() {
    make_volume("vm-still-private", 16);
    let seen = seen_by(0x03);
    let empty = seen.session("vm-still-private");
    let frozen = seen.freeze("vm-still-private");
    assert_eq!(
        frozen.changes_since(&empty).unwrap(),
        Changes::Ranges(Vec::new())
    );
    assert_eq!(frozen.next_data(0).unwrap(), None);
    drop(frozen);
    write("vm-still-private", 1 << 20, &[1; 4096]);
    let some = seen.session("vm-still-private");
    let frozen = seen.freeze("vm-still-private");
    assert_eq!(
        frozen.changes_since(&some).unwrap(),
        Changes::Ranges(Vec::new())
    );
}

/// What Qubes does when a qube stops: the volume is another device with the same name.
#[test]
#[ignore = "started by changes_of_thin_pools_in_a_real_kernel"]
fn a_volume_that_qubes_rotated_keeps_its_delta() {
    make_volume("vm-rot-private", 16);
    let seen = seen_by(0x04);
    write("vm-rot-private", 0, &[1; 300_000]);
    let identity = seen.session("vm-rot-private");
    run("lvcreate -q -y -kn -s qubes_dom0/vm-rot-private -n vm-rot-private-snap");
    write("vm-rot-private-snap", 1 << 20, &[2; 10]);
    run("lvrename -q qubes_dom0 vm-rot-private vm-rot-private-1700000000-back");
    run("lvrename -q qubes_dom0 vm-rot-private-snap vm-rot-private");
    run("lvremove -q -y qubes_dom0/vm-rot-private-1700000000-back");
    let frozen = seen.freeze("vm-rot-private");
    let changed = ranges(frozen.changes_since(&identity).unwrap());
    assert_eq!(changed, [(1 << 20, (1 << 20) + DATA_BLOCK)]);
}

fn began(name: &str, archive: u8) -> (Seen, Vec<u8>, String) {
    make_volume(name, 16);
    let seen = seen_by(archive);
    write(name, 0, &[1; 300_000]);
    let identity = seen.session(name);
    let snapshot = names(&format!("{name}.nacre")).remove(0);
    write(name, 1 << 20, &[2; 10]);
    (seen, identity, snapshot)
}

fn why(seen: &Seen, name: &str, identity: &[u8]) -> String {
    let frozen = seen.freeze(name);
    let why = why_everything(frozen.changes_since(identity).unwrap());
    assert!(!frozen.read_before(0, &mut [0; 4096]).unwrap(), "{why}");
    why
}

#[test]
#[ignore = "started by changes_of_thin_pools_in_a_real_kernel"]
fn a_snapshot_that_somebody_wrote_to_is_not_trusted() {
    let (seen, identity, snapshot) = began("vm-written-private", 0x05);
    run(&format!("lvchange -q -y -prw qubes_dom0/{snapshot}"));
    run(&format!("lvchange -q -ay -K qubes_dom0/{snapshot}"));
    // One byte in a block that the volume has as well.
    write(&snapshot, 10, &[9]);
    run(&format!("lvchange -q -an qubes_dom0/{snapshot}"));
    assert!(!seen.pool.holds("vm-written-private", &identity).unwrap());
    assert!(why(&seen, "vm-written-private", &identity).contains("somebody wrote"));
    // Also if the written block is shared with a later snapshot of it.
    run(&format!(
        "lvcreate -q -y -kn -s qubes_dom0/{snapshot} -n vm-written-other"
    ));
    assert!(why(&seen, "vm-written-private", &identity).contains("somebody wrote"));
    assert!(
        matches!(seen.monitor("vm-written-private"), Harvest::Began(why) if why.contains("somebody wrote"))
    );
}

#[test]
#[ignore = "started by changes_of_thin_pools_in_a_real_kernel"]
fn a_snapshot_from_which_somebody_discarded_is_not_trusted() {
    let (seen, identity, snapshot) = began("vm-cut-private", 0x06);
    run(&format!("lvchange -q -y -prw qubes_dom0/{snapshot}"));
    run(&format!("lvchange -q -ay -K qubes_dom0/{snapshot}"));
    discard(&snapshot, 0, DATA_BLOCK);
    run(&format!("lvchange -q -an qubes_dom0/{snapshot}"));
    assert!(why(&seen, "vm-cut-private", &identity).contains("somebody changed"));
    // `monitor` makes a link from the altered one, which does not lead from the session.
    seen.monitor("vm-cut-private");
    why(&seen, "vm-cut-private", &identity);
}

#[test]
#[ignore = "started by changes_of_thin_pools_in_a_real_kernel"]
fn a_lost_swapped_resized_or_older_snapshot_is_not_trusted() {
    let (seen, identity, snapshot) = began("vm-lost-private", 0x07);
    // Of another volume, under this name.
    make_volume("vm-lost-other", 16);
    run(&format!("lvrename -q qubes_dom0 {snapshot} vm-lost-aside"));
    why(&seen, "vm-lost-private", &identity);
    run(&format!(
        "lvcreate -q -y -s -pr qubes_dom0/vm-lost-other -n {snapshot}"
    ));
    assert!(why(&seen, "vm-lost-private", &identity).contains("not the one"));
    run(&format!("lvremove -q -y qubes_dom0/{snapshot}"));
    // Back again, and trusted again.
    run(&format!("lvrename -q qubes_dom0 vm-lost-aside {snapshot}"));
    let frozen = seen.freeze("vm-lost-private");
    ranges(frozen.changes_since(&identity).unwrap());
    drop(frozen);
    // Another size.
    run(&format!("lvresize -q -f -y -L 8M qubes_dom0/{snapshot}"));
    why(&seen, "vm-lost-private", &identity);
    // Made anew, probably with the same thin id.
    run(&format!("lvremove -q -y qubes_dom0/{snapshot}"));
    run(&format!(
        "lvcreate -q -y -s -pr qubes_dom0/vm-lost-private -n {snapshot}"
    ));
    why(&seen, "vm-lost-private", &identity);
    // Older: the session that is asked for is a later one than the snapshot that is here.
    run(&format!("lvremove -q -y qubes_dom0/{snapshot}"));
    let old = seen.session("vm-lost-private");
    let mut frozen = seen.freeze("vm-lost-private");
    let newer = frozen.identity();
    drop(frozen);
    assert!(why(&seen, "vm-lost-private", &newer).contains("not the one"));
    frozen = seen.freeze("vm-lost-private");
    assert_eq!(ranges(frozen.changes_since(&old).unwrap()), []);
    // Of another pool, of other storage, of a later version.
    let mut other_pool = old.clone();
    let last = other_pool.len() - 1;
    other_pool[last] ^= 1;
    assert!(
        why_everything(frozen.changes_since(&other_pool).unwrap()).contains("another thin pool")
    );
    for other in [&[][..], b"a path", &[0xff; 80]] {
        assert!(why_everything(frozen.changes_since(other).unwrap()).contains("other storage"));
    }
}

#[test]
#[ignore = "started by changes_of_thin_pools_in_a_real_kernel"]
fn monitoring_holds_no_space_and_adds_up() {
    let state = MemoryState::new();
    make_volume("vm-mon-private", 16);
    let name = "vm-mon-private";
    let archive = seen(0x08, &state);
    assert!(matches!(archive.monitor(name), Harvest::Began(_)));
    write(name, 0, &[1; 300_000]);
    let identity = archive.session(name);
    let before = content(name);
    write(name, 1 << 20, &[2; 10]);
    assert_eq!(archive.monitor(name), Harvest::Changed(DATA_BLOCK));
    assert_eq!(names("vm-mon-private.nacre").len(), 1, "one snapshot only");
    write(name, 2 << 20, &[3; 10]);
    // A crash in `monitor` before the older one goes: both are there.
    let number = names("vm-mon-private.nacre").remove(0);
    let number: u64 = number.rsplit_once('_').unwrap().1.parse().unwrap();
    run(&format!(
        "lvcreate -q -y -s -pr qubes_dom0/{name} -n {name}.nacre_08080808_{}",
        number + 1
    ));
    assert!(matches!(archive.monitor(name), Harvest::Changed(_)));
    write(name, 3 << 20, &[4; 10]);
    let frozen = archive.freeze(name);
    let changed = ranges(frozen.changes_since(&identity).unwrap());
    covers(&changed, &before, &content(name));
    let total: u64 = changed.iter().map(|(start, end)| end - start).sum();
    assert_eq!(total, 3 * DATA_BLOCK, "{changed:?}");
    assert!(
        !frozen.read_before(0, &mut [0; 4096]).unwrap(),
        "the older snapshot is gone"
    );
    drop(frozen);
    // The links are lost.
    let forgetful = seen(0x08, &MemoryState::new());
    why(&forgetful, name, &identity);
}
