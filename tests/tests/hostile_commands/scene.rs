//! An archive with some history, put back to its beginning for every case.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nacre_tests::desk::{Desk, Ended, copy_folder, end, ended};
use nacre_tests::helper_program;
use nacre_tests::lab_image::Random;

use crate::dom0::Dom0;

/// Seconds after which silence counts, where it is waited for, and idling.
const SILENCE: &str = "1";
const IDLING: &str = "3";
/// No command takes longer, whatever is done to it; how much longer than the deadlines is a matter of how busy the machine is.
const LONGEST: Duration = Duration::from_secs(60);
/// The size of a chunk.
const CHUNK: usize = 64 << 10;

/// What the helper does.
pub struct Strike<'a> {
    pub attack: &'a str,
    pub kinds: &'a str,
    pub nth: usize,
}

/// How a command ended, and after what time.
pub struct Run {
    pub ended: Ended,
    pub took: Duration,
    /// The most memory that was seen, in MiB.
    pub memory: u64,
}

/// A desk, its archive, and copies of both ends as they were at the beginning.
pub struct Scene {
    pub desk: Desk,
    /// The content of `a` in the sessions tagged `one`, `two` and `three`.
    pub versions: [Vec<u8>; 3],
    /// Qubes, for the commands that deal with them.
    pub dom0: Option<Dom0>,
}

impl Scene {
    /// Makes one.
    pub fn new(seed: u64) -> Self {
        Self::make(seed, |_| Ok(None)).unwrap()
    }

    /// One with qubes, of which the archive has a session tagged `past`. Why not, where this machine cannot.
    pub fn with_qubes(seed: u64) -> Result<Self, String> {
        Self::make(seed, |desk| Dom0::new(desk).map(Some))
    }

    fn make(
        seed: u64,
        dom0: impl FnOnce(&Desk) -> Result<Option<Dom0>, String>,
    ) -> Result<Self, String> {
        let mut random = Random::new(seed, "scene");
        let desk = Desk::new();
        desk.done(&["arch-init", "--chunk-factor=1"]);
        let mut content = noise(&mut random, 6);
        let mut versions = Vec::new();
        for tag in ["one", "two", "three"] {
            random.fill(&mut content[2 * CHUNK..3 * CHUNK]);
            fs::write(desk.path("a.img"), &content).unwrap();
            fs::write(desk.path("twin.img"), &content).unwrap();
            fs::write(desk.path("b.img"), noise(&mut random, 2)).unwrap();
            let tag = format!("--tag={tag}");
            let [a, b, twin] =
                ["a", "b", "twin"].map(|name| desk.import(name, &format!("{name}.img")));
            desk.done(&["send", &a, &b, &twin, &tag, "--dedup-domain=both"]);
            versions.push(content.clone());
            if tag.ends_with("two") {
                copy_folder(
                    &desk.path("store/archive"),
                    &desk.path("store/archive-older"),
                );
            }
        }
        assert_eq!(
            end(&mut desk.nacre_at("archive-foreign", &["arch-init"])).code,
            0
        );
        let second = format!("--new-key-file={}", desk.path("second").display());
        desk.done(&["key", "add", &second, "--label=second"]);
        random.fill(&mut content[..CHUNK]);
        fs::write(desk.path("next.img"), &content).unwrap();
        let scene = Self {
            dom0: dom0(&desk)?,
            desk,
            versions: versions.try_into().unwrap(),
        };
        for part in ["store", "state"] {
            copy_folder(&scene.desk.path(part), &scene.saved(part));
        }
        Ok(scene)
    }

    fn saved(&self, part: &str) -> PathBuf {
        self.desk.path("saved").join(part)
    }

    /// Everything is as it was at the beginning.
    pub fn reset(&self) {
        for part in ["store", "state"] {
            fs::remove_dir_all(self.desk.path(part)).unwrap();
            copy_folder(&self.saved(part), &self.desk.path(part));
        }
        for file in ["out.img", "third", "struck", "requests"] {
            let _ = fs::remove_file(self.desk.path(file));
        }
        if let Some(dom0) = &self.dom0 {
            dom0.reset();
        }
        self.disarm();
    }

    /// The helper is the real one.
    pub fn disarm(&self) {
        self.desk.put_helper(&helper_program());
    }

    /// The helper strikes.
    pub fn arm(&self, strike: &Strike<'_>) {
        let helper = helper_program();
        let Strike { attack, kinds, nth } = strike;
        let plan = format!("{attack}\n{kinds}\n{nth}\n{}\n", helper.display());
        fs::write(self.desk.path("strike"), plan).unwrap();
        self.desk
            .put_helper(&helper.with_file_name("nacre-hostile-helper"));
    }

    /// What was struck, if it came to that.
    pub fn struck(&self) -> Option<String> {
        let text = fs::read_to_string(self.desk.path("struck")).ok()?;
        Some(text.trim().to_owned())
    }

    /// The kinds of all requests.
    pub fn requests(&self) -> Vec<String> {
        let text = fs::read_to_string(self.desk.path("requests")).unwrap_or_default();
        let kind = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        text.lines().map(kind).collect()
    }

    /// Runs a command; `impatient`: silence is noticed at once, or nearly.
    pub fn run(&self, arguments: &[String], impatient: bool) -> Run {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = self.desk.nacre(&arguments);
        if impatient {
            command.env("NACRE_SILENCE", SILENCE);
            command.env("NACRE_IDLING", IDLING);
        }
        let Some(dom0) = &self.dom0 else {
            return run_for(&mut command, LONGEST);
        };
        dom0.reach(&mut command);
        let end = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| dom0.stop_what_starts(&end));
            let run = run_for(&mut command, LONGEST);
            end.store(true, Ordering::Relaxed);
            run
        })
    }

    /// The same for one that nobody disturbs, in a few words.
    pub fn quiet(&self, arguments: &[&str]) -> Ended {
        self.desk.run(arguments)
    }

    /// A volume of the session with that tag, as it comes back.
    pub fn receive(&self, volume: &str, session: &str) -> Result<Vec<u8>, Ended> {
        let goal = self.desk.path("checked.img");
        let _ = fs::remove_file(&goal);
        let to = format!("--save-to={}", goal.display());
        let session = format!("--session={session}");
        let ended = self.quiet(&["receive", volume, &to, &session]);
        if ended.code == 0 {
            Ok(fs::read(goal).unwrap())
        } else {
            Err(ended)
        }
    }

    /// Every object of the store, and its size.
    pub fn objects(&self) -> BTreeMap<PathBuf, u64> {
        let mut found = BTreeMap::new();
        sizes(&self.desk.path("store"), &mut found);
        found
    }
}

fn noise(random: &mut Random, chunks: usize) -> Vec<u8> {
    let mut content = vec![0; chunks * CHUNK + 77];
    random.fill(&mut content);
    content
}

/// Kills it where it does not end by itself: its exit code is then 137.
fn run_for(command: &mut Command, longest: Duration) -> Run {
    let begun = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let (done, wait) = channel::<()>();
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while wait.recv_timeout(Duration::from_millis(30)) == Err(RecvTimeoutError::Timeout) {
            most = memory(pid).unwrap_or(0).max(most);
            if begun.elapsed() > longest {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        most
    });
    let output = child.wait_with_output().unwrap();
    let took = begun.elapsed();
    drop(done);
    Run {
        ended: ended(&output),
        took,
        memory: watcher.join().unwrap(),
    }
}

/// The most memory that the process has had so far, in MiB.
fn memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

fn sizes(folder: &Path, found: &mut BTreeMap<PathBuf, u64>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => sizes(&entry.path(), found),
            Ok(meta) => drop(found.insert(entry.path(), meta.len())),
            Err(_) => {}
        }
    }
}
