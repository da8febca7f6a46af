//! Everything at random through the program: every session reads back, in every way of receiving.

use std::fs;

use nacre_tests::lab_image::Random;
use nacre_tests::mounts::FileSystem;
use rustix::fs::FallocateFlags;

use super::{Bench, CHUNK, noise};

const VOLUME: &str = "vol.img";

struct Round<'a> {
    bench: &'a Bench,
    random: &'a mut Random,
    kept: Vec<(String, Vec<u8>)>,
}

impl Round<'_> {
    fn size(&self) -> usize {
        usize::try_from(fs::metadata(self.bench.file(VOLUME)).unwrap().len()).unwrap()
    }

    fn change(&mut self) {
        let size = self.size();
        let at = self.random.index(size.max(1));
        let length = self.random.pick(&[1, 512, 4096, 20_000, CHUNK, 3 * CHUNK]);
        let inside = length.min(size - at.min(size));
        let file = fs::File::options()
            .write(true)
            .open(self.bench.file(VOLUME))
            .unwrap();
        match self.random.below(6) {
            0 => {
                let size = self.random.index(40 * CHUNK);
                file.set_len(size as u64).unwrap();
            }
            1 if inside > 0 => {
                let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&file, punch, at as u64, inside as u64).unwrap();
            }
            _ => {
                let bytes = noise(self.random.bits(), inside);
                self.bench.write(VOLUME, at, &bytes);
            }
        }
    }

    fn disturb(&mut self) {
        let snapshots = self.bench.snapshots();
        match self.random.below(8) {
            0..3 => assert_eq!(self.bench.monitor(&[]).code, 0),
            3 => {
                if let Some(one) = snapshots.first() {
                    fs::remove_file(one).unwrap();
                }
            }
            4 => {
                if let Some(one) = snapshots.first() {
                    use std::os::unix::fs::{FileExt, PermissionsExt};
                    fs::set_permissions(one, fs::Permissions::from_mode(0o600)).unwrap();
                    let file = fs::File::options().write(true).open(one).unwrap();
                    file.write_all_at(&[0xee; 10], 5000).unwrap();
                }
            }
            _ => {}
        }
    }

    fn send(&mut self) {
        let ended = self.bench.done(&["send", VOLUME, "--send-unchanged"]);
        let now = fs::read(self.bench.file(VOLUME)).unwrap();
        let sessions = self.bench.sessions(VOLUME);
        assert_eq!(sessions.len(), self.kept.len() + 1, "{ended:?}");
        self.kept.push((sessions.last().unwrap().clone(), now));
    }

    fn receive(&mut self) {
        let at = self.random.index(self.kept.len());
        let (name, content) = &self.kept[at];
        let session = format!("--session={name}");
        let way = self.random.pick(&[
            "--use-snapshot",
            "--use-snapshot-diff",
            "--sparse",
            "--sparse-write",
            "--force",
        ]);
        let ended = self.bench.done(&["receive", VOLUME, &session, way]);
        let now = fs::read(self.bench.file(VOLUME)).unwrap();
        assert!(now == *content, "{way} {session}: {ended:?}");
    }
}

#[test]
fn whatever_happens_every_session_reads_back() {
    let rounds: u64 = std::env::var("NACRE_ROUNDS").map_or(10, |n| n.parse().unwrap());
    for kind in [FileSystem::Btrfs, FileSystem::Xfs] {
        let bench = match Bench::new(kind) {
            Ok(bench) => bench,
            Err(why) => {
                nacre_tests::skip("whatever_happens_every_session_reads_back", &why);
                continue;
            }
        };
        let seed = std::env::var("NACRE_SEED").map_or(rounds + 1, |n| n.parse().unwrap());
        println!("{kind:?}: NACRE_SEED={seed}");
        bench.write(VOLUME, 0, &noise(seed, 20 * CHUNK));
        let mut random = Random::new(seed, "storage");
        let mut round = Round {
            bench: &bench,
            random: &mut random,
            kept: Vec::new(),
        };
        for _ in 0..rounds {
            for _ in 0..round.random.below(5) {
                round.change();
            }
            round.disturb();
            for _ in 0..round.random.below(3) {
                round.change();
            }
            round.send();
            if round.random.below(3) == 0 {
                round.receive();
            }
        }
        for (name, content) in &round.kept {
            assert!(bench.fetched(VOLUME, name) == *content, "{name}");
        }
    }
}
