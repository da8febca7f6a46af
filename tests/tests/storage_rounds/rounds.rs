//! What happens, and what is known of the archives.

use std::collections::HashMap;
use std::process::Command;
use std::rc::Rc;

use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::lab_image::Random;

use crate::crash::Killer;
use crate::place::Place;

/// The size of a chunk.
pub const CHUNK: usize = 128 << 10;

/// No volume becomes larger.
const LARGEST: usize = 24 * CHUNK;

/// Two archives take turns.
pub const ARCHIVES: [&str; 2] = ["first", "second"];

/// A session of one volume, and the copy kept aside.
#[derive(Clone)]
pub struct Kept {
    pub volume: &'static str,
    pub session: String,
    pub content: Rc<Vec<u8>>,
}

/// What came of it all.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: usize,
    pub by_changes_alone: usize,
    pub received: usize,
    pub killed: usize,
    pub killed_after_commit: usize,
    pub compared: usize,
    pub forgotten: usize,
    pub deleted: usize,
    pub renamed: usize,
    pub sessions: usize,
}

pub struct Rounds<'a> {
    pub place: &'a dyn Place,
    pub desk: Desk,
    pub random: Random,
    pub kept: [Vec<Kept>; 2],
    pub killer: Killer,
    pub tally: Tally,
    /// The unfinished session of a volume that was seen last, by archive: its name and what it held.
    pub parts: [HashMap<&'static str, (String, Vec<u8>)>; 2],
    /// A snapshot whose name was taken away, and what it is called meanwhile.
    aside: Option<(String, String)>,
}

impl<'a> Rounds<'a> {
    pub fn new(place: &'a dyn Place, seed: u64) -> Self {
        let rounds = Self {
            place,
            desk: place.desk(),
            random: Random::new(seed, "storage"),
            kept: [Vec::new(), Vec::new()],
            killer: Killer::new(),
            tally: Tally::default(),
            parts: Default::default(),
            aside: None,
        };
        for archive in ARCHIVES {
            let made = end(&mut rounds.desk.nacre_at(archive, &["arch-init"]));
            assert_eq!(made.code, 0, "{made:?}");
        }
        rounds
    }

    /// The given number of rounds, and then everything is compared.
    pub fn live(mut self, rounds: u64) -> Tally {
        for volume in self.place.volumes() {
            self.place.resize(volume, 10 * CHUNK as u64);
            let bytes = self.noise(5 * CHUNK);
            self.place.write(volume, CHUNK as u64, &bytes);
        }
        for round in 0..rounds {
            println!("round {round}");
            let archive = usize::from(round % 2 == 1);
            self.changes(5);
            self.keep_house(archive);
            self.disturb(archive);
            self.changes(3);
            self.send(archive);
            if self.random.below(2) == 0 {
                self.receive();
            }
        }
        self.settle();
        for archive in [0, 1] {
            self.read_back(archive, |_| true);
        }
        self.tally
    }

    /// The program for one of the archives and this storage.
    pub fn nacre(&self, archive: usize, arguments: &[&str]) -> Command {
        let local = format!("--local={}", self.place.local());
        self.desk
            .nacre_at(ARCHIVES[archive], &[arguments, &[&local]].concat())
    }

    pub fn done(&self, archive: usize, arguments: &[&str]) -> Ended {
        let ended = end(&mut self.nacre(archive, arguments));
        assert_eq!(
            ended.code, 0,
            "{} {arguments:?}: {ended:?}",
            ARCHIVES[archive]
        );
        ended
    }

    pub fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.random.fill(&mut bytes);
        bytes
    }

    pub fn volume(&mut self) -> &'static str {
        self.random.pick(&self.place.volumes())
    }

    fn changes(&mut self, most: u64) {
        for _ in 0..self.random.below(most) {
            let volume = self.volume();
            self.change(volume);
        }
    }

    /// A change as a qube makes it, or its manager.
    pub fn change(&mut self, volume: &'static str) {
        let old = self.place.content(volume);
        let size = old.len();
        let at = self.random.index(size);
        let length = self.random.pick(&[1, 512, 4096, 20_000, CHUNK, 3 * CHUNK]);
        let range = at..at + length.min(size - at);
        let bytes = match self.random.below(10) {
            0 | 1 => return self.resize(volume),
            2 => {
                let range = range.start as u64 / 512 * 512..range.end as u64 / 512 * 512;
                println!("discard {range:?} of {volume}");
                if !range.is_empty() {
                    self.place.discard(volume, range);
                }
                return;
            }
            3 => vec![0; range.len()],
            // Content comes back, or is that of the other volume.
            4 => self.old_content(&range),
            _ => self.noise(range.len()),
        };
        println!("write {} bytes at {at} of {volume}", bytes.len());
        self.place.write(volume, at as u64, &bytes);
    }

    fn resize(&mut self, volume: &str) {
        let grain = self.place.grain();
        let size = self.random.below(LARGEST as u64 / grain) * grain + grain;
        println!("resize {volume} to {size}");
        self.place.resize(volume, size);
    }

    fn old_content(&mut self, range: &std::ops::Range<usize>) -> Vec<u8> {
        let all: Vec<&Kept> = self.kept.iter().flatten().collect();
        let mut bytes = vec![0; range.len()];
        if !all.is_empty() {
            let from = &all[self.random.index(all.len())].content;
            let there = from.get(range.start..).unwrap_or(&[]);
            let length = there.len().min(bytes.len());
            bytes[..length].copy_from_slice(&there[..length]);
        }
        bytes
    }

    /// What happens to snapshots between two sessions.
    fn disturb(&mut self, archive: usize) {
        let snapshots = self.place.snapshots();
        let volume = self.volume();
        let one = (!snapshots.is_empty()).then(|| pick(&mut self.random, &snapshots));
        match (self.random.below(12), one) {
            (0..4, _) => self.monitor(archive),
            (4, _) => {
                println!("replace {volume}");
                self.place.replace(volume);
            }
            (5, _) => self.compare(archive),
            (6, Some(one)) => {
                println!("lose {one}");
                self.place.lose(&one);
            }
            (7 | 8, Some(one)) if snapshots.len() > 1 => {
                let others: Vec<String> =
                    snapshots.into_iter().filter(|name| *name != one).collect();
                let other = pick(&mut self.random, &others);
                println!("swap {one} and {other}");
                self.place.swap(&one, &other);
            }
            (9, Some(one)) => {
                println!("write to {one}");
                let bytes = self.noise(1000);
                let at = self.random.below(10_000);
                self.place.scribble(&one, at, &bytes);
            }
            (10, Some(one)) => {
                println!("make {one} anew from {volume}");
                self.place.make_anew(&one, volume);
            }
            (11, Some(one)) => self.set_aside(one),
            _ => {}
        }
    }

    /// A snapshot goes out of sight, and comes back some other time, when it is an old one.
    fn set_aside(&mut self, snapshot: String) {
        if let Some((name, away)) = self.aside.take() {
            println!("an older {name} comes back");
            if self.place.snapshots().contains(&name) {
                self.place.lose(&name);
            }
            return self.place.rename(&away, &name);
        }
        let away = "set-aside".to_owned();
        println!("set {snapshot} aside");
        self.place.rename(&snapshot, &away);
        self.aside = Some((snapshot, away));
    }

    fn monitor(&mut self, archive: usize) {
        if self.kept[archive].is_empty() {
            return;
        }
        let local = format!("--local={}", self.place.local());
        let mut command = self
            .desk
            .without_key_at(ARCHIVES[archive], &["monitor", &local]);
        println!("monitor for {}", ARCHIVES[archive]);
        if self.random.below(2) == 0 && self.is_killed("monitor", &command) {
            return;
        }
        let ended = end(&mut command);
        assert_eq!(ended.code, 0, "{ended:?}");
    }

    /// Runs a command and kills it somewhere. Whether that met it; otherwise it has done everything.
    pub fn is_killed(&mut self, kind: &'static str, command: &Command) -> bool {
        let ended = self.killer.run(kind, command, &mut self.random);
        let met = ended.is_none();
        if let Some(ended) = ended {
            // A restore is repeated, and looked at then.
            assert!(ended.code == 0 || kind == "receive", "{ended:?}");
        }
        self.tally.killed += usize::from(met);
        met
    }

    /// What `diff` says of both volumes is true.
    fn compare(&mut self, archive: usize) {
        for volume in self.place.volumes() {
            let Some(newest) = self.newest(archive, volume).cloned() else {
                continue;
            };
            let quick: &[&str] = self.random.pick(&[&[], &["--quick"]]);
            println!("diff {volume} {quick:?} in {}", ARCHIVES[archive]);
            let ended = end(&mut self.nacre(archive, &[&["diff", volume], quick].concat()));
            let same = self.place.content(volume) == *newest.content;
            assert_eq!(ended.code, if same { 0 } else { 3 }, "{ended:?}");
            self.tally.compared += 1;
        }
    }

    pub fn newest(&self, archive: usize, volume: &str) -> Option<&Kept> {
        let of_it = |kept: &&Kept| kept.volume == volume;
        self.kept[archive].iter().rfind(of_it)
    }

    /// After all that, things work as on the first day: changes alone are read, one snapshot is kept for each, nothing else is left.
    fn settle(&mut self) {
        println!("at the end");
        if let Some((_, away)) = self.aside.take() {
            self.place.lose(&away);
        }
        for archive in [0, 1] {
            self.send_calmly(archive);
            self.place.write(self.place.volumes()[0], 5000, b"changed");
            let ended = self.send_calmly(archive);
            let complaint = &ended.err;
            assert!(!complaint.contains("comparing everything"), "{ended:?}");
            let volume = self.place.volumes()[archive];
            self.receive_calmly(archive, volume);
        }
        assert_eq!(self.place.snapshots().len(), 4);
        assert_eq!(self.place.left_overs(), Vec::<String>::new());
    }

    /// Sessions, each into a file.
    pub fn read_back(&mut self, archive: usize, which: impl Fn(&Kept) -> bool) {
        for kept in self.kept[archive].iter().filter(|kept| which(kept)) {
            let content = self.fetched(archive, kept.volume, &kept.session);
            let what = (ARCHIVES[archive], kept.volume, &kept.session);
            let place = first_difference(&content, &kept.content);
            assert_eq!(place, None, "{what:?} is not what was sent");
            self.tally.sessions += 1;
        }
    }

    /// A session, fetched into a file of its own.
    pub fn fetched(&self, archive: usize, volume: &str, session: &str) -> Vec<u8> {
        let goal = self.desk.path("fetched.img");
        let to = format!("--save-to={}", goal.display());
        let session = format!("--session={session}");
        let arguments = ["receive", volume, &to, &session];
        let ended = end(&mut self.desk.nacre_at(ARCHIVES[archive], &arguments));
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        let content = std::fs::read(&goal).unwrap();
        std::fs::remove_file(goal).unwrap();
        content
    }
}

/// The first offset at which two contents differ.
fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let most = one.len().max(other.len());
    (one != other).then(|| (0..most).find(|at| one.get(*at) != other.get(*at)).unwrap())
}

fn pick(random: &mut Random, names: &[String]) -> String {
    names[random.index(names.len())].clone()
}
