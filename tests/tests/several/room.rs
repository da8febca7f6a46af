//! A user's desk with an ini that names two targets.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nacre_tests::desk::{Desk, Ended, end};

pub struct Room {
    pub desk: Desk,
}

impl Room {
    /// `one` has a key of its own, `two` the one that stands for all; `ini` follows in the section for all.
    pub fn new(ini: &str) -> Self {
        let desk = Desk::new();
        let at = |name: &str| desk.path(name).display().to_string();
        let text = format!(
            "[var-global-default]\nkey-file = {}\n{ini}\n[target one]\ndest = file:{}\nkey-file = {}\n\
             [target two]\ndest = file:{}\n",
            at("key"),
            at("store/one"),
            at("key-of-one"),
            at("store/two"),
        );
        fs::write(desk.path("nacre.ini"), text).unwrap();
        fs::write(desk.path("image"), image(1)).unwrap();
        Self { desk }
    }

    /// The same with both archives made.
    pub fn made(ini: &str) -> Self {
        let room = Self::new(ini);
        for target in ["one", "two"] {
            room.done(&["arch-init", &format!("--dest={target}")]);
        }
        room
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(self.desk.path("nacre"));
        command
            .args(arguments)
            .arg(format!("--meta-dir={}", self.desk.path("state").display()))
            .arg(format!(
                "--config={}",
                self.desk.path("nacre.ini").display()
            ))
            .arg("--unattended")
            .env_remove("RUST_BACKTRACE");
        end(&mut command)
    }

    pub fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.out
    }

    pub fn send_image(&self, rest: &[&str]) -> Ended {
        let import = self.desk.import("vm", "image");
        self.run(&[&["send", import.as_str()], rest].concat())
    }

    /// What the target gives back for a volume.
    pub fn restored(&self, target: &str, volume: &str) -> Vec<u8> {
        let path = self.desk.path("restored");
        let save_to = format!("--save-to={}", path.display());
        let dest = format!("--dest={target}");
        self.done(&["receive", volume, &save_to, &dest, "--force"]);
        fs::read(path).unwrap()
    }

    /// The objects of `status --json` of one kind.
    pub fn status(&self, kind: &str, rest: &[&str]) -> Vec<serde_json::Value> {
        let out = self.done(&[&["status", "--json"], rest].concat());
        let lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|value: &serde_json::Value| value["kind"] == kind)
            .collect()
    }

    pub fn store(&self, target: &str) -> PathBuf {
        self.desk.path("store").join(target)
    }
}

/// 900 000 bytes that compress badly.
pub fn image(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::try_from(state >> 24).unwrap()
    };
    (0..900_000).map(|_| next()).collect()
}
