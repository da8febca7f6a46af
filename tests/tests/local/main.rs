//! The program on real local storage that makes snapshots: Btrfs and XFS, on loop devices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod emergency;
mod heal;
mod roundtrip;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nacre_tests::desk::{Desk, Ended};
use nacre_tests::lab_image::Random;
use nacre_tests::mounts::{FileSystem, Mounted};

/// The size of a chunk.
const CHUNK: usize = 128 << 10;

/// A desk with an archive, and a folder on a file system that clones files.
struct Bench {
    desk: Desk,
    mounted: Mounted,
}

impl Bench {
    fn new(kind: FileSystem) -> Result<Self, String> {
        let mounted = Mounted::new(kind, 400)?;
        let desk = Desk::new();
        desk.done(&["arch-init"]);
        fs::create_dir_all(mounted.path().join("pool/appvms/mail")).unwrap();
        Ok(Self { desk, mounted })
    }

    fn pool(&self) -> PathBuf {
        self.mounted.path().join("pool")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.pool().join(name)
    }

    /// Writes into an image, which is made if it is not there.
    fn write(&self, name: &str, offset: usize, bytes: &[u8]) {
        let file = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.file(name))
            .unwrap();
        file.write_all_at(bytes, offset as u64).unwrap();
    }

    fn local(&self) -> String {
        format!("--local={}", self.pool().display())
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let local = self.local();
        self.desk.run(&[arguments, &[&local]].concat())
    }

    fn done(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended
    }

    fn monitor(&self, arguments: &[&str]) -> Ended {
        let local = self.local();
        let all = [&["monitor"], arguments, &[&local]].concat();
        self.desk.run_without_key(&all)
    }

    /// Names of the sessions of a volume, oldest first.
    fn sessions(&self, volume: &str) -> Vec<String> {
        let listed = self.desk.done(&["list", volume, "--json"]);
        let name = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["session"].as_str().unwrap().to_owned()
        };
        listed.lines().map(name).collect()
    }

    /// A session of a volume, fetched into a file of its own.
    fn fetched(&self, volume: &str, session: &str) -> Vec<u8> {
        let goal = self.desk.path("fetched.img");
        let _ = fs::remove_file(&goal);
        let (to, session) = (
            format!("--save-to={}", goal.display()),
            format!("--session={session}"),
        );
        self.desk.done(&["receive", volume, &to, &session]);
        fs::read(goal).unwrap()
    }

    fn snapshots(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files(&self.pool().join(".nacre-snapshots"), &mut found);
        found
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Random::new(seed, "local").fill(&mut bytes);
    bytes
}

/// One figure of the summary of a command run with `--json`.
fn figure(ended: &Ended, name: &str) -> u64 {
    let lines = ended.out.lines().chain(ended.err.lines());
    let summary = lines
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|value| value["event"] == "summary");
    let summary = summary.unwrap_or_else(|| panic!("no summary in {ended:?}"));
    let volumes = summary["volumes"].as_array().unwrap();
    volumes
        .iter()
        .map(|v| v["counts"][name].as_u64().unwrap())
        .sum()
}
