//! A store without room: what `send --autoprune=on` makes of it.

use std::fs;
use std::process::Command;

use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::lab_image::Random;
use nacre_tests::mounts::{FileSystem, Mounted};
use nacre_tests::skip;

const MIB: usize = 1 << 20;

struct Place {
    desk: Desk,
    disk: Mounted,
}

impl Place {
    fn command(&self, zone: &str, arguments: &[&str]) -> Command {
        let archive = self.disk.path().join("archive");
        let mut command = self.desk.nacre_at(archive.to_str().unwrap(), arguments);
        command.env("TZ", zone);
        command
    }

    fn run(&self, zone: &str, arguments: &[&str]) -> Ended {
        end(&mut self.command(zone, arguments))
    }

    fn done(&self, zone: &str, arguments: &[&str]) -> Ended {
        let ended = self.run(zone, arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended
    }

    /// An image of which nothing is like the one before it.
    fn image(&self, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; 20 * MIB];
        Random::new(seed, "full").fill(&mut bytes);
        fs::write(self.desk.path("image"), &bytes).unwrap();
        bytes
    }

    /// Leaves so many bytes on the store's disk.
    fn fill(&self, left: u64) {
        let there = rustix::fs::statvfs(self.disk.path()).unwrap();
        let free = there.f_bavail * there.f_frsize;
        let filler = vec![0x55; usize::try_from(free.saturating_sub(left)).unwrap()];
        fs::write(self.disk.path().join("filler"), filler).unwrap();
    }
}

#[test]
fn a_send_to_a_full_store_fails_whole_and_with_autoprune_makes_its_room() {
    let test = "a_send_to_a_full_store_fails_whole_and_with_autoprune_makes_its_room";
    let disk = match Mounted::new(FileSystem::Tmpfs, 72) {
        Ok(disk) => disk,
        Err(why) => skip!(test, "{why}"),
    };
    let desk = Desk::new();
    let place = Place { desk, disk };
    // Days by the clock on the wall: one is the evening of one day, the other the morning after the next.
    let (yesterday, today) = ("AAA12", "BBB-14");
    place.done(yesterday, &["arch-init"]);
    let import = place.desk.import("v", "image");
    let send = ["send", import.as_str()];
    for seed in 0..3 {
        place.image(seed);
        place.done(yesterday, &send);
    }
    let newest = place.image(3);
    place.fill(512 << 10);
    let ended = place.run(today, &send);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("Make room in the store"), "{ended:?}");
    // Nothing that was there is harmed, and nothing half done is shown.
    place.done(today, &["verify", "v"]);
    let pruning = [&send[..], &["--autoprune=on", "--apdays=0:0:1:1"]].concat();
    let ended = place.done(today, &pruning);
    assert!(ended.err.contains("forgot 2 old sessions"), "{ended:?}");
    let to = place.desk.path("came");
    place.done(
        today,
        &["receive", "v", &format!("--save-to={}", to.display())],
    );
    assert!(fs::read(to).unwrap() == newest);
    place.done(today, &["arch-check", "--data"]);
}
