//! `arch-check` as a user sees it: a history of an archive that is damaged and mended, told by the program and compared with a golden file.
//! `SNAPSHOTS=overwrite` writes the file anew: read the difference.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nacre_tests::desk::{Desk, end};
use nacre_tests::lab_image::Random;
use snapbox::assert::DEFAULT_ACTION_ENV;
use snapbox::{Assert, Data};

const CHUNK: usize = 128 << 10;

/// All that a user typed and saw.
struct Story {
    desk: Desk,
    told: String,
}

impl Story {
    /// An archive with two volumes and two sessions of the first.
    fn begin() -> Self {
        let story = Self {
            desk: Desk::new(),
            told: String::new(),
        };
        let desk = &story.desk;
        desk.done(&["arch-init"]);
        story.write("vol.img", 0, &noise(1, 12 * CHUNK));
        desk.done(&["send", "--threads=1", &desk.import("vol", "vol.img")]);
        story.write("vol.img", 5 * CHUNK, &noise(2, 2 * CHUNK));
        desk.done(&["send", "--threads=1", &desk.import("vol", "vol.img")]);
        story.write("other.img", 0, &noise(3, 3 * CHUNK));
        desk.done(&["send", "--threads=1", &desk.import("other", "other.img")]);
        story
    }

    fn write(&self, name: &str, offset: usize, bytes: &[u8]) {
        let mut options = fs::File::options();
        options.create(true).truncate(false).write(true);
        let file = options.open(self.desk.path(name)).unwrap();
        file.write_all_at(bytes, offset as u64).unwrap();
    }

    /// Writes what is done outside of the program.
    fn say(&mut self, text: &str) {
        writeln!(self.told, "# {text}\n").unwrap();
    }

    /// Runs a command and writes down what it said.
    fn run(&mut self, arguments: &[&str]) {
        let ended = end(self.desk.nacre(arguments).env("TZ", "UTC"));
        let command = self.without_chance(&arguments.join(" "));
        writeln!(self.told, "$ nacre {command}\nexit {}", ended.code).unwrap();
        for (name, text) in [("stdout", &ended.out), ("stderr", &ended.err)] {
            if !text.is_empty() {
                let text = self.without_chance(text);
                writeln!(self.told, "--- {name}").unwrap();
                for line in text.lines().filter(|line| !is_of_the_store(line)) {
                    writeln!(self.told, "{}", without_pace(line)).unwrap();
                }
            }
        }
        self.told.push('\n');
    }

    /// Times, names of packs and folders differ from run to run.
    fn without_chance(&self, text: &str) -> String {
        let text = text.replace(self.desk.path("").to_str().unwrap(), "/");
        let hex = |word: &str, length: usize| {
            word.len() == length && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let is_time = |word: &str| {
            let parts = word.split_once('-');
            parts.is_some_and(|(day, time)| hex(day, 8) && hex(time, 6))
        };
        let mut plain = String::new();
        let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
        for piece in text.split_inclusive(ends) {
            let word = piece.trim_end_matches(ends);
            let end = &piece[word.len()..];
            if hex(word, 32) {
                plain.push_str("NAME");
            } else if hex(word, 2) && plain.ends_with("pack/") {
                plain.push_str("XX");
            } else if is_time(word) {
                plain.push_str("YYYYMMDD-HHMMSS");
            } else {
                plain.push_str(word);
            }
            plain.push_str(end);
        }
        plain
    }

    /// The packs, the largest first.
    fn packs(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in fs::read_dir(self.desk.path("store/archive/pack")).unwrap() {
            let files = fs::read_dir(folder.unwrap().path()).unwrap();
            found.extend(files.map(|file| file.unwrap().path()));
        }
        found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
        found
    }

    fn end(self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upkeep/golden");
        Assert::new()
            .action_env(DEFAULT_ACTION_ENV)
            .eq(self.told, Data::read_from(&folder.join(name), None).raw());
    }
}

/// What is freed, and how, differs from file system to file system.
fn is_of_the_store(line: &str) -> bool {
    line.contains("as the store says") || line.starts_with("the store copied")
}

/// How fast it was differs from run to run.
fn without_pace(line: &str) -> &str {
    let pace = |(before, pace): (_, &str)| (pace == "-" || pace.ends_with("/s")).then_some(before);
    line.rsplit_once(", ").and_then(pace).unwrap_or(line)
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Random::new(seed, "story").fill(&mut bytes);
    bytes
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_archive_is_checked_and_repaired() {
    let mut story = Story::begin();
    story.run(&["arch-check"]);
    story.run(&["arch-check", "--data=50%"]);
    story.run(&["arch-check", "--data=50%", "--json"]);
    story.run(&["arch-check", "--data"]);
    story.say("A bit is flipped in the third chunk of vol, which both of its sessions have.");
    let packs = story.packs();
    flip(&packs[0], 2 * CHUNK + 1000);
    story.run(&["arch-check"]);
    story.run(&["arch-check", "--data"]);
    story.say("The data of other is lost.");
    fs::remove_file(&packs[1]).unwrap();
    story.run(&["arch-check", "--repair", "--data", "--dry-run"]);
    story.run(&["arch-check", "--repair", "--data"]);
    story.run(&["arch-check", "--data"]);
    story.run(&["arch-check", "--repair", "--data"]);
    story.say("vol.img still has what was lost of vol.");
    let import = story.desk.import("vol", "vol.img");
    story.run(&["arch-check", "--repair", "--data", &import]);
    story.run(&["arch-check", "--data", "vol"]);
    story.run(&["verify", "--all", "--quiet"]);
    story.end("check_and_repair.txt");
}

#[test]
fn what_interrupted_runs_left_is_cleaned_up() {
    let mut story = Story::begin();
    story.say("A pack that no session needs lies in the store.");
    let packs = story.packs();
    let folder = story.desk.path("store/archive/pack/ab");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(&packs[0], folder.join(format!("ab{}", "07".repeat(15)))).unwrap();
    story.run(&["arch-check"]);
    story.run(&["arch-check", "--clean", "--dry-run"]);
    story.run(&["arch-check", "--clean"]);
    story.run(&["arch-check", "--clean"]);
    story.run(&["arch-check"]);
    story.end("clean.txt");
}

/// When the newest session of a volume was verified, as `list --json` says; `None` if it never was.
fn verified(desk: &Desk, volume: &str) -> Vec<Option<String>> {
    let listed = desk.done(&["list", volume, "--json"]);
    let time = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["verified"].as_str().map(str::to_owned)
    };
    listed.lines().map(time).collect()
}

#[test]
fn when_a_session_was_verified_whole_is_remembered() {
    let story = Story::begin();
    let desk = &story.desk;
    assert_eq!(verified(desk, "vol"), [None, None]);
    desk.done(&["verify", "vol"]);
    let times = verified(desk, "vol");
    assert!(times[0].is_none() && times[1].is_some(), "{times:?}");
    let shown = desk.done(&["list", "vol", "--verbose"]);
    assert!(
        shown.contains("VERIFIED") && shown.contains(times[1].as_ref().unwrap()),
        "{shown}"
    );
    assert!(!desk.done(&["list", "vol"]).contains("VERIFIED"));

    // A part of the data says nothing of a whole session, and a check of all of it says it of all.
    desk.done(&["arch-check", "--data=50%"]);
    assert_eq!(verified(desk, "other"), [None]);
    desk.done(&["arch-check", "--data"]);
    assert!(verified(desk, "vol").iter().all(Option::is_some));
    assert!(verified(desk, "other").iter().all(Option::is_some));

    // What is found damaged is not verified any more, by whichever command; the rest still is.
    let packs = story.packs();
    flip(&packs[0], 2 * CHUNK + 1000);
    assert_eq!(desk.run(&["verify", "vol"]).code, 4);
    let times = verified(desk, "vol");
    assert!(times[0].is_some() && times[1].is_none(), "{times:?}");
    fs::remove_file(&packs[0]).unwrap();
    assert_eq!(desk.run(&["arch-check"]).code, 4);
    assert_eq!(verified(desk, "vol"), [None, None]);
    assert!(verified(desk, "other").iter().all(Option::is_some));

    // Nor is what a repair has put in its place, until it is read.
    assert_eq!(desk.run(&["arch-check", "--repair"]).code, 4);
    assert_eq!(verified(desk, "vol"), [None, None]);
}
