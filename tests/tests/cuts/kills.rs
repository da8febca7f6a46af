//! SIGKILL at random instants, for the commands that change something: `nacre` itself, its helper, or what that has started.

use std::fs;
use std::process::Command;
use std::time::Instant;

use nacre_tests::desk::{Desk, end};
use nacre_tests::lab_image::Random;
use nacre_tests::skip;
use nacre_tests::sshd::{Offers, Sshd};

use super::processes::{Cut, Habits, kill_at_random};
use super::{
    CHUNK, assert_calm, changed, desk_with_archive, go_by_ssh, look_directly, receive, rounds,
    sessions,
};

/// Chunks of each of the two images.
const CHUNKS: usize = 16;

/// What is interrupted.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Send,
    Prune,
    Rename,
    KeyAdd,
    KeyRemove,
    Rotate,
    Repair,
    Clean,
}

/// Every second one sends.
const VERBS: [Verb; 14] = [
    Verb::Send,
    Verb::Send,
    Verb::Send,
    Verb::Send,
    Verb::Send,
    Verb::Send,
    Verb::Send,
    Verb::Prune,
    Verb::Rename,
    Verb::KeyAdd,
    Verb::KeyRemove,
    Verb::Rotate,
    Verb::Repair,
    Verb::Clean,
];

/// An archive under fire, and what must be in it.
struct Range {
    desk: Desk,
    random: Random,
    habits: Habits,
    /// Newest content of both volumes.
    now: [Vec<u8>; 2],
    /// Tags of whole sessions that must be there, with the content of both volumes; oldest first.
    kept: Vec<(String, [Vec<u8>; 2])>,
    /// The name of the first volume; the other is `b`.
    name: &'static str,
    /// Commands that were hit, and all.
    hits: (u64, u64),
    /// The ssh host on which the archive lies, if it is to be reached so. It is this machine: what is only looked at is looked at directly.
    host: Option<Sshd>,
}

impl Range {
    fn new(seed: u64, host: Option<Sshd>) -> Self {
        Self {
            desk: desk_with_archive(),
            random: Random::new(seed, "kills"),
            habits: Habits::default(),
            now: [Vec::new(), Vec::new()],
            kept: Vec::new(),
            name: "a",
            hits: (0, 0),
            host,
        }
    }

    /// The next commands go by ssh, if there is a host.
    fn go_far(&self) {
        if let Some(server) = &self.host {
            go_by_ssh(&self.desk, server, &[], &self.desk.path("store/archive"));
        }
    }

    /// The next commands look at the folder.
    fn stay_near(&self) {
        if self.host.is_some() {
            look_directly(&self.desk, &self.desk.path("store/archive"));
        }
    }

    fn round(&mut self, number: u64) {
        let verb = if self.kept.is_empty() {
            Verb::Send
        } else {
            self.random.pick(&VERBS)
        };
        let arguments = self.prepare(verb, number);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        println!("round {number}: {}", arguments.join(" "));
        let mut command = self.desk.nacre(&arguments);
        self.go_far();
        self.hits.1 += 1;
        let name = format!("{verb:?}");
        let cut = kill_at_random(
            &mut self.random,
            &mut self.habits,
            &name,
            &mut command,
            self.host.as_ref().map(Sshd::process),
        );
        self.stay_near();
        let done = match cut {
            Cut::Done => true,
            Cut::Killed => {
                self.hits.0 += 1;
                println!("  killed");
                false
            }
            Cut::Bereaved(ended) => {
                self.hits.0 += 1;
                println!("  its helper was killed: {}", ended.err.trim());
                assert_calm(&ended, &[1, 3]);
                false
            }
        };
        self.check(verb);
        if !done {
            self.repeat(verb, &arguments);
        }
        self.apply(verb, number);
        self.check(verb);
        let (tag, newest) = self.kept.last().unwrap();
        for (volume, content) in [self.name, "b"].into_iter().zip(newest) {
            assert!(receive(&self.desk, volume, tag) == *content, "{volume}");
        }
    }

    /// What to run, with everything in its place for it.
    fn prepare(&mut self, verb: Verb, number: u64) -> Vec<String> {
        let text = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        match verb {
            Verb::Send => {
                for (content, image) in self.now.iter_mut().zip(["a.img", "b.img"]) {
                    *content = changed(&mut self.random, content, CHUNKS);
                    // So that no two rounds are the same.
                    content[..8].copy_from_slice(&number.to_le_bytes());
                    fs::write(self.desk.path(image), &content).unwrap();
                }
                let imports = [
                    self.desk.import(self.name, "a.img"),
                    self.desk.import("b", "b.img"),
                ];
                text(&[
                    "send",
                    &imports[0],
                    &imports[1],
                    &format!("--tag=t{number}"),
                ])
            }
            Verb::Prune => text(&["prune", "--all", "--keep-last=2", "--force"]),
            Verb::Rename => text(&["rename", self.name, self.other_name()]),
            Verb::KeyAdd | Verb::KeyRemove => {
                let file = self.desk.path("second-key");
                let add = [
                    "key".to_owned(),
                    "add".to_owned(),
                    format!("--new-key-file={}", file.display()),
                    "--label=second".to_owned(),
                ];
                let there = self.has_second_key();
                if matches!(verb, Verb::KeyAdd) {
                    if there {
                        self.desk.done(&["key", "remove", "second", "--force"]);
                    }
                    return add.to_vec();
                }
                if !there {
                    let add: Vec<&str> = add.iter().map(String::as_str).collect();
                    self.desk.done(&add);
                }
                text(&["key", "remove", "second", "--force"])
            }
            Verb::Rotate => {
                let mut words: Vec<String> = text(&["key", "rotate-master"]);
                if self.has_second_key() {
                    let file = self.desk.path("second-key");
                    words.push(format!("--keep-key-file={}", file.display()));
                }
                words
            }
            Verb::Repair => {
                // One copy of the header is gone.
                let headers = super::sizes(&self.desk.path("store/archive/header"));
                fs::remove_file(headers.keys().next_back().unwrap()).unwrap();
                text(&["arch-check", "--repair"])
            }
            Verb::Clean => text(&["arch-check", "--clean"]),
        }
    }

    fn other_name(&self) -> &'static str {
        if self.name == "a" { "renamed" } else { "a" }
    }

    fn has_second_key(&self) -> bool {
        self.desk.done(&["key", "list"]).contains("second")
    }

    /// The archive is whole, and holds all that it held before, whether the command that was cut short took effect or not.
    fn check(&mut self, verb: Verb) {
        self.desk.done(&["list"]);
        self.desk.done(&["verify", "--all"]);
        if matches!(verb, Verb::Rename) && sessions(&self.desk, self.name).is_empty() {
            self.name = self.other_name();
        }
        let must = match verb {
            Verb::Prune => self.kept.len().saturating_sub(2)..self.kept.len(),
            _ => 0..self.kept.len(),
        };
        let tags = sessions(&self.desk, self.name);
        for (tag, _) in &self.kept[must.clone()] {
            let quoted = format!("\"{tag}\"");
            let there = tags.values().filter(|tags| tags.contains(&quoted));
            assert_eq!(there.count(), 1, "{tag} in {tags:?}");
        }
        if must.is_empty() {
            return;
        }
        let one = must.start + self.random.index(must.len());
        let (tag, contents) = &self.kept[one];
        for (volume, content) in [self.name, "b"].into_iter().zip(contents) {
            assert!(
                receive(&self.desk, volume, tag) == *content,
                "{tag} of {volume}"
            );
        }
    }

    /// The command is given again. What a killed one had done already is not done twice.
    fn repeat(&mut self, verb: Verb, arguments: &[&str]) {
        let effect = match verb {
            Verb::Rename => self.name == arguments[2],
            Verb::KeyAdd => self.has_second_key(),
            Verb::KeyRemove => !self.has_second_key(),
            _ => false,
        };
        if !effect {
            self.go_far();
            let begun = Instant::now();
            self.desk.done(arguments);
            self.habits.learn(&format!("{verb:?}"), begun.elapsed());
            self.stay_near();
        }
    }

    /// What the archive must hold now.
    fn apply(&mut self, verb: Verb, number: u64) {
        match verb {
            Verb::Send => self.kept.push((format!("t{number}"), self.now.clone())),
            Verb::Prune => drop(self.kept.drain(..self.kept.len().saturating_sub(2))),
            Verb::KeyAdd => {
                let file = self.desk.path("second-key");
                let mut with = self.desk.nacre(&["list"]);
                with.arg(format!("--key-file={}", file.display()));
                let list = end(&mut only_key(&with, &file));
                assert_eq!(list.code, 0, "{list:?}");
            }
            Verb::KeyRemove => assert!(!self.has_second_key()),
            Verb::Repair => {
                let said = self.desk.done(&["arch-check", "--data"]);
                assert!(!said.contains("copy of the header"), "{said}");
            }
            _ => {}
        }
        let size = CHUNKS * CHUNK + 77;
        assert!(self.now.iter().all(|content| content.len() == size));
    }
}

/// The command with that key file instead of its own.
fn only_key(command: &Command, file: &std::path::Path) -> Command {
    let mut other = Command::new(command.get_program());
    let own = |argument: &&std::ffi::OsStr| !argument.to_string_lossy().starts_with("--key-file=");
    other.args(command.get_args().filter(own));
    other.arg(format!("--key-file={}", file.display()));
    other
}

/// Rounds side by side.
const LANES: u64 = 4;

#[test]
fn killed_commands_lose_nothing_and_can_be_repeated() {
    kill((0..LANES).map(|_| None).collect());
}

#[test]
fn commands_killed_over_ssh_lose_nothing_and_can_be_repeated() {
    let hosts: Result<Vec<_>, _> = (0..LANES).map(|_| Sshd::start(Offers::Helper)).collect();
    match hosts {
        Ok(hosts) => kill(hosts.into_iter().map(Some).collect()),
        Err(why) => skip!(
            "commands_killed_over_ssh_lose_nothing_and_can_be_repeated",
            "{why}"
        ),
    }
}

/// 40 rounds, each host with its share.
fn kill(hosts: Vec<Option<Sshd>>) {
    let each = rounds(40) / LANES;
    let base: u64 = std::env::var("NACRE_SEED").map_or(1, |text| text.parse().unwrap());
    let lanes: Vec<_> = (0..)
        .zip(hosts)
        .map(|(lane, host)| {
            std::thread::spawn(move || {
                let seed = base * 1000 + lane;
                println!("seed {seed}");
                let mut range = Range::new(seed, host);
                (0..each).for_each(|number| range.round(number));
                range.hits
            })
        })
        .collect();
    let hits: Vec<_> = lanes.into_iter().map(|lane| lane.join().unwrap()).collect();
    let (hit, all) = hits
        .iter()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{hit} of {all} commands were hit");
    assert!(hit * 3 >= all, "only {hit} of {all} were hit");
}
