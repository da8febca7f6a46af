//! An LVM thin pool, with tools as few as possible: each takes tenths of a second in the lab kernel.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use nacre_tests::desk::Desk;

use crate::place::Place;

/// Names as Qubes has them, with dashes, which device-mapper doubles.
const GROUP: &str = "qubes_dom0";
const POOL: &str = "vm-pool";
const EXTENT: u64 = 256 << 10;
const DESK: &str = "/run/desk";

pub struct ThinPool;

impl ThinPool {
    /// On the first disk of the lab kernel. The second takes programs and archives, because the machine's tree inside lacks what a store uses.
    pub fn new() -> Self {
        run("mkfs.ext4 -q -F /dev/ubdb");
        fs::create_dir(DESK).unwrap();
        run(&format!("mount /dev/ubdb {DESK}"));
        run(&format!("vgcreate -q -y -s 256k {GROUP} /dev/ubda"));
        run(&format!(
            "lvcreate -q -y -T -L 800M --chunksize 64k --poolmetadatasize 16M {GROUP}/{POOL}"
        ));
        for volume in Self.volumes() {
            run(&format!(
                "lvcreate -q -y -V 1M -T {GROUP}/{POOL} -n {volume}"
            ));
        }
        Self
    }
}

/// All volumes of the group.
fn names() -> Vec<String> {
    let all = run(&format!("lvs --noheadings -o lv_name {GROUP}"));
    all.lines().map(|line| line.trim().to_owned()).collect()
}

fn run(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn device(name: &str) -> String {
    format!("/dev/mapper/{GROUP}-{}", name.replace('-', "--"))
}

fn open(name: &str) -> File {
    let mut options = File::options();
    options.read(true).write(true).open(device(name)).unwrap()
}

impl Place for ThinPool {
    fn desk(&self) -> Desk {
        Desk::new_in(Path::new(DESK))
    }

    fn local(&self) -> String {
        format!("{GROUP}/{POOL}")
    }

    fn volumes(&self) -> [&'static str; 2] {
        ["vm-work-private", "vm-work-root"]
    }

    fn alias(&self) -> &'static str {
        "vm-other-private"
    }

    fn grain(&self) -> u64 {
        EXTENT
    }

    fn exists(&self, volume: &str) -> bool {
        fs::exists(device(volume)).unwrap()
    }

    fn resize(&self, volume: &str, size: u64) {
        let now = fs::read(device(volume)).unwrap().len() as u64;
        if now != size {
            run(&format!("lvresize -q -f -L {size}b {GROUP}/{volume}"));
        }
    }

    fn write(&self, volume: &str, at: u64, bytes: &[u8]) {
        let file = open(volume);
        file.write_all_at(bytes, at).unwrap();
        file.sync_all().unwrap();
    }

    fn discard(&self, volume: &str, range: Range<u64>) {
        let file = open(volume);
        // What is not whole blocks of the pool stays as it is (the kernel's discard is a hint), so it is whole blocks.
        let block = 64 << 10;
        let start = range.start.next_multiple_of(block);
        let end = range.end / block * block;
        if start < end {
            nacre_sys::discard(&file, start, end - start).unwrap();
        }
        file.sync_all().unwrap();
    }

    fn content(&self, volume: &str) -> Vec<u8> {
        fs::read(device(volume)).unwrap()
    }

    fn replace(&self, volume: &str) {
        let old = format!("{volume}-back");
        run(&format!("lvrename -q {GROUP} {volume} {old}"));
        run(&format!("lvcreate -q -y -kn -s {GROUP}/{old} -n {volume}"));
        self.remove(&old);
    }

    fn remove(&self, volume: &str) {
        run(&format!("lvremove -q -f {GROUP}/{volume}"));
    }

    fn snapshots(&self) -> Vec<String> {
        let is_one = |name: &String| {
            let number = name
                .rsplit_once(".nacre_")
                .and_then(|(_, rest)| rest.split_once('_'));
            number.is_some_and(|(_, number)| number.parse::<u64>().is_ok())
        };
        names().into_iter().filter(is_one).collect()
    }

    fn left_overs(&self) -> Vec<String> {
        let snapshots = self.snapshots();
        let ours = |name: &String| name.contains(".nacre_") && !snapshots.contains(name);
        let mut found: Vec<String> = names().into_iter().filter(ours).collect();
        let status = run(&format!("dmsetup status {GROUP}-vm--pool-tpool"));
        let held = status.split_whitespace().nth(6).unwrap();
        if held != "-" {
            found.push(format!("metadata snapshot in block {held}"));
        }
        found
    }

    fn lose(&self, snapshot: &str) {
        self.remove(snapshot);
    }

    fn swap(&self, one: &str, other: &str) {
        for (from, to) in [(one, "between"), (other, one), ("between", other)] {
            self.rename(from, to);
        }
    }

    fn rename(&self, snapshot: &str, name: &str) {
        run(&format!("lvrename -q {GROUP} {snapshot} {name}"));
    }

    fn scribble(&self, snapshot: &str, at: u64, bytes: &[u8]) {
        run(&format!("lvchange -q -p rw {GROUP}/{snapshot}"));
        run(&format!("lvchange -q -ay -K {GROUP}/{snapshot}"));
        self.write(snapshot, at, bytes);
        run(&format!("lvchange -q -an {GROUP}/{snapshot}"));
        run(&format!("lvchange -q -p r {GROUP}/{snapshot}"));
    }

    fn make_anew(&self, snapshot: &str, volume: &str) {
        self.lose(snapshot);
        run(&format!(
            "lvcreate -q -y -pr -s {GROUP}/{volume} -n {snapshot}"
        ));
    }
}
