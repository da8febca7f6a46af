//! A volume's life at random, checked against the copies kept of it.

use std::fs;
use std::os::unix::fs::FileExt;

use nacre::joints::{Changes, FrozenVolume, Ranges, StateDir};

use super::{BLOCK, Desk, assert_all_found, content, on_both, punch, run, write};

/// Rounds; `NACRE_ROUNDS` times as many, if it is set.
const ROUNDS: u64 = 14;

/// A small generator: reproducible, and of no other use (Knuth's 64-bit multiplier).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What sessions remember: identity, content, and whether every link and snapshot since is still here.
struct Session {
    identity: Vec<u8>,
    content: Vec<u8>,
    unbroken: bool,
}

fn step(desk: &Desk, dice: &mut Dice, session: &mut Session) -> String {
    let file = desk.image("v.img");
    let size = file.metadata().unwrap().len();
    let block = dice.roll(size / BLOCK + 2);
    let blocks = block..block + 1 + dice.roll(40);
    match dice.roll(12) {
        0..=2 => {
            write(&file, blocks.clone(), dice.roll(1000));
            format!("write {blocks:?}")
        }
        3 => {
            let at = dice.roll(size + 1);
            let bytes = vec![dice.roll(256) as u8; 1 + dice.roll(9000) as usize];
            file.write_all_at(&bytes, at).unwrap();
            format!("write {} bytes at {at}, not yet on the disk", bytes.len())
        }
        4 => {
            punch(&file, blocks.clone());
            format!("punch {blocks:?}")
        }
        5 => {
            let empty = rustix::fs::FallocateFlags::empty();
            let length = (blocks.end - blocks.start) * BLOCK;
            rustix::fs::fallocate(&file, empty, blocks.start * BLOCK, length).unwrap();
            format!("reserve {blocks:?}")
        }
        6 => {
            let size = dice.roll(4 << 20);
            file.set_len(size).unwrap();
            format!("resize to {size}")
        }
        7 => {
            let path = desk.path("v.img").display().to_string();
            let (from, to) = (blocks.start * BLOCK, dice.roll(900) * BLOCK);
            let clone = format!("reflink {path} {from} {to} 65536");
            // Refused where the two overlap or the file ends too early.
            let done = run("xfs_io", &["-c", &clone, &path]).is_ok();
            format!("{clone}: {done}")
        }
        8 => {
            // Exchanged for a file of its own, as Qubes does when a qube stops.
            let (path, new) = (desk.path("v.img"), desk.path("new"));
            run(
                "cp",
                &[
                    "--reflink=always",
                    path.to_str().unwrap(),
                    new.to_str().unwrap(),
                ],
            )
            .unwrap();
            fs::rename(new, path).unwrap();
            "replace".to_owned()
        }
        9 => format!("monitor: {:?}", desk.pool.monitor("v.img").unwrap()),
        10 => {
            let links = desk.state.list().unwrap();
            let lost = !links.is_empty() && dice.roll(3) == 0;
            if lost {
                desk.state.remove(&links[0]).unwrap();
                session.unbroken = desk.pool.holds("v.img", &session.identity).unwrap();
            }
            format!("lose links: {lost}")
        }
        _ => {
            let lost = dice.roll(6) == 0;
            if lost {
                desk.snapshots()
                    .into_iter()
                    .for_each(|path| fs::remove_file(path).unwrap());
                session.unbroken = false;
            }
            format!("lose snapshots: {lost}")
        }
    }
}

fn check(frozen: &dyn FrozenVolume, session: &Session, log: &[String]) {
    let now = content(frozen);
    match frozen.changes_since(&session.identity).unwrap() {
        Changes::Ranges(found) => {
            let apart = found.windows(2).all(|two| two[0].end < two[1].start);
            assert!(apart && session.unbroken, "{log:#?}");
            let found = Ranges::of(&found);
            assert_all_found(&session.content, &now, &found, &log.join("\n"));
            check_before(frozen, session, log);
        }
        Changes::Everything(why) => assert!(!session.unbroken, "{why}\n{log:#?}"),
    }
}

/// What is said of the old content must be the old content, where it is said.
fn check_before(frozen: &dyn FrozenVolume, session: &Session, log: &[String]) {
    let mut buffer = vec![0; 8192];
    for at in (0..frozen.size()).step_by(8192) {
        if frozen.read_before(at, &mut buffer).unwrap() {
            let from = session.content.len().min(at as usize);
            let mut then = session.content[from..].to_vec();
            then.resize(8192, 0);
            assert!(buffer == then, "before, at {at}: {log:#?}");
        }
    }
}

#[test]
fn whatever_becomes_of_a_volume_every_changed_byte_is_found() {
    let rounds = std::env::var("NACRE_ROUNDS").ok();
    let rounds = rounds
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(1_u64)
        .saturating_mul(ROUNDS);
    let seed = std::env::var("NACRE_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64
    });
    println!("NACRE_SEED={seed}");
    on_both(
        "whatever_becomes_of_a_volume_every_changed_byte_is_found",
        |desk| {
            let mut dice = Dice(seed);
            write(&desk.image("v.img"), 0..700, 0);
            let mut session = Session {
                identity: desk.session("v.img"),
                content: fs::read(desk.path("v.img")).unwrap(),
                unbroken: true,
            };
            for round in 0..rounds {
                let mut log = vec![format!("NACRE_SEED={seed}, round {round}")];
                for _ in 0..=dice.roll(8) {
                    log.push(step(desk, &mut dice, &mut session));
                }
                let wanted = fs::read(desk.path("v.img")).unwrap();
                let mut frozen = desk.freeze("v.img");
                assert!(content(frozen.as_ref()) == wanted, "{log:#?}");
                check(frozen.as_ref(), &session, &log);
                // Some runs are interrupted.
                if dice.roll(4) > 0 {
                    frozen.committed().unwrap();
                    session = Session {
                        identity: frozen.identity(),
                        content: wanted,
                        unbroken: true,
                    };
                    drop(frozen);
                    assert_eq!(desk.snapshots().len(), 1, "{log:#?}");
                }
            }
        },
    );
}
